"""Server-side apply as the API server does it: fields have owners, and two owners may disagree.

Lists of maps with a ``name`` are merged by it (containers, environment, subsets, ports); other
lists belong to one owner as a whole. Source:
https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Body = dict[str, Any]
Path = tuple[str, ...]
_OWNERS = "managedFields"
_SHARED = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}


class OwnedElsewhere(Exception):
    """Somebody else owns a field and wants another value of it."""


def apply(standing: Body | None, wanted: Body, owner: str, *, force: bool) -> Body:
    """The object after ``owner`` applied ``wanted``; fields it no longer wants go."""
    after = copy.deepcopy(standing) if standing else {"metadata": {}}
    owners = _owners(after)
    mine = {path: value for path, value in _leaves(wanted, ()) if path not in _SHARED}
    for path, value in mine.items():
        others = [name for name, paths in owners.items() if name != owner and path in paths]
        if others and _at(after, path) != value:
            if not force:
                raise OwnedElsewhere(f'conflict with "{others[0]}": .{".".join(path)}')
            for name in others:
                owners[name].discard(path)
    for path in owners.get(owner, set()) - set(mine):
        if not any(path in paths for name, paths in owners.items() if name != owner):
            _remove(after, path)
    for path in _SHARED:
        if _at(wanted, path) is not None:
            _set(after, path, _at(wanted, path))
    for path, value in mine.items():
        _set(after, path, value)
    owners[owner] = set(mine)
    after["metadata"][_OWNERS] = [
        {"manager": name, "operation": "Apply", "fields": sorted("/".join(p) for p in paths)}
        for name, paths in sorted(owners.items())
    ]
    return after


def _owners(body: Body) -> dict[str, set[Path]]:
    return {
        entry["manager"]: {tuple(path.split("/")) for path in entry["fields"]}
        for entry in body["metadata"].get(_OWNERS, [])
    }


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name.replace("/", "~1")))
    elif _is_keyed(value):
        for item in value:
            yield from _leaves(item, (*path, f"[{item['name']}]"))
    else:
        yield path, value


def _is_keyed(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and "name" in item for item in value)
    )


def _step(value: Any, part: str) -> Any:
    if part.startswith("["):
        items = value if isinstance(value, list) else []
        return next((item for item in items if item.get("name") == part[1:-1]), None)
    return value.get(part.replace("~1", "/")) if isinstance(value, dict) else None


def _at(body: Any, path: Path) -> Any:
    for part in path:
        body = _step(body, part)
    return body


def _set(body: Any, path: Path, value: Any) -> None:
    for part, following in zip(path, (*path[1:], ""), strict=True):
        is_last = part is path[-1] and following == ""
        inner = _step(body, part)
        if part.startswith("["):
            if inner is None:
                inner = {"name": part[1:-1]}
                body.append(inner)
        else:
            name = part.replace("~1", "/")
            if is_last:
                body[name] = copy.deepcopy(value)
                return
            if inner is None:
                inner = body[name] = [] if following.startswith("[") else {}
        body = inner


def _remove(body: Any, path: Path) -> None:
    holder = _at(body, path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1].replace("~1", "/"), None)
        if path[:-1] and path[-2].startswith("[") and set(holder) <= {"name"}:
            siblings = _at(body, path[:-2])
            siblings.remove(holder)
