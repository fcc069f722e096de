"""Server processes survive their controller, are found again, and never get out of hand."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tools.errors import Invalid, Unavailable
from tools.local_processes import LocalWorkloads
from tools.process_records import (
    RECORD_NAME,
    ProcessRecord,
    end,
    find_by_argument,
    is_alive,
    read_record,
    spawn,
)
from tools.workloads import ServerPhase, ServerRequest, ServerState

STAND_IN = Path(__file__).parents[1] / "stand_in" / "server.py"
TARGET = "default/flights"
DEADLINE_S = 20.0

CONTROLLER = """
import os, signal, sys
from pathlib import Path
from tools.local_processes import LocalWorkloads, NoEndpoints
from tools.workloads import ServerRequest

home, stand_in, artifact = map(Path, sys.argv[1:4])
workloads = LocalWorkloads(home / "servers", home / "predictions", endpoints=NoEndpoints(),
                           command=(sys.executable, str(stand_in)))
request = ServerRequest(target="default/flights", version="1", artifact=artifact,
                        artifact_digest="aa")
sys.stdin.readline()
workloads.start(request, key="k", token=1)
os.kill(os.getpid(), signal.SIGKILL)
"""


class Endpoints:
    """Remembers every publication; may be out of order."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.is_down = False

    def publish(self, target: str, version: str, address: str) -> None:
        if self.is_down:
            raise Unavailable("the data plane does not follow")
        self.published.append(address)

    def withdraw(self, target: str, version: str) -> None:
        if self.is_down:
            raise Unavailable("the data plane does not follow")


class Machine:
    """A home directory with servers, artifacts and a clock that can be put forward."""

    def __init__(self, home: Path) -> None:
        self.home, self.endpoints, self.offset_s = home, Endpoints(), 0.0
        self.workloads = self.controller()

    def controller(
        self, *, grace_s: float = 5.0, ready_within_s: float = 60.0, acts_on_read: bool = True
    ) -> LocalWorkloads:
        return LocalWorkloads(
            self.home / "servers",
            self.home / "predictions",
            endpoints=self.endpoints,
            command=(sys.executable, str(STAND_IN)),
            grace_s=grace_s,
            ready_within_s=ready_within_s,
            acts_on_read=acts_on_read,
            monotonic_s=lambda: time.monotonic() + self.offset_s,
        )

    @property
    def folder(self) -> Path:
        return self.home / "servers" / TARGET / "1"

    def artifact(self, *behaviours: str, digest: str = "aa") -> Path:
        path = self.home / "artifact"
        path.mkdir(exist_ok=True)
        (path / "digest").write_text(digest)
        for behaviour in behaviours:
            (path / behaviour).touch()
        return path

    def start(self, *behaviours: str, loaded: str = "aa") -> ServerState:
        artifact = self.artifact(*behaviours, digest=loaded)
        request = ServerRequest(target=TARGET, version="1", artifact=artifact, artifact_digest="aa")
        return self.workloads.start(request, key="k", token=1)

    def start_another(self) -> None:
        """A version that is ready, so that the first may be stopped."""
        folder = self.home / "another"
        folder.mkdir()
        (folder / "digest").write_text("bb")
        request = ServerRequest(target=TARGET, version="2", artifact=folder, artifact_digest="bb")
        self.workloads.start(request, key="k", token=1)
        eventually(
            lambda: self.workloads.read(TARGET, "2"),
            lambda state: state.phase is ServerPhase.READY,
        )

    def read(self) -> ServerState:
        return self.workloads.read(TARGET, "1")

    def process(self) -> ProcessRecord:
        record = read_record(self.folder / RECORD_NAME)
        assert record is not None
        return record

    def until(self, phase: ServerPhase) -> ServerState:
        return eventually(lambda: self.read(), lambda state: state.phase is phase)


