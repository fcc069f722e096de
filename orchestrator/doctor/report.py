"""The examination in words, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from orchestrator.doctor.check import Finding

_MARKS = {"ok": "ok", "warning": "note", "missing": "MISSING", "unknown": "UNKNOWN"}


def is_sound(findings: Sequence[Finding]) -> bool:
    """Whether mendloop can work like that; what nobody could tell does not count as sound."""
    return all(finding.outcome in ("ok", "warning") for finding in findings)


def in_words(findings: Sequence[Finding]) -> str:
    """A line per finding, what to do below it, and the rules to grant at the end."""
    width = max((len(finding.about) for finding in findings), default=0)
    lines = []
    for finding in findings:
        said = finding.said.replace("\n", f"\n{' ' * (width + 11)}")
        lines.append(f"{_MARKS[finding.outcome]:<7}  {finding.about:<{width}}  {said}")
        if finding.remedy and finding.outcome != "ok":
            lines.append(f"{' ' * (width + 9)}  -> {finding.remedy}")
    counts = {mark: sum(f.outcome == o for f in findings) for o, mark in _MARKS.items()}
    lines.append("")
    lines.append(", ".join(f"{count} {mark}" for mark, count in counts.items()))
    objects = grants(findings)
    if objects:
        lines += ["", "# What would grant what is missing (kubectl apply -f):", objects.rstrip()]
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """For machines."""
    return {
        "sound": is_sound(findings),
        "findings": [finding.model_dump(mode="json") for finding in findings],
    }


def grants(findings: Sequence[Finding]) -> str:
    """Every object that would grant something, as YAML; the rights of one place in one Role."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for finding in findings:
        for body in finding.grant:
            key = (body["kind"], body["metadata"].get("namespace", ""))
            if key in found and "rules" in body:
                rules = [r for r in body["rules"] if r not in found[key]["rules"]]
                found[key] = {**found[key], "rules": [*found[key]["rules"], *rules]}
            else:
                found.setdefault(key, body)
    return yaml.safe_dump_all(found.values(), sort_keys=False) if found else ""
