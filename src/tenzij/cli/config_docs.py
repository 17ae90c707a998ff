"""Renders the configuration as a commented example and as a table; both are files in the repository, held by a test.

Run `python -m tenzij.cli.config_docs` from the repository's root to write them anew after changing `config.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tenzij.config import Config

EXAMPLE = Path("config.example.toml")
PAGE = Path("docs/configuration.md")

_EXAMPLE_HEAD = """\
# The machine's configuration. Copy it to <TENZIJ_HOME>/config.toml and uncomment what you change; what is commented
# out shows the default. docs/configuration.md explains every setting. A fault means no start, with all faults listed.
"""
_PAGE_HEAD = """\
# Configuration

One TOML file, `TENZIJ_HOME/config.toml` (or `--config`, or `TENZIJ_CONFIG`). `TENZIJ_HOME` is
`~/.local/share/tenzij` unless set. Without a file the defaults hold. The whole file is checked before anything starts,
and all its faults are listed at once. What people decide (use cases, models, keys) is not here but in the register:
`tenzij key`, `tenzij model`.

Names carry their unit: `_s` seconds, `_mib` mebibytes, `_bytes` bytes. What weakens safety is called `unsafe_…`.
"""


def _toml(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


def _sections() -> list[tuple[str, type[BaseModel], str]]:
    sections = []
    for name, field in Config.model_fields.items():
        section = field.annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            raise TypeError(f"{name} is not a section")
        sections.append((name, section, (section.__doc__ or "").strip()))
    return sections


def _range(field: FieldInfo) -> str:
    words = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [f"{words[k]} {getattr(m, k)}" for m in field.metadata for k in words if getattr(m, k, None) is not None]
    return ", ".join(limits)


def example_toml() -> str:
    """The text of config.example.toml."""
    parts = [_EXAMPLE_HEAD]
    for name, section, purpose in _sections():
        parts.append(f"\n# {purpose}\n[{name}]")
        for key, field in section.model_fields.items():
            parts.append(f"# {field.description}\n# {key} = {_toml(field.default)}")
    return "\n".join(parts) + "\n"


def page_markdown() -> str:
    """The text of docs/configuration.md."""
    parts = [_PAGE_HEAD]
    for name, section, purpose in _sections():
        parts.append(f"\n## [{name}]\n\n{purpose}\n\n| setting | default | allowed | meaning |\n|---|---|---|---|")
        for key, field in section.model_fields.items():
            parts.append(f"| `{key}` | `{_toml(field.default)}` | {_range(field)} | {field.description} |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    EXAMPLE.write_text(example_toml(), "utf-8")
    PAGE.write_text(page_markdown(), "utf-8")