def eventually(
    look: Callable[[], ServerState], wanted: Callable[[ServerState], bool]
) -> ServerState:
    """The first state that is as wanted; fails with the last one at the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not wanted(state := look()):
        assert time.monotonic() < deadline, state
        threading.Event().wait(0.01)
    return state


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    for version in ("1", "2"):
        for record in find_by_argument(str(machine.folder.parent / version / "port")):
            end(record, grace_s=0.0)


def controllers(machine: Machine, count: int) -> list[subprocess.Popen[bytes]]:
    """Controllers that start the server when told to, and are killed right after."""
    arguments = [str(machine.home), str(STAND_IN), str(machine.artifact())]
    command = [sys.executable, "-c", CONTROLLER, *arguments]
    return [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(count)]


def test_a_server_survives_its_controller_and_is_found_again(machine: Machine) -> None:
    """The next controller reads the same process, under the key that made it."""
    [controller] = controllers(machine, 1)
    controller.communicate(b"go\n")
    assert controller.returncode == -signal.SIGKILL
    process = machine.process()
    state = machine.until(ServerPhase.READY)

    assert (state.key, state.restarts) == ("k", 0)
    assert machine.process() == process
    machine.start_another()
    assert machine.workloads.stop(TARGET, "1", key="s", token=1).phase is ServerPhase.ABSENT
    assert not is_alive(process)


def test_controllers_that_start_at_once_make_one_server(machine: Machine) -> None:
    """The lock lets one of them make it; the others find it made."""
    started = controllers(machine, 3)
    for controller in started:
        assert controller.stdin is not None
        controller.stdin.write(b"go\n")
        controller.stdin.flush()
    for controller in started:
        controller.communicate()
    machine.until(ServerPhase.READY)

    assert find_by_argument(str(machine.folder / "port")) == [machine.process()]


def test_a_process_that_was_not_yet_recorded_is_adopted(machine: Machine) -> None:
    """A controller killed between start and record leaves no second server behind."""
    machine.start()
    process = machine.process()
    (machine.folder / RECORD_NAME).unlink()
    state = machine.until(ServerPhase.READY)

    assert machine.process() == process
    assert state.restarts == 0
    assert find_by_argument(str(machine.folder / "port")) == [process]


def test_a_server_that_the_platform_ended_is_started_anew(machine: Machine) -> None:
    """That was no crash: the platform removes the process record when it stops."""
    machine.start()
    machine.until(ServerPhase.READY)
    end(machine.process(), grace_s=5.0)
    (machine.folder / RECORD_NAME).unlink()

    assert machine.until(ServerPhase.READY).restarts == 0


def test_who_only_looks_starts_nothing(machine: Machine) -> None:
    """`mendloop plan` on a stopped platform must leave it stopped."""
    onlooker = machine.controller(acts_on_read=False)
    machine.start()
    machine.until(ServerPhase.READY)
    seen_running = onlooker.read(TARGET, "1").phase
    end(machine.process(), grace_s=5.0)
    (machine.folder / RECORD_NAME).unlink()

    assert seen_running is ServerPhase.READY
    assert onlooker.read(TARGET, "1").phase is ServerPhase.STARTING
    assert not (machine.folder / RECORD_NAME).exists()


def test_a_server_with_another_artifact_gets_no_requests(machine: Machine) -> None:
    """What it loaded counts, not what was asked: it is ended, unpublished, with the reason."""
    machine.start(loaded="bb")
    state = machine.until(ServerPhase.FAILED)

    assert "it loaded artifact bb, expected aa" in state.reason
    assert machine.endpoints.published == []
    assert find_by_argument(str(machine.folder / "port")) == []


def test_a_server_that_dies_at_start_says_its_last_words(machine: Machine) -> None:
    """The reason carries the end of its log."""
    machine.start("crash")

    def look() -> ServerState:
        machine.offset_s += 0.5
        return machine.read()

    state = eventually(look, lambda state: state.phase is ServerPhase.FAILED)
    assert "crashed 4 times in a row" in state.reason
    assert "the artifact is broken" in state.reason


def test_restarts_wait_longer_each_time(machine: Machine) -> None:
    """A crash is not followed by a restart at once."""
    machine.start("crash")
    waits = []
    for _ in range(3):
        process = machine.process()
        wait_until(lambda process=process: not is_alive(process))  # type: ignore[misc]
        state = machine.read()
        waits.append(float(state.reason.partition(" in ")[2].partition(" s")[0]))
        assert machine.read().phase is ServerPhase.STARTING
        assert not is_alive(machine.process())
        machine.offset_s += waits[-1] + 0.1
        machine.read()

    assert waits == pytest.approx([0.5, 1.0, 2.0], abs=0.06)


def test_a_server_that_never_gets_ready_is_given_up(machine: Machine) -> None:
    """Within its time it is STARTING, after it FAILED and ended."""
    machine.start("loading")
    eventually(machine.read, lambda state: state.reason == "still loading")
    machine.offset_s += 61.0
    state = machine.read()

    assert state.phase is ServerPhase.FAILED
    assert "not ready within 60 s" in state.reason
    assert find_by_argument(str(machine.folder / "port")) == []


def test_a_server_that_was_ready_is_not_given_up_for_a_slow_answer(machine: Machine) -> None:
    """The time to get ready is counted once."""
    machine.start()
    machine.until(ServerPhase.READY)
    machine.offset_s += 3600.0
    os.kill(machine.process().pid, signal.SIGSTOP)
    state = machine.read()
    os.kill(machine.process().pid, signal.SIGCONT)

    assert state.phase is ServerPhase.STARTING
    assert "no answer" in state.reason
    machine.until(ServerPhase.READY)


def test_requests_in_flight_are_answered_before_the_end(machine: Machine) -> None:
    """Stopping waits for them, within the grace."""
    machine.start()
    machine.start_another()
    address = machine.until(ServerPhase.READY).address
    answers: list[int] = []

    def ask() -> None:
        with httpx.Client(trust_env=False, timeout=10.0) as client:
            answer = client.get(f"http://{address}/predict", headers={"x-wait-ms": "400"})
            answers.append(answer.status_code)

    client = threading.Thread(target=ask)
    client.start()
    wait_until(lambda: _connections(address) > 0)
    machine.workloads.stop(TARGET, "1", key="s", token=1)
    client.join()

    assert answers == [200]


def _connections(address: str) -> int:
    """Established connections to a local port, as the kernel lists them."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)


