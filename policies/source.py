"""Finds the line and column of a field in the YAML text that people wrote."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Places:
    """Where the scalars of one document stand."""

    nodes: dict[Path, yaml.ScalarNode]

    def locate(self, path: Path, line: int, column: int) -> tuple[int, int]:
        """Line and column (from 1) in the file of a position (from 1) in the scalar at ``path``.

        Exact for plain and quoted scalars of one line and for literal blocks (``|``); for folded
        ones it is the line where they begin.
        """
        node = self.nodes.get(path)
        if node is None:
            return 1, 1
        first_line, first_column = node.start_mark.line + 1, node.start_mark.column + 1
        match node.style:
            case "|":
                return first_line + line, _indent(node, line) + column
            case ">":
                return first_line + 1, 1
            case None:
                return first_line, first_column + column - 1
            case _:
                return first_line, first_column + column


def places(text: str) -> list[Places]:
    """One entry per document of ``text``. Raises yaml.YAMLError."""
    return [Places(dict(_scalars(node, ()))) for node in yaml.compose_all(text, yaml.SafeLoader)]


def _scalars(node: yaml.Node | None, path: Path) -> list[tuple[Path, yaml.ScalarNode]]:
    if isinstance(node, yaml.ScalarNode):
        return [(path, node)]
    if isinstance(node, yaml.MappingNode):
        children = [(key.value, child) for key, child in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = list(enumerate(node.value))
    else:
        children = []
    return [found for key, child in children for found in _scalars(child, (*path, key))]


def _indent(node: yaml.ScalarNode, line: int) -> int:
    """How far a literal block is indented, read off its own text."""
    buffer: str = node.start_mark.buffer or ""
    lines = buffer[node.start_mark.pointer :].splitlines()
    text = lines[line] if line < len(lines) else ""
    return len(text) - len(text.lstrip())
