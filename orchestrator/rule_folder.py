"""Follows the operators' rule documents: what changes there is in force at the next tick.

A set is taken whole or not at all. Broken documents leave the rules before in force and are said
once; where there are none before (a controller that starts on broken documents), the shipped rules
hold and nothing but a way back to the safe state passes until they are mended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import structlog

from orchestrator.journal import kinds
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import PoliciesLoaded, PoliciesRejected
from orchestrator.policy_files import read_policies
from orchestrator.rules import Rules, load_rules
from tools.errors import Invalid

log = structlog.get_logger()

Signature = tuple[tuple[str, int, int, int], ...]

ONLY_BACK = """
apiVersion: mendloop.dev/v1alpha1
kind: GuardrailPolicy
metadata:
  name: rules-are-broken
spec:
  description: In force while no readable set of the operators' rules is known.
  validations:
    - expression: "!step.changes_production || (step.is_safe_return && step.takes_back_own)"
      message: the operators' rules cannot be read, and nobody knows what they forbid
  action: Deny
  transient: true
"""


class RuleFolder:
    """The rules of some folders, read when their files change."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._known: set[Path] = set()
        """Folders that were there: a lost mount must not pass for rules that were dropped."""
        self._seen: Signature | None = None
        self._error = ""
        self.is_broken = False
        """Whether what the folders hold now cannot be read."""
        self._written = ""
        self.in_force = self._first()

    def refresh(self, journal: Journal, *, at: datetime, actor: str) -> Rules:
        """The rules to go by now; what changed is journalled before it is in force.

        Raises Unavailable when the journal does not take it: the rules before stay in force.
        """
        seen = self._signature()
        if seen != self._seen:
            self._read(journal, seen, at=at, actor=actor)
        elif self._error or not self._written:
            self._say(journal, self.in_force, at=at, actor=actor)
        return self.in_force

    def _first(self) -> Rules:
        self._seen = self._signature()
        try:
            return load_rules(self._texts())
        except Invalid as error:
            self._error, self.is_broken = str(error), True
            return load_rules({"rules-are-broken": ONLY_BACK})

    def _read(self, journal: Journal, seen: Signature, *, at: datetime, actor: str) -> None:
        try:
            rules, self._error = load_rules(self._texts()), ""
        except Invalid as error:
            rules, self._error = self.in_force, str(error)
        is_broken = bool(self._error)
        self._say(journal, rules, at=at, actor=actor)
        self.in_force, self._seen, self.is_broken = rules, seen, is_broken

    def _say(self, journal: Journal, rules: Rules, *, at: datetime, actor: str) -> None:
        if self._error:
            rejected = PoliciesRejected(error=self._error, digest=rules.digest)
            journal.append(kinds.POLICIES_REJECTED, at=at, actor=actor, payload=rejected)
            log.error("policies.rejected", error=self._error, in_force=rules.digest)
            self._error = ""
        if rules.digest != self._written:
            loaded = PoliciesLoaded(digest=rules.digest, names=rules.names, replaced=self._written)
            journal.append(kinds.POLICIES_LOADED, at=at, actor=actor, payload=loaded)
            log.info("policies.loaded", digest=rules.digest, documents=len(rules.names))
            self._written = rules.digest

    def _texts(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for folder in self._folders:
            if folder in self._known and not folder.is_dir():
                raise Invalid(f"the folder {folder} is gone; to drop its rules, empty it")
            if folder.is_dir():
                self._known.add(folder)
                found |= read_policies(folder) if any(folder.glob("*.yaml")) else {}
        return found

    def _signature(self) -> Signature:
        """Names, sizes and times of the files: cheap enough for every tick."""
        files = [
            file for folder in self._folders for file in (folder, *sorted(folder.glob("*.yaml")))
        ]
        return tuple(_stamp(file) for file in files)


def _stamp(file: Path) -> tuple[str, int, int, int]:
    try:
        stat = file.stat()
    except OSError:
        return (str(file), 0, 0, 0)
    return (str(file), stat.st_size, stat.st_mtime_ns, stat.st_ino)
