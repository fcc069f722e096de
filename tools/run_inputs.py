"""Files that a pipeline run is given, where both its steps and whoever submits it reach them.

Training data is pinned and artifacts are fetched into folders of the controller. Steps of a run in
a cluster see none of them: what such an argument names is copied beside the run's own outputs,
once, and the argument names the copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.errors import Unavailable

INPUTS = ("data_uri", "champion_artifact")
"""Arguments that name a file or a folder to read."""


def within_reach(arguments: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """``arguments``, with local files and folders copied into ``folder`` (path or fsspec URL).

    Idempotent: a copy that is there already and as long as the original is left alone; what was
    copied is checked by its digest where it is read. Raises Unavailable.
    """
    return {
        name: _copied(Path(value), f"{folder}/{name}")
        if name in INPUTS and isinstance(value, str) and _is_local(value)
        else value
        for name, value in arguments.items()
    }


def brought(uri: str, into: Path) -> Path:
    """The folder at ``uri``, copied into ``into`` where it is not local. Raises Unavailable."""
    if "://" not in uri:
        return Path(uri)
    import fsspec

    try:
        source, root = fsspec.core.url_to_fs(uri)
        for path in source.find(root):
            target = into / str(path)[len(str(root)) :].lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            source.get_file(path, str(target))
    except OSError as error:
        raise Unavailable(f"cannot bring {uri}: {error}") from error
    return into


def _is_local(value: str) -> bool:
    return bool(value) and "://" not in value and Path(value).exists()


def _copied(source: Path, folder: str) -> str:
    import fsspec

    files = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    base = source if source.is_dir() else source.parent
    try:
        target, root = fsspec.core.url_to_fs(folder)
        for file in files:
            path = f"{root}/{file.relative_to(base).as_posix()}"
            if not (target.exists(path) and target.size(path) == file.stat().st_size):
                target.makedirs(path.rpartition("/")[0], exist_ok=True)
                target.put_file(str(file), path)
    except OSError as error:
        raise Unavailable(
            f"cannot copy {source} to {folder} for a pipeline run: {error}"
        ) from error
    return folder if source.is_dir() else f"{folder}/{source.name}"
