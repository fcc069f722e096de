"""Leases in a cluster where answers are lost, clocks run on amid a request, and people meddle."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from simulations.clock import VirtualClock
from tests.stand_in.kubernetes_api import Failure, api_server
from tests.stand_in.kubernetes_cluster import Cluster
from tools.errors import MendloopError, Unavailable
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_lease import KubernetesLeases
from tools.kubernetes_replicas import name_of
from tools.lease import Lease

TARGET = "default/flights"
BROKEN = Failure(500, "InternalError", "the store does not answer")


class Place:
    """A cluster, its clock, and processes that lead each other on in it."""

    def __init__(self, url: str, cluster: Cluster) -> None:
        self.url, self.cluster = url, cluster
        self.clock = VirtualClock()

    def process(self) -> KubernetesLeases:
        """One more."""
        return KubernetesLeases(
            KubernetesApi.at(self.url), self.clock, namespace="mendloop", ttl_s=15, margin_s=3
        )

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(timedelta(seconds=seconds))

    def calls(self) -> int:
        """Requests so far."""
        return len(self.cluster.requests)


@pytest.fixture
def place() -> Iterator[Place]:
    with api_server() as (url, cluster):
        yield Place(url, cluster)


def taken(lease: Lease | None) -> Lease:
    """The lease, which must have been given."""
    assert lease is not None
    return lease


def test_hundreds_of_leases_are_held_by_renewing_one_object(place: Place) -> None:
    """An idle minute of a replica costs writes of its own Lease, looks at the others, and one look
    at all: as many calls for one target as for hundreds."""
    leases = place.process()
    targets = [f"default/model-{number}" for number in range(300)]
    assert len(leases.acquire_many(targets, "a")) == 300
    before = place.calls()
    for _ in range(60):
        place.wait(1)
        leases.replicas("a")
        leases.acquire_many([], "a")
        assert all(leases.acquire(target, "a") for target in targets)

    writes = [method for method, _ in place.cluster.requests[before:] if method != "GET"]
    assert len(writes) == 12, "every five seconds"
    assert place.calls() - before <= 12 + 60 + 1


def test_a_holder_that_cannot_renew_stops_before_others_may_begin(place: Place) -> None:
    """It believes for 12 s, the others wait for 15."""
    first, second = place.process(), place.process()
    lease = taken(first.acquire(TARGET, "a"))
    second.replicas("b")
    place.cluster.fault = lambda method, path: BROKEN if name_of("a") in path else None
    place.wait(11.9)
    assert first.is_held(lease)
    place.wait(0.2)
    assert not first.is_held(lease)
    place.cluster.fault = lambda method, path: None
    second.replicas("b")

    assert second.acquire(TARGET, "b") is None, "not yet"


def test_an_answer_that_was_lost_costs_a_token_and_nothing_else(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write took effect and nobody heard: the same process takes it with the next token."""
    leases, other = place.process(), place.process()
    leases.replicas("a")
    written = place.cluster.put

    def lost(*arguments: Any, **named: Any) -> Any:
        written(*arguments, **named)
        raise BROKEN

    with monkeypatch.context() as patched:
        patched.setattr(place.cluster, "put", lost)
        assert leases.acquire_many([TARGET], "a") == {}
    lease = taken(leases.acquire(TARGET, "a"))

    assert lease.token == 2
    assert other.acquire(TARGET, "b") is None


def test_what_could_not_be_given_back_is_given_back_later(place: Place) -> None:
    """Else nobody else could have it as long as this replica lives."""
    first, second = place.process(), place.process()
    lease = taken(first.acquire(TARGET, "a"))
    place.cluster.fault = lambda method, path: BROKEN if "flights" in path else None
    first.release(lease)
    place.cluster.fault = lambda method, path: None

    assert not first.is_held(lease)
    assert second.acquire(TARGET, "b") is None

    first.acquire_many([], "a")

    assert taken(second.acquire(TARGET, "b")).token > lease.token


def test_a_deleted_lease_is_noticed(place: Place) -> None:
    """Somebody's kubectl took it away: whoever held it finds out within a minute."""
    leases = place.process()
    lease = taken(leases.acquire(TARGET, "a"))
    for key in [key for key in place.cluster.objects if "flights" in key[-1]]:
        place.cluster.remove(key)
    for _ in range(13):
        place.wait(5)
        leases.acquire_many([], "a")
        leases.replicas("a")

    assert not leases.is_held(lease)


def test_two_processes_of_one_name_do_not_both_lead(place: Place) -> None:
    """The second waits until the first is certainly gone."""
    first, second = place.process(), place.process()
    lease = taken(first.acquire(TARGET, "a"))
    with pytest.raises(Unavailable, match="another replica calls itself a"):
        second.acquire(TARGET, "a")
    assert first.is_held(lease)

    place.wait(15)

    assert taken(second.acquire(TARGET, "a")).token > lease.token
    assert not first.is_held(lease)


def test_a_late_renewal_meets_an_ended_session(place: Place) -> None:
    """Whoever was taken for dead begins anew, and does not get back what it had."""
    first, second = place.process(), place.process()
    lease = taken(first.acquire(TARGET, "a"))
    second.replicas("b")
    place.wait(15)
    new = taken(second.acquire(TARGET, "b"))

    assert first.replicas("a") == {"a", "b"}
    assert first.acquire(TARGET, "a") is None
    assert not first.is_held(lease)
    assert second.is_held(new)


@pytest.mark.parametrize("seed", range(6))
def test_two_never_hold_one_target_whatever_fails(place: Place, seed: int) -> None:
    """Time passes amid requests, answers fail, leases are taken, given back and left at random."""
    chance = random.Random(seed)
    processes = {name: place.process() for name in "abc"}
    mine: dict[str, Lease | None] = dict.fromkeys(processes)

    def fault(method: str, path: str) -> Failure | None:
        if chance.random() < 0.1:
            place.wait(chance.choice([1, 4, 9, 16]))
        return BROKEN if chance.random() < 0.15 else None

    place.cluster.fault = fault
    tokens: list[int] = []
    for _ in range(150):
        name = chance.choice("abc")
        leases, lease = processes[name], mine[name]
        with contextlib.suppress(MendloopError):
            match chance.choice(["acquire"] * 5 + ["many", "release", "leave", "look"]):
                case "release":
                    if lease is not None:
                        leases.release(lease)
                case "leave":
                    leases.leave(name)
                case "look":
                    leases.replicas(name)
                case "many":
                    mine[name] = leases.acquire_many([TARGET], name).get(TARGET)
                case _:
                    mine[name] = leases.acquire(TARGET, name)
        place.wait(chance.choice([0, 0, 1, 3]))
        holding = [n for n, m in mine.items() if m is not None and _believes(processes[n], m)]
        tokens += [processes[n]._held[TARGET].lease.token for n in holding]

        assert len(holding) <= 1, holding
    assert tokens == sorted(tokens)
    assert len(set(tokens)) > 3, "it did change hands"


def _believes(leases: KubernetesLeases, lease: Lease) -> bool:
    """What the holder itself would act on, without a request."""
    return lease.target in leases._held and leases.is_held(lease)
