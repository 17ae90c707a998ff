"""Pages of the documentation that can be wrong are held to the code."""

from __future__ import annotations

import re
from pathlib import Path

from tenzij.engines.passport import default_passport, passport_from_text

ROOT = Path(__file__).parent.parent


def test_the_example_passport_is_the_default_models() -> None:
    example = re.search(r"```toml\n(.*?)```", (ROOT / "docs/models.md").read_text("utf-8"), re.DOTALL)
    assert example
    shown, shipped = passport_from_text(example.group(1)), default_passport()
    for part in ("id", "file", "licence", "languages", "tasks", "capabilities", "context_tokens", "openness"):
        assert getattr(shown, part) == getattr(shipped, part), part


def test_every_link_leads_to_a_file() -> None:
    for page in (*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_decision_is_in_the_list() -> None:
    listed = (ROOT / "docs/adr/README.md").read_text("utf-8")
    for page in (ROOT / "docs/adr").glob("0*.md"):
        assert page.name in listed, page.name
