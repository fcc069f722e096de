"""What an operator was seen to do: acts read from two states of the world, from nobody's word."""

from __future__ import annotations

from collections.abc import Iterator

from simulations.effects import Standing
from simulations.scenario_truth import Act


def acts_between(before: Standing, after: Standing) -> list[tuple[Act, str]]:
    """Every act that leads from one standing to the next, with what it was about."""
    return [
        *_servers(before, after),
        *_aliases(before, after),
        *_inputs(before, after),
        *_route(before, after),
    ]


def is_first_share(before: Standing, after: Standing) -> bool:
    """Whether a version that is not the champion got traffic where none had before."""
    return not _away(before, before) and bool(_away(before, after))


def _servers(before: Standing, after: Standing) -> Iterator[tuple[Act, str]]:
    for version in sorted({*before.servers} ^ {*after.servers}):
        act: Act = "deploy" if version in after.servers else "stop"
        yield act, f"version {version}"


def _aliases(before: Standing, after: Standing) -> Iterator[tuple[Act, str]]:
    was, is_ = before.aliases.get("champion", ""), after.aliases.get("champion", "")
    if was != is_:
        act: Act = "promote" if _number(is_) > _number(was) else "switch_back"
        yield act, f"version {was} -> {is_}"
    challenger = before.aliases.get("challenger", "")
    if challenger and challenger != is_ and "challenger" not in after.aliases:
        yield "withdraw", f"version {challenger}"


def _inputs(before: Standing, after: Standing) -> Iterator[tuple[Act, str]]:
    for version, columns in sorted(after.masked.items()):
        was = before.masked.get(version)
        if was is not None and was != columns:
            act: Act = "mask" if set(columns) - set(was) else "unmask"
            yield act, f"{', '.join(columns) or 'nothing'} on version {version}"


def _route(before: Standing, after: Standing) -> Iterator[tuple[Act, str]]:
    if before.shares == after.shares:
        return
    said = ", ".join(f"{version}: {share} %" for version, share in sorted(after.shares.items()))
    grown = _away(before, after) > _away(before, before)
    yield ("shift" if grown else "return"), said


def _away(home: Standing, now: Standing) -> int:
    """Percent of traffic that goes to neither the champion nor the former champion."""
    settled = {home.aliases.get("champion"), home.aliases.get("former")}
    return sum(share for version, share in now.shares.items() if version not in settled)


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0