def test_a_server_that_does_not_listen_to_reason_is_killed(machine: Machine) -> None:
    """The grace has an end."""
    machine.workloads = machine.controller(grace_s=0.2)
    machine.start("stubborn")
    machine.until(ServerPhase.READY)
    machine.start_another()
    process = machine.process()

    assert machine.workloads.stop(TARGET, "1", key="s", token=1).phase is ServerPhase.ABSENT
    assert not is_alive(process)


def test_a_taken_port_moves_the_server_and_the_requests(machine: Machine) -> None:
    """Where somebody else listens meanwhile, the restarted server is published anew."""
    machine.start()
    first = machine.until(ServerPhase.READY).address
    os.kill(machine.process().pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(machine.process()))
    with socket.create_server(("127.0.0.1", int(first.rpartition(":")[2]))):
        machine.read()
        machine.offset_s += 1.0
        second = machine.until(ServerPhase.READY).address

    assert second != first
    assert machine.endpoints.published == [first, second]


def test_a_data_plane_that_does_not_follow_keeps_the_server_from_being_ready(
    machine: Machine,
) -> None:
    """It is read as READY only when requests can be sent to it."""
    machine.endpoints.is_down = True
    machine.start()
    state = eventually(machine.read, lambda state: "ready, but" in state.reason)
    assert state.phase is ServerPhase.STARTING

    machine.endpoints.is_down = False
    assert machine.read().phase is ServerPhase.READY


def test_a_stop_that_cannot_withdraw_leaves_the_server_serving(machine: Machine) -> None:
    """Requests may still come: ending it would fail them."""
    machine.start()
    machine.until(ServerPhase.READY)
    machine.start_another()
    machine.endpoints.is_down = True

    with pytest.raises(Unavailable):
        machine.workloads.stop(TARGET, "1", key="s", token=1)
    assert machine.read().phase is ServerPhase.READY


@pytest.mark.parametrize("target", ["flights", "a/b/c", "../x", "a/..", "a/"])
def test_a_target_names_a_folder_of_its_own(machine: Machine, target: str) -> None:
    """Nothing outside the servers' folder can be named."""
    with pytest.raises(Invalid, match="namespace/name"):
        machine.workloads.read(target, "1")


def test_a_version_names_a_folder_of_its_own(machine: Machine) -> None:
    """Nor through the version."""
    with pytest.raises(Invalid, match="version"):
        machine.workloads.read(TARGET, "../../x")


def test_a_missing_program_is_said(machine: Machine) -> None:
    """The message names the program."""
    machine.workloads = LocalWorkloads(
        machine.home / "servers",
        machine.home / "predictions",
        endpoints=machine.endpoints,
        command=("/nowhere/python",),
    )

    with pytest.raises(Invalid, match="cannot run /nowhere/python"):
        machine.start()


def test_a_pid_that_went_to_somebody_else_is_not_taken_for_ours() -> None:
    """A record names a process by its start as well: ending it spares a stranger."""
    stranger = spawn([sys.executable, "-c", "import signal; signal.pause()"], log=Path(os.devnull))
    ours = ProcessRecord(pid=stranger.pid, start="an earlier boot:1")
    assert not is_alive(ours)
    assert end(ours, grace_s=0.1)

    assert is_alive(stranger)
    end(stranger, grace_s=5.0)
    assert not is_alive(stranger)
