"""``mendloop run --config`` as a process: what it serves, what it takes up, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from orchestrator.journal import kinds
from orchestrator.journal.sqlite import SqliteJournal
from tools.file_lease import FileLeases

MENDLOOP = "from orchestrator.cli.main import main; main()"
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "flights" / "model.yaml"
DEADLINE_S = 90.0
"""The first tick opens MLflow's database: tens of seconds on a busy machine."""


def platform(home: Path, port: int, **changes: Any) -> dict[str, Any]:
    """One machine; a model folder, and nothing running yet."""
    return {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "Platform",
        "metadata": {"name": "test"},
        "spec": {
            "home": str(home),
            "models": {"folder": str(home.parent / "models")},
            "traffic": {"envoy": {}},
            "workloads": {"processes": {}},
            "pipelines": {"local": {}},
            "registry": {"local": {}},
            "metrics": {"envoy": {}},
            "predictionLog": {"parquet": {}},
            "journal": {},
            "leases": {"files": {}},
            "http": {"host": "127.0.0.1", "port": port},
            "tick": {"every": "100ms", "unhealthyAfter": 600},
            "log": {"format": "json"},
            **changes,
        },
    }


class Process:
    """One mendloop."""

    def __init__(
        self, folder: Path, document: dict[str, Any], *, deadline_s: float = DEADLINE_S
    ) -> None:
        self.deadline_s = deadline_s
        self.folder, self.home = folder, Path(document["spec"]["home"])
        self.port = document["spec"]["http"]["port"]
        config = folder / "platform.yaml"
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-c", MENDLOOP, "run", "--config", str(config)],
            cwd=ROOT,
            stderr=self.log,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def told(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log's lines about an event."""
        found = [json.loads(line) for line in self.told().splitlines() if line.startswith("{")]
        return [line for line in found if line.get("event") == event]

    def get(self, path: str) -> httpx.Response | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}{path}", trust_env=False)
        except httpx.TransportError:
            return None

    def is_ready(self) -> bool:
        answer = self.get("/readyz")
        return answer is not None and answer.status_code == 200

    def metric(self, name: str) -> float | None:
        answer = self.get("/metrics")
        text = answer.text if answer is not None else ""
        values = [line.split()[-1] for line in text.splitlines() if line.startswith(f"{name} ")]
        return float(values[0]) if values else None

    def await_that(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + self.deadline_s
        while not holds():
            assert self.process.poll() is None, f"{what}: it ended: {self.told()[-2000:]}"
            assert time.monotonic() < deadline, f"{what}: {self.told()[-2000:]}"
            threading.Event().wait(0.05)

    def end(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Process]]:
    begun: list[Process] = []
    (tmp_path / "models").mkdir()
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    (tmp_path / "models" / "a.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")

    def begin(found: dict[str, Any]) -> Process:
        begun.append(Process(tmp_path, found))
        return begun[-1]

    yield begin
    for process in begun:
        process.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def change(file: Path, text: str) -> None:
    """As a mounted ConfigMap changes: by a rename."""
    beside = file.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    beside.rename(file)


def test_it_serves_what_it_is_and_takes_up_what_changes(
    start: Callable[[dict[str, Any]], Process], tmp_path: Path
) -> None:
    """Probes, metrics, documents that break and are mended, rules that break; then SIGTERM."""
    mendloop = start(platform(tmp_path / "home", free_port()))
    mendloop.await_that(mendloop.is_ready, "it becomes ready")
    health = mendloop.get("/healthz")
    assert health is not None
    assert health.status_code == 200
    assert mendloop.metric("mendloop_targets") == 1
    assert mendloop.metric("mendloop_targets_held") == 1
    assert mendloop.metric("mendloop_models_rejected") == 0

    good = (tmp_path / "models" / "a.yaml").read_text(encoding="utf-8")
    change(tmp_path / "models" / "a.yaml", good.replace("kind: ManagedModel", "kind: Nonsense"))
    mendloop.await_that(lambda: mendloop.metric("mendloop_models_rejected") == 1, "it says so")

    assert mendloop.metric("mendloop_targets") == 1
    assert "kind: Input should be 'ManagedModel'" in mendloop.lines("models.rejected")[0]["error"]

    change(tmp_path / "models" / "a.yaml", good)
    change(tmp_path / "models" / "b.yaml", good.replace("name: flights", "name: trains"))
    mendloop.await_that(lambda: mendloop.metric("mendloop_targets") == 2, "a model is added")
    assert mendloop.metric("mendloop_models_rejected") == 0

    (tmp_path / "home" / "policies").mkdir()
    change(tmp_path / "home" / "policies" / "mine.yaml", "kind: [")
    mendloop.await_that(lambda: mendloop.metric("mendloop_policies_rejected") == 1, "broken rules")

    assert mendloop.end() == 0
    assert mendloop.lines("controller.stopped")
    journal = SqliteJournal.open_read_only(tmp_path / "home" / "mendloop.db")
    try:
        said = [event.kind for event in journal.events()]
        assert journal.verify().ok
    finally:
        journal.close()
    assert said[-1] == kinds.CONTROLLER_STOPPED
    assert {kinds.MODELS_REJECTED, kinds.POLICIES_REJECTED} <= set(said)
    leases = FileLeases(tmp_path / "home" / "leases")
    assert leases.acquire("default/flights", "the next one") is not None


def test_a_port_that_is_taken_is_named(
    start: Callable[[dict[str, Any]], Process], tmp_path: Path
) -> None:
    """Two on one machine: the second says what to do, and changes nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        mendloop = start(platform(tmp_path / "home", port))

        assert mendloop.process.wait(timeout=DEADLINE_S) == 2
    told = mendloop.told()
    assert f"cannot listen on 127.0.0.1:{port}" in told
    assert "Traceback" not in told


def test_without_one_model_that_can_be_kept_it_does_not_idle(
    start: Callable[[dict[str, Any]], Process], tmp_path: Path
) -> None:
    """A typo in the only document must not look like a controller at work."""
    (tmp_path / "models" / "a.yaml").write_text("kind: ManagedModel\n", encoding="utf-8")
    mendloop = start(platform(tmp_path / "home", free_port()))

    assert mendloop.process.wait(timeout=DEADLINE_S) == 2
    assert "none of the model documents can be kept" in mendloop.told()
    assert "spec: Field required" in mendloop.told()
