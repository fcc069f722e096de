"""Finds scenario documents: those that mendloop ships, files, and folders of files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import yaml

from simulations.managed import documents_of
from simulations.scenario import Scenario
from tools.documents import load_document, parse_document
from tools.errors import Invalid


def shipped() -> list[Scenario]:
    """Every shipped scenario, by name."""
    return sorted((_shipped(name) for name in shipped_names()), key=lambda s: s.name)


def shipped_names() -> list[str]:
    """Names of the shipped scenarios."""
    folder = resources.files("simulations") / "scenarios"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if _is_document(f.name))


def find(what: Sequence[str], *, is_all: bool = False) -> list[tuple[str, Scenario]]:
    """The scenarios that are meant, each with the word by which it is found again.

    Raises Invalid where nothing is meant, a document is wrong or two have one name.
    """
    if not what and not is_all:
        raise Invalid(
            "name a scenario, a file or a folder, or say --all; `mendloop simulate list` lists"
            " what is shipped"
        )
    found = [(name, _shipped(name)) for name in (shipped_names() if is_all else ())]
    for word in what:
        found += _meant(word)
    names = [scenario.name for _, scenario in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Invalid(f"scenarios named twice: {', '.join(twice)}; rename or leave out one of them")
    for _, scenario in found:
        documents_of(scenario)
    return found


def _meant(word: str) -> list[tuple[str, Scenario]]:
    path = Path(word)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if _is_document(file.name))
        if not files:
            raise Invalid(f"there is no *.yaml file in {path}; check the path")
        return [(str(file), load_document(file, Scenario)) for file in files]
    if path.is_file() or path.suffix in (".yaml", ".yml") or "/" in word:
        return [(word, load_document(path, Scenario))]
    if word not in shipped_names():
        near = [name for name in shipped_names() if word in name or name in word]
        hint = f"; did you mean {', '.join(near[:5])}" if near else ""
        raise Invalid(
            f"there is no shipped scenario and no file {word!r}{hint}; "
            "`mendloop simulate list` lists what is shipped"
        )
    return [(word, _shipped(word))]


def _shipped(name: str) -> Scenario:
    file = resources.files("simulations") / "scenarios" / f"{name}.yaml"
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    return parse_document(data, Scenario, source=f"{name}.yaml")


def _is_document(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))
