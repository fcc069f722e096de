"""What every adapter of the lease port promises."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from simulations.clock import VirtualClock
from simulations.lease import MemoryLeases
from tests.stand_in.api_servers import open_stand_in
from tools.errors import Invalid, Refused
from tools.file_lease import FileLeases
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_lease import KubernetesLeases
from tools.lease import Lease, SharedLeases

TARGET = "default/flights"
NUMBERS = itertools.count()

HOLDER = """
import sys
from pathlib import Path
from tools.file_lease import FileLeases

leases = FileLeases(Path(sys.argv[1]))
for _ in sys.stdin:
    lease = leases.acquire("default/flights", sys.argv[2])
    sys.stdout.write(f"{lease.token if lease else 0}\\n")
    sys.stdout.flush()
"""


class World:
    """Two contenders for leases of one platform, and the death of the first."""

    def __init__(self, first: SharedLeases, second: SharedLeases, kill: Callable[[], None]) -> None:
        self.first, self.second, self.kill_first = first, second, kill


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    with open_stand_in() as found:
        yield found


def cluster_world(api: KubernetesApi, namespace: str) -> World:
    """Two processes that lead each other on in one namespace."""
    clock = VirtualClock()
    first, second = (KubernetesLeases(api, clock, namespace=namespace, ttl_s=10) for _ in range(2))

    def kill_first() -> None:
        second.replicas("b")  # a contender watches for a while before it may take over
        clock.advance(timedelta(seconds=10))

    return World(first, second, kill_first)


def close_files(leases: FileLeases) -> None:
    """What the kernel does to a process that dies; nothing else happens then."""
    for _, descriptor in leases._held.values():
        os.close(descriptor)
    for descriptor in leases._announced.values():
        os.close(descriptor)
    leases._held, leases._announced = {}, {}


@pytest.fixture(params=["file", "memory", "kubernetes"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Every adapter; unless it is in memory, each contender has an instance, as processes have."""
    if request.param == "kubernetes":
        return cluster_world(request.getfixturevalue("api"), f"ns-{next(NUMBERS)}")
    if request.param == "memory":
        clock = VirtualClock()
        shared = MemoryLeases(clock, ttl_s=10)
        return World(shared, shared, lambda: clock.advance(timedelta(seconds=10)))
    first = FileLeases(tmp_path)
    return World(first, FileLeases(tmp_path), lambda: close_files(first))


def taken(lease: Lease | None) -> Lease:
    """The lease, which must have been given."""
    assert lease is not None
    return lease


def test_at_most_one_holder_has_a_target(world: World) -> None:
    """The second contender gets nothing while the first holds it."""
    lease = taken(world.first.acquire(TARGET, "a"))

    assert world.second.acquire(TARGET, "b") is None
    assert world.first.is_held(lease)
    assert world.second.is_held(lease), "anybody may ask whether a lease is in force"


def test_another_target_is_independent(world: World) -> None:
    """Holding one target keeps nobody from another."""
    taken(world.first.acquire(TARGET, "a"))

    assert taken(world.second.acquire("default/other", "b")).token == 1


def test_acquiring_again_renews_with_the_same_token(world: World) -> None:
    """A tick of the holder is no new ownership."""
    lease = taken(world.first.acquire(TARGET, "a"))

    assert world.first.acquire(TARGET, "a") == lease


def test_a_new_owner_gets_a_higher_token_after_release(world: World) -> None:
    """Tokens grow with every ownership, also when it goes back and forth."""
    first = taken(world.first.acquire(TARGET, "a"))
    world.first.release(first)
    second = taken(world.second.acquire(TARGET, "b"))
    world.second.release(second)
    third = taken(world.first.acquire(TARGET, "a"))

    assert first.token < second.token < third.token


def test_a_released_lease_is_not_held(world: World) -> None:
    """Giving it back ends it, and giving it back again harms nobody."""
    lease = taken(world.first.acquire(TARGET, "a"))
    world.first.release(lease)
    later = taken(world.second.acquire(TARGET, "b"))
    world.first.release(lease)

    assert not world.first.is_held(lease)
    assert world.second.is_held(later)


def test_a_dead_holder_loses_it_to_the_next(world: World) -> None:
    """The next owner takes over with a higher token, and the old lease is void."""
    old = taken(world.first.acquire(TARGET, "a"))
    world.kill_first()
    new = taken(world.second.acquire(TARGET, "b"))

    assert new.token > old.token
    assert not world.first.is_held(old)
    assert world.first.acquire(TARGET, "a") is None


