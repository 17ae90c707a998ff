"""The README stays true: its sample of `make up` is what a start prints, its snippet runs."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from end_to_end.running import Running, until

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def block_after(marker: str) -> str:
    """The fenced block that follows an HTML comment."""
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```\w*\n(.*?)```", README, re.DOTALL)
    assert found, f"the README has no block marked {marker!r}"
    return found.group(1)


def comparable(text: str) -> str:
    """The text without what differs from start to start."""
    text = re.sub(r"tenzij_[\w…-]+", "tenzij_KEY", text)
    text = re.sub(r"http://127\.0\.0\.1:\d+", "http://ADDRESS", text)
    text = re.sub(r"state is in .*", "state is in HOME", text)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    events = sorted(line for line in lines if re.match(r"  \S", line))  # children start in parallel
    return "\n".join(events + [line for line in lines if line not in events])


def test_the_sample_of_make_up_is_what_a_first_start_prints(platform: Running) -> None:
    until(lambda: "Ctrl-C stops" in platform.output, 5, platform.output)
    first_start = platform.output[: platform.output.index("Ctrl-C stops") + len("Ctrl-C stops everything.")]
    assert comparable(block_after("output of the first start")) == comparable(first_start)


def test_the_python_snippet_runs(platform: Running) -> None:
    code = block_after("runs in the tests")
    code = code.replace("http://127.0.0.1:8484/v1", platform.base_url).replace("tenzij_…", platform.key)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - our own README
    assert printed.getvalue().strip()


def test_every_verb_of_the_command_line_is_in_the_readme() -> None:
    for verb in ("up", "key", "model", "decide", "check"):
        assert f"`tenzij {verb}" in README
