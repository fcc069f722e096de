"""Labels that went wrong are told from a world that did, with a stated rate of errors."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tools.statistics.label_faults import (
    LabelFault,
    Labelled,
    find_label_fault,
    has_changed,
    log_evidence_of_no_fault,
)
from tools.statistics.losses import Floats

PROVED = math.log(1 / 0.05)
World = Callable[[np.random.Generator, dict[str, Floats], Floats], Floats]


def logistic(score: Floats) -> Floats:
    """Probability of these log odds."""
    return np.asarray(1.0 / (1.0 + np.exp(-score)))


def rows(seed: int, world: World | None = None, *, count: int = 1500) -> Labelled:
    """Parcels whose model is right, unless ``world`` changed their log odds."""
    rng = np.random.default_rng([seed, 11])
    numbers = {name: rng.normal(size=count) for name in ("weight", "distance", "wind")}
    depot = rng.choice(["east", "north", "west"], count).astype(object)
    north = (depot == "north").astype(float)
    odds = -0.9 + 1.4 * numbers["weight"] + 0.6 * numbers["distance"] + 0.5 * north
    served = logistic(odds + 0.1 * rng.normal(size=count))
    changed = world(rng, {**numbers, "north": north}, odds) if world else odds
    label = (rng.uniform(size=count) < logistic(changed)).astype(float)
    return Labelled(served, label, numbers, {"depot": depot})


def spoiled(seed: int, kind: str, share: float) -> Labelled:
    """The same with wrong labels."""
    good = rows(seed)
    hit = np.random.default_rng([seed, 12]).uniform(size=len(good.label)) < share
    if kind == "flipped":
        label = np.where(hit, 1.0 - good.label, good.label)
    else:
        label = np.where(hit & (good.categories["depot"] == "north"), 0.0, good.label)
    return Labelled(good.probability, label, good.numbers, good.categories)


def must_find(labelled: Labelled) -> LabelFault:
    """The best fault of rows that are enough."""
    found = find_label_fault(labelled)
    assert found is not None
    return found


WORLDS: dict[str, World] = {
    "unchanged": lambda _, __, odds: odds,
    "weight turned": lambda _, x, odds: odds - 2.3 * x["weight"],
    "late more often": lambda _, __, odds: odds + 1.4,
    "late less often": lambda _, __, odds: odds - 2.0,
    "weight in the north": lambda _, x, odds: odds - 2.0 * x["weight"] * x["north"],
    "the north is quick now": lambda _, x, odds: odds - 2.0 * x["north"],
    "anything": lambda rng, x, odds: (
        odds + sum(rng.normal() * column for column in x.values()) + rng.normal()
    ),
    "not logistic": lambda _, x, odds: odds - 2.0 * (x["weight"] > 1.0),
    "days that shake": lambda rng, _, odds: odds + 0.7 * np.repeat(rng.normal(size=10), 150),
}


@pytest.mark.parametrize("world", WORLDS)
def test_a_changed_world_is_not_called_a_fault_of_labels(world: str) -> None:
    """At most alpha of them: here none of ten, of most kinds by far."""
    proved = [must_find(rows(seed, WORLDS[world])).log_evidence >= PROVED for seed in range(10)]

    assert sum(proved) == 0


def test_flipped_labels_are_found_and_named() -> None:
    """Two of five."""
    found = [must_find(spoiled(seed, "flipped", 0.4)) for seed in range(8)]

    assert sum(one.log_evidence >= PROVED for one in found) >= 7
    assert {(one.kind, one.where) for one in found} == {("flipped", "")}
    assert all(abs(one.share - 0.4) < 0.1 for one in found)


def test_planted_labels_are_found_in_half_of_the_cases_and_named_with_their_place() -> None:
    """Four of five in one depot, at the first look; later looks find more of them."""
    found = [must_find(spoiled(seed, "set to 0", 0.8)) for seed in range(8)]

    assert sum(one.log_evidence >= PROVED for one in found) >= 3
    assert {(one.kind, one.where) for one in found} == {("set to 0", "depot=north")}


def test_the_cheap_question_is_silent_on_good_labels_and_sees_bad_ones() -> None:
    """It guards the dear one."""
    assert not any(has_changed(rows(seed), alpha=1e-3) for seed in range(60))
    assert all(has_changed(spoiled(seed, "flipped", 0.4), alpha=1e-3) for seed in range(8))
    assert all(has_changed(spoiled(seed, "set to 0", 0.8), alpha=1e-3) for seed in range(8))


def test_a_fault_is_over_when_labels_are_right_again() -> None:
    """And not before."""
    assert log_evidence_of_no_fault(rows(3), "flipped", "") > PROVED
    assert log_evidence_of_no_fault(spoiled(3, "flipped", 0.4), "flipped", "") < 0
    assert log_evidence_of_no_fault(rows(3), "flipped", "depot=elsewhere") == 0.0


def test_too_few_rows_answer_nothing() -> None:
    """And none do not fail."""
    assert find_label_fault(rows(1, count=50)) is None
    assert not has_changed(rows(1, count=2), alpha=0.05)
