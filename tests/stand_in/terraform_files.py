"""Reads Terraform's files with python-hcl2, in the form that tests ask of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).parents[2] / "infra" / "terraform"
MODULES = sorted(p for p in (ROOT / "modules").iterdir() if p.is_dir())
EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if p.is_dir())
BLOCK = "__is_block__"


@cache
def read(folder: Path) -> dict[str, list[Any]]:
    """Every block of the folder's files, by its kind."""
    found: dict[str, list[Any]] = {}
    for file in sorted(folder.glob("*.tf")):
        for kind, blocks in hcl2.loads(file.read_text(encoding="utf-8")).items():
            if isinstance(blocks, list):
                found.setdefault(kind, []).extend(blocks)
    return found


def text(folder: Path) -> str:
    """The folder's files, one after the other."""
    return "\n".join(p.read_text(encoding="utf-8") for p in sorted(folder.glob("*.tf")))


def named(blocks: list[Any]) -> dict[str, Any]:
    """Blocks with one label (variable, output, module) by that label."""
    return {
        plain(label): body for block in blocks for label, body in block.items() if not hidden(label)
    }


def typed(blocks: list[Any]) -> Iterator[tuple[str, str, Any]]:
    """Blocks with two labels (resource, data): type, name, body."""
    for block in blocks:
        for kind, its in block.items():
            for name, body in its.items():
                if not hidden(name):
                    yield plain(kind), plain(name), body


def plain(value: Any) -> str:
    """A quoted text without its quotes."""
    return re.sub(r'^"(.*)"$', r"\1", str(value), flags=re.DOTALL)


def hidden(key: str) -> bool:
    """Keys of the parser's own."""
    return key.startswith("__") and key.endswith("__")


def listed(value: Any) -> list[str]:
    """A list of texts; an expression is its own only member."""
    return [plain(v) for v in value] if isinstance(value, list) else [plain(value)]
