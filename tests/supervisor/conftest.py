"""What all tests of the supervisor share."""

from __future__ import annotations

import pytest

from supervisor import own


@pytest.fixture(autouse=True)
def _only_what_this_test_starts() -> None:
    own.remember()
