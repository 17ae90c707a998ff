"""The same tests again as an ordinary user, who has no root to help: nothing is staged, and nobody changes user.

Started by an ordinary user, the other files of this folder are that already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

USER = 54321
HERE = Path(__file__).parent
FILES = ("test_probes.py", "test_launcher.py", "test_libraries.py", "test_selftest.py", "test_layers.py")


@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="the whole run is by an ordinary user")
def test_all_holds_for_an_ordinary_user(tmp_path: Path, default_model_file: Path) -> None:
    model = tmp_path / default_model_file.name
    shutil.copyfile(default_model_file, model)
    user = [sys.executable, str(HERE / "ordinary.py"), str(USER), str(tmp_path)]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "tests")]
    done = subprocess.run(
        [*user, *tests, *(str(HERE / file) for file in FILES)],
        cwd=HERE.parents[2],
        env={**os.environ, "TENZIJ_TEST_MODEL": str(model)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
