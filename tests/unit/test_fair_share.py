"""The shares of a fleet: laws that hold whatever the names are."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.fair_share import shares

NAMES = st.text("abcdef-/0123456789", min_size=1, max_size=12)
TARGETS = st.lists(NAMES, max_size=60)
REPLICAS = st.lists(NAMES, min_size=1, max_size=7)
FLEET = [f"default/model-{number}" for number in range(1000)]


@given(TARGETS, REPLICAS)
def test_every_target_has_one_replica_that_lives(targets: list[str], replicas: list[str]) -> None:
    """None is forgotten, and none goes to somebody who is not there."""
    found = shares(targets, replicas)

    assert set(found) == set(targets)
    assert set(found.values()) <= set(replicas)


@given(TARGETS, REPLICAS)
def test_shares_differ_by_one_at_most(targets: list[str], replicas: list[str]) -> None:
    """Nobody has more than its fair share, rounded up."""
    load = Counter(shares(targets, replicas).values())
    counts = [load[replica] for replica in set(replicas)]

    assert max(counts) - min(counts) <= 1


@given(TARGETS, REPLICAS)
def test_who_asks_does_not_matter(targets: list[str], replicas: list[str]) -> None:
    """Every replica comes to the same shares, in whatever order it heard the names."""
    again = shares(reversed(targets), reversed([*replicas, *replicas]))

    assert again == shares(targets, replicas)


def test_without_replicas_nobody_has_any() -> None:
    """As long as nobody lives, nobody acts."""
    assert shares(FLEET, []) == {}


def test_a_newcomer_takes_its_share_and_leaves_the_others_alone() -> None:
    """Few targets move besides those that go to it: at most one in fifty."""
    for before in range(1, 7):
        old = [f"replica-{number}" for number in range(before)]
        first, then = shares(FLEET, old), shares(FLEET, [*old, "newcomer"])
        moved = [target for target in FLEET if first[target] != then[target]]
        needless = [target for target in moved if then[target] != "newcomer"]

        assert len(needless) <= len(FLEET) / 50, f"{before} replicas"
