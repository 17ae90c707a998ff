"""The class of network, and nothing more."""

from __future__ import annotations

import pytest

from tenzij.ledger.fields import Origin
from tenzij.ledger.origin import origin_from


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1", Origin.LOCAL),
        ("127.8.8.8", Origin.LOCAL),
        ("::1", Origin.LOCAL),
        ("::ffff:127.0.0.1", Origin.LOCAL),
        ("10.1.2.3", Origin.INTERNAL),
        ("172.16.0.1", Origin.INTERNAL),
        ("192.168.1.1", Origin.INTERNAL),
        ("169.254.1.1", Origin.INTERNAL),
        ("fd00::1", Origin.INTERNAL),
        ("fe80::1%eth0", Origin.INTERNAL),
        ("::ffff:10.1.2.3", Origin.INTERNAL),
        ("8.8.8.8", Origin.EXTERNAL),
        ("172.32.0.1", Origin.EXTERNAL),
        ("2a02:a46e::1", Origin.EXTERNAL),
        ("werkplek-jan.gemeente.example", Origin.EXTERNAL),
        ("", Origin.EXTERNAL),
        (None, Origin.EXTERNAL),
    ],
)
def test_class_of_an_address(host: str | None, origin: Origin) -> None:
    assert origin_from(host) is origin
