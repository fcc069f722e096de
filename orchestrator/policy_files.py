"""Reads policy documents: those that mendloop ships, and those that operators add."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from policies.engine import PolicySet, load_policies
from tools.errors import Invalid


def builtin_texts() -> dict[str, str]:
    """The shipped documents by name of their source."""
    folder = resources.files("policies") / "builtin"
    return {
        f"builtin/{file.name}": file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    }


def builtin_policies() -> PolicySet:
    """The shipped policies."""
    return load_policies(builtin_texts())


def read_policies(path: Path) -> dict[str, str]:
    """The texts of a policy file, or of every ``*.yaml`` in a folder."""
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise Invalid(f"there is no *.yaml file in {path}; check the path")
    return {str(file): _text(file) for file in files}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise Invalid(f"cannot read {file}: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{file} is not UTF-8 text; expected a YAML document") from error
