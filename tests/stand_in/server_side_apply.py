"""Server-side apply as the API server does it: fields have owners, and two owners may disagree.

Whoever creates, replaces or patches owns what it changed as well, under the name in front of its
User-Agent; the same name that applies is somebody else.
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
Owner = tuple[str, str]
"""Manager, and the operation by which it came to own a field."""
_OWNERS = "managedFields"
_SHARED = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
_STAMPS = ("uid", "generation", "creationTimestamp", "resourceVersion", _OWNERS)


class OwnedElsewhere(Exception):
    """Somebody else owns a field and wants another value of it."""


def apply(standing: Body | None, wanted: Body, manager: str, *, force: bool) -> Body:
    """The object after ``manager`` applied ``wanted``; fields it no longer wants go."""
    after = copy.deepcopy(standing) if standing else {"metadata": {}}
    owners, owner = _owners(after), (manager, "Apply")
    mine = _owned(wanted)
    for path, value in mine.items():
        others = [each for each, paths in owners.items() if each != owner and path in paths]
        if others and _at(after, path) != value:
            if not force:
                raise OwnedElsewhere(f'conflict with "{others[0][0]}": .{".".join(path)}')
            for each in others:
                owners[each].discard(path)
    for path in owners.get(owner, set()) - set(mine):
        if not any(path in paths for each, paths in owners.items() if each != owner):
            _remove(after, path)
    for path in _SHARED:
        if _at(wanted, path) is not None:
            _set(after, path, _at(wanted, path))
    for path, value in mine.items():
        if value != {} or not isinstance(_at(after, path), dict):  # an empty map takes nothing away
            _set(after, path, value)
    owners[owner] = set(mine)
    after["metadata"][_OWNERS] = _told(owners)
    return after


def updated(standing: Body | None, after: Body, manager: str) -> Body:
    """The object with the owners of its fields, after ``manager`` wrote it without applying."""
    old, new = _owned(standing or {"metadata": {}}), _owned(after)
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    owners = _owners(standing or {"metadata": {}})
    for paths in owners.values():
        paths -= changed | (set(old) - set(new))
    owners[manager, "Update"] = owners.get((manager, "Update"), set()) | changed
    return {**after, "metadata": {**after["metadata"], _OWNERS: _told(owners)}}


def _owned(body: Body) -> dict[Path, Any]:
    """The fields that have owners: not what the API server stamps, nor what names the object."""
    meta = {name: value for name, value in body["metadata"].items() if name not in _STAMPS}
    main = {name: value for name, value in body.items() if name != "status"}
    found = _leaves({**main, "metadata": meta}, ())
    return {path: value for path, value in found if path not in _SHARED}


def _told(owners: dict[Owner, set[Path]]) -> list[Body]:
    return [
        {"manager": name, "operation": operation, "fields": sorted("/".join(p) for p in paths)}
        for (name, operation), paths in sorted(owners.items())
        if paths
    ]


def _owners(body: Body) -> dict[Owner, set[Path]]:
    return {
        (entry["manager"], entry["operation"]): {tuple(path.split("/")) for path in entry["fields"]}
        for entry in body["metadata"].get(_OWNERS) or []
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
