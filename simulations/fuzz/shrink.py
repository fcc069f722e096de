"""Makes a failing case small: leaves out what is not needed to break the same promise.

Delta debugging (Zeller & Hildebrandt 2002, "Simplifying and isolating failure-inducing input") over
the injections and the moves, then a shorter horizon and a plainer world. Deterministic: the order
of the attempts follows from the case alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from simulations.fuzz.case import CaseWorld, FuzzCase

Part = TypeVar("Part")
Fails = Callable[[FuzzCase], bool]
"""Whether a case still breaks what the original broke."""

_PLAIN = CaseWorld()
_DIGITS = re.compile(r"[0-9a-f]{12,}|\d+")


def kind_of(broken: Sequence[str]) -> str:
    """What a finding is about, without its numbers and names: two of one kind are one bug."""
    return _DIGITS.sub("#", broken[0])[:60] if broken else ""


def shrink(case: FuzzCase, fails: Fails, *, most_runs: int = 300) -> FuzzCase:
    """The smallest case found that still ``fails``; the case itself has to."""
    runs = {"left": most_runs}

    def tried(smaller: FuzzCase) -> bool:
        if runs["left"] <= 0 or smaller == case:
            return False
        runs["left"] -= 1
        return fails(smaller)

    while True:
        before = case
        case = _changed(case, injections=_fewest(case, "injections", tried))
        case = _changed(case, moves=_fewest(case, "moves", tried))
        case = _shorter(case, tried)
        case = _plainer(case, tried)
        if case == before or runs["left"] <= 0:
            return case


def _fewest(case: FuzzCase, field: str, fails: Fails) -> tuple[Any, ...]:
    """The parts of ``field`` that are needed."""

    def still(parts: Sequence[Any]) -> bool:
        return fails(_changed(case, **{field: tuple(parts)}))

    return tuple(minimal(getattr(case.spec, field), still))


def minimal(parts: Sequence[Part], still_fails: Callable[[Sequence[Part]], bool]) -> list[Part]:
    """A part of ``parts`` of which no single one can be left out (ddmin, complements only)."""
    kept, pieces = list(parts), 2
    if kept and still_fails([]):
        return []
    while len(kept) > 1 or (kept and pieces == 1):
        size = max(1, len(kept) // pieces)
        for start in range(0, len(kept), size):
            fewer = kept[:start] + kept[start + size :]
            if fewer and still_fails(fewer):
                kept, pieces = fewer, max(2, pieces - 1)
                break
        else:
            if size == 1:
                return kept
            pieces = min(len(kept), pieces * 2)
    return kept


def _shorter(case: FuzzCase, fails: Fails) -> FuzzCase:
    """The earliest end, by halving as long as that works, then one by one."""
    for ticks in (case.spec.ticks // 2, case.spec.ticks * 3 // 4, case.spec.ticks - 1):
        fewer = _changed(case, ticks=max(1, ticks))
        if fewer != case and fails(fewer):
            return _shorter(fewer, fails)
    return case


def _plainer(case: FuzzCase, fails: Fails) -> FuzzCase:
    """Every setting of the world that the finding does not need, back to its default."""
    for name in CaseWorld.model_fields:
        plain = getattr(_PLAIN, name)
        if getattr(case.spec.world, name) == plain:
            continue
        world = case.spec.world.model_copy(update={name: plain})
        if fails(_changed(case, world=world)):
            case = _changed(case, world=world)
    return case


def _changed(case: FuzzCase, **fields: Any) -> FuzzCase:
    return case.model_copy(update={"spec": case.spec.model_copy(update=fields)})
