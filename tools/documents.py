"""Reads the YAML documents that people write, and says exactly where one is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tools.errors import Invalid

Document = TypeVar("Document", bound=BaseModel)


def load_document(path: Path, kind: type[Document]) -> Document:
    """The document at ``path`` as a ``kind``.

    Raises Invalid with the file, the path to every wrong field and what was expected there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{path} is not UTF-8 text; expected a YAML document") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Invalid(f"{path} is not valid YAML: {error}") from error
    return parse_document(data, kind, source=str(path))


def parse_document(data: object, kind: type[Document], *, source: str) -> Document:
    """``data`` (from YAML or JSON) as a ``kind``; ``source`` names it in errors."""
    if not isinstance(data, dict):
        raise Invalid(f"{source}: expected a {kind.__name__} document, got {type(data).__name__}")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        lines = [f"{source} is not a valid {kind.__name__}:"]
        lines += [
            f"  {_path(e['loc'])}: {_expectation(e['type'], e['msg'])}" for e in error.errors()
        ]
        raise Invalid("\n".join(lines)) from error


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "(document)"


def _expectation(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown field; remove it or correct its spelling"
    return message