def test_a_stale_lease_cannot_release_the_new_one(world: World) -> None:
    """A holder that comes back from the dead takes nothing away."""
    old = taken(world.first.acquire(TARGET, "a"))
    world.kill_first()
    new = taken(world.second.acquire(TARGET, "b"))
    world.first.release(old)

    assert world.second.is_held(new)


def test_a_target_without_a_name_is_refused(world: World) -> None:
    """An empty name is a defect of the caller."""
    with pytest.raises(Invalid, match="target"):
        world.first.acquire("", "a")


def test_replicas_know_each_other(world: World) -> None:
    """Whoever asks is announced by that, and asking again changes nothing."""
    assert world.first.replicas("a") == {"a"}
    assert world.second.replicas("b") == {"a", "b"}
    assert world.first.replicas("a") <= {"a", "b"}, "news may take a moment"
    assert world.second.replicas("b") == {"a", "b"}


def test_a_dead_replica_is_a_replica_no_more(world: World) -> None:
    """Its targets are shared out again within the lease time."""
    world.first.replicas("a")
    taken(world.first.acquire(TARGET, "a"))
    world.kill_first()

    assert world.second.replicas("b") == {"b"}


def test_a_replica_that_leaves_gives_everything_back(world: World) -> None:
    """An orderly end keeps nobody waiting, and the token still grows."""
    world.first.replicas("a")
    lease = taken(world.first.acquire(TARGET, "a"))
    other = taken(world.first.acquire("default/other", "a"))
    world.first.leave("a")

    assert world.second.replicas("b") == {"b"}
    assert not world.first.is_held(lease)
    assert taken(world.second.acquire(TARGET, "b")).token > lease.token
    assert taken(world.second.acquire("default/other", "b")).token > other.token


def test_many_are_taken_as_far_as_they_are_free(world: World) -> None:
    """What another holds is left out; what one holds oneself is named."""
    taken(world.first.acquire(TARGET, "a"))
    mine = taken(world.second.acquire("default/mine", "b"))
    found = world.second.acquire_many([TARGET, "default/mine", "default/new"], "b")

    assert set(found) == {"default/mine", "default/new"}
    assert found["default/mine"] == mine
    assert all(world.first.is_held(lease) for lease in found.values())
    assert world.second.acquire_many([], "b") == {}


def test_many_are_taken_from_a_dead_holder(world: World) -> None:
    """Each with a higher token."""
    targets = [f"default/{number}" for number in range(5)]
    before = world.first.acquire_many(targets, "a")
    world.kill_first()
    after = world.second.acquire_many(targets, "b")

    assert set(after) == set(before) == set(targets)
    assert all(after[target].token > before[target].token for target in targets)
    assert not any(world.first.is_held(lease) for lease in before.values())


class Contender:
    """Another process that acquires whenever it is asked to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def acquire(self) -> int:
        """The token that it got, 0 for none."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextlib.contextmanager
def contender(root: Path, holder: str) -> Iterator[Contender]:
    """A process of its own, gone afterwards."""
    command = [sys.executable, "-c", HOLDER, str(root), holder]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Contender(process)
        finally:
            process.kill()


def test_processes_contend_and_kill_9_frees_the_lease_at_once(tmp_path: Path) -> None:
    """The kernel frees the lock of a killed holder; the token still grows."""
    with contender(tmp_path, "a") as a, contender(tmp_path, "b") as b:
        assert a.acquire() == 1
        assert b.acquire() == 0
        a.process.send_signal(signal.SIGKILL)
        a.process.wait(timeout=10)

        assert b.acquire() == 2


def test_a_deleted_lock_file_ends_the_lease(tmp_path: Path) -> None:
    """When somebody deletes the lock file, another process may lock a new one: stand down."""
    leases = FileLeases(tmp_path)
    lease = taken(leases.acquire(TARGET, "a"))
    next(tmp_path.glob("*.lock")).unlink()

    assert not leases.is_held(lease)
    assert taken(leases.acquire(TARGET, "a")).token == lease.token + 1


def test_an_unreadable_token_is_never_guessed(tmp_path: Path) -> None:
    """Beginning again at 1 would let stale writes through."""
    leases = FileLeases(tmp_path)
    leases.release(taken(leases.acquire(TARGET, "a")))
    next(tmp_path.glob("*.token")).write_text("{")

    with pytest.raises(Refused, match="token higher"):
        leases.acquire(TARGET, "a")


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    """The message says which folder is wrong."""
    (tmp_path / "leases").write_text("")

    with pytest.raises(Invalid, match="leases"):
        FileLeases(tmp_path / "leases")
