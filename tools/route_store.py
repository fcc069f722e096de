"""The VirtualService documents of one machine: files with the revisions that an API server gives.

A document may be edited by hand like with ``kubectl edit``: the next read notices (its digest is
not the recorded one) and gives it a new revision, so that ``resource_version`` changes with every
write, whoever made it. Every method expects the caller to hold the store's lock.
"""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

from tools.durable_files import write_durably
from tools.errors import Invalid, Refused, Unavailable, Uncertain
from tools.values import canonical_json, digest
from tools.virtual_service import KIND, is_well_formed_route

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")

Body = dict[str, Any]


class RouteStore:
    """Documents of a folder, by ``namespace/name``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger = folder / ".revisions.json"

    def names(self) -> tuple[str, ...]:
        """``namespace/name`` of every file, whole or broken."""
        return tuple(self._paths())

    def documents(self) -> tuple[dict[str, Body], int]:
        """Every whole document and the store's revision, edits and removals by hand included.

        A broken file is left out (see ``read``): one bad edit must not hold up the others.
        """
        revision, digests = self._recorded()
        found: dict[str, Body] = {}
        for name, path in self._paths().items():
            with contextlib.suppress(Refused):
                found[name] = _parse(path, name)
        changed = [name for name, body in found.items() if digests.get(name) != _digest(body)]
        for name in changed:
            revision = max(revision, _stated_revision(found[name])) + 1
            self._store(name, _at_revision(found[name], revision), revision, found)
        if set(digests) - set(found):
            revision += 1
            self._record(revision, found)
        return found, revision

    def read(self, namespace: str, name: str) -> Body:
        """One document. Raises Invalid when there is none, Refused when its file is broken."""
        found, _ = self.documents()
        full_name = f"{namespace}/{name}"
        if full_name in found:
            return found[full_name]
        if full_name not in self.names():
            raise Invalid(f"there is no VirtualService {full_name} in {self._folder}")
        return _parse(self._path(full_name), full_name)

    def write(self, body: Body) -> tuple[Body, int]:
        """Store a document at a new revision, which is returned with the document as stored.

        Raises Unavailable when nothing was changed, Uncertain when the document is in place and
        something after that failed.
        """
        found, revision = self.documents()
        stored = _at_revision(body, revision + 1)
        self._store(document_name(body), stored, revision + 1, found)
        return stored, revision + 1

    def _store(self, name: str, body: Body, revision: int, found: dict[str, Body]) -> None:
        path = self._path(name)
        text = json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            write_durably(path, text)
        except OSError as error:
            kind = Uncertain if _reads(path, text) else Unavailable
            raise kind(f"cannot write {path}: {error.strerror}; check space and rights") from error
        found[name] = body
        self._record(revision, found)

    def _record(self, revision: int, found: dict[str, Body]) -> None:
        digests = {name: _digest(body) for name, body in found.items()}
        try:
            ledger = canonical_json({"revision": revision, "digests": digests})
            write_durably(self._ledger, ledger)
        except OSError as error:
            raise Uncertain(
                f"cannot record revision {revision} in {self._ledger}: {error.strerror}; "
                "check space and rights, then read the document again"
            ) from error

    def _recorded(self) -> tuple[int, dict[str, str]]:
        """The ledger; a missing or broken one counts every document as edited."""
        try:
            ledger = json.loads(self._ledger.read_text(encoding="utf-8"))
            return int(ledger["revision"]), dict(ledger["digests"])
        except FileNotFoundError:
            return 0, {}
        except OSError as error:
            raise Unavailable(f"cannot read {self._ledger}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError):
            return 0, {}

    def _paths(self) -> dict[str, Path]:
        paths = sorted(self._folder.glob("[!.]*.json"))
        return {path.stem.replace(".", "/", 1): path for path in paths}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name.replace('/', '.', 1)}.json"


def document_name(body: Body) -> str:
    """``namespace/name``. Raises Invalid when the document has no proper ones."""
    metadata = body.get("metadata") or {}
    namespace, name = str(metadata.get("namespace", "")), str(metadata.get("name", ""))
    if not _NAMESPACE.fullmatch(namespace):
        raise Invalid(f"expected a DNS label, got {namespace!r}", field="metadata.namespace")
    if not _NAME.fullmatch(name):
        raise Invalid(f"expected a DNS name, got {name!r}", field="metadata.name")
    return f"{namespace}/{name}"


def _parse(path: Path, name: str) -> Body:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}; check its rights") from error
    except ValueError as error:
        raise Refused(f"{path} is not JSON ({error}); repair it or remove it") from error
    wrong = shape_error(body, name)
    if wrong:
        raise Refused(f"{path}: {wrong}; repair it or remove it")
    return dict(body)


def shape_error(body: object, name: str) -> str:
    """Why ``body`` cannot be the document ``name``; empty when it can."""
    if not isinstance(body, dict) or body.get("kind") != KIND:
        return f"expected a {KIND} document"
    try:
        if document_name(body) != name:
            return f"it names itself {document_name(body)}, its file says {name}"
    except (Invalid, AttributeError) as error:
        return str(error)
    spec = body.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("hosts") or [], list):
        return "expected spec.hosts to be a list; a delegate has none"
    if not isinstance(spec.get("http"), list):
        return "expected spec.http to be a list"
    wrong = [i for i, route in enumerate(spec["http"]) if not is_well_formed_route(route)]
    return f"spec.http[{wrong[0]}] is malformed" if wrong else ""


def _at_revision(body: Body, revision: int) -> Body:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": str(revision)}}


def _stated_revision(body: Body) -> int:
    stated = str(body["metadata"].get("resourceVersion", "0"))
    return int(stated) if stated.isdecimal() else 0


def _digest(body: Body) -> str:
    """Everything counts, its revision too: a file put back from a copy is an edit as well."""
    return digest(body)


def _reads(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except OSError:
        return False
