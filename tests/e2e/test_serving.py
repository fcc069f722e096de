"""A real server process with a real model: its answers, its log, its end."""

from __future__ import annotations

import asyncio
import importlib
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from tools.artifact import artifact_digest, load_predictor, save_artifact
from tools.model_inputs import model_frame, number_inputs
from tools.parquet_log import ParquetPredictionLog
from tools.schema import Column, ColumnType, FeatureSchema

ROOT = Path(__file__).resolve().parents[2]
TARGET = "default/flights"
SCHEMA = FeatureSchema(
    time_column="departure",
    time_features=("hour", "weekday"),
    columns=(
        Column(name="temp", type=ColumnType.NUMBER, nullable=True),
        Column(name="distance", type=ColumnType.NUMBER),
        Column(name="carrier", type=ColumnType.CATEGORY),
    ),
    forbidden=("arr_delay",),
)
GOOD = {"departure": "2013-03-01T05:15:00Z", "temp": 39.5, "distance": 1400, "carrier": "UA"}
START = datetime.fromisoformat("2013-01-01")


def training_rows(count: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "departure": START + pd.to_timedelta(np.arange(count), unit="h"),
            "temp": rng.normal(50, 15, count),
            "distance": rng.uniform(100, 3000, count),
            "carrier": rng.choice(["UA", "AA", "B6"], count),
        }
    )
    frame.loc[::9, "temp"] = np.nan
    return frame


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small fitted model with its ONNX twin."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = training_rows()
    numbers = list(range(len(number_inputs(SCHEMA))))
    features = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [len(numbers)]),
        ]
    )
    model = Pipeline(
        [("features", features), ("classifier", HistGradientBoostingClassifier(max_iter=10))]
    )
    inputs = model_frame(rows, SCHEMA)
    label = (rows["temp"].fillna(50) + rows["distance"] / 100 > 65).astype(int)
    folder = tmp_path_factory.mktemp("artifact") / "model"
    model.fit(inputs, label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow warns about its own code while it is imported
        save_artifact(model, SCHEMA, rows.head(50), folder)
    assert (folder / "model.onnx").is_file()
    return folder


class Server:
    """A server process and what it left behind."""

    def __init__(self, home: Path, artifact: Path, *extra: str) -> None:
        self.home = home
        self.config = home / "config.json"
        self.output = home / "server.log"
        self.client = httpx.Client(trust_env=False)
        self._port_file = home / "port"
        home.mkdir(exist_ok=True)
        self.config.write_text("{}")
        self._port_file.unlink(missing_ok=True)
        arguments = [
            *("--artifact", str(artifact), "--target", TARGET, "--version", "3"),
            *("--port-file", str(self._port_file), "--config", str(self.config)),
            *("--log", str(home / "predictions" / TARGET), *extra),
        ]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving", *arguments], cwd=ROOT, stderr=output
            )

    @property
    def url(self) -> str:
        self.until(self._port_file.is_file)
        return f"http://127.0.0.1:{self._port_file.read_text().strip()}"

    def until(self, condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.01)

    def until_ready(self) -> None:
        self.until(lambda: self.client.get(f"{self.url}/ready").status_code == 200)

    def health(self) -> Any:
        return self.client.get(f"{self.url}/health").json()

    def predict(self, **change: Any) -> httpx.Response:
        return self.client.post(f"{self.url}/predict", json=GOOD | change)

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def logged(self) -> pd.DataFrame:
        log = ParquetPredictionLog(self.home / "predictions", self.home / "labels")
        frame = log.predictions(TARGET, start=START, end=START + timedelta(days=365))
        assert log.unreadable(TARGET) == ()
        return frame

    def kill(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), artifact)
    try:
        running.until_ready()
        yield running
    finally:
        running.kill()


@pytest.fixture
def start(artifact: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers of one's own, and ends them."""
    started: list[Server] = []

    def make(*extra: str, model: Path = artifact) -> Server:
        started.append(Server(tmp_path / "home", model, *extra))
        return started[-1]

    try:
        yield make
    finally:
        for running in started:
            running.kill()


def test_health_says_what_is_served(server: Server, artifact: Path) -> None:
    """Version, digest of the artifact that was loaded, configuration in force."""
    health = server.health()

    assert health["status"] == "ok"
    assert (health["target"], health["version"]) == (TARGET, "3")
    assert health["artifact_digest"] == artifact_digest(artifact)
    assert health["config"] == {"masked": []}


def test_it_answers_what_the_artifact_answers(server: Server, artifact: Path) -> None:
    """One by one or in a batch, over HTTP or in process: the same probabilities."""
    rows = training_rows(30)
    bodies: list[dict[str, Any]] = [
        {str(key): None if value != value else value for key, value in row.items()}
        | {"departure": row["departure"].isoformat()}
        for row in rows.to_dict("records")
    ]
    expected = load_predictor(artifact).predict(bodies)

    single = [server.predict(**body).json()["probability"] for body in bodies]
    batch = server.client.post(f"{server.url}/predict/batch", json={"rows": bodies}).json()[
        "predictions"
    ]

    assert single == pytest.approx(expected, abs=1e-6)
    assert [answer["probability"] for answer in batch] == pytest.approx(expected, abs=1e-6)
    assert len(set(expected)) > 3


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"distance": "far"}, "distance", "a finite number"),
        ({"wind": 3}, "wind", "no such column"),
        ({"distance": None}, "distance", "a finite number"),
        ({"arr_delay": 3}, "arr_delay", "leaks the label"),
    ],
)
def test_wrong_requests_get_a_422_that_names_the_field(
    server: Server, change: dict[str, Any], field: str, expected: str
) -> None:
    """Wrong type, unknown, missing, and known only after the event."""
    answer = server.predict(**change)
    [error] = answer.json()["error"]

    assert answer.status_code == 422
    assert error["field"] == field
    assert expected in error["expected"]


def test_a_changed_configuration_is_followed_without_a_restart(server: Server) -> None:
    """Masked columns stop to matter, and matter again afterwards."""

    def probabilities() -> set[float]:
        return {server.predict(temp=temp).json()["probability"] for temp in (0, 50, 100)}

    def configure(text: str, masked: list[str]) -> None:
        server.config.write_text(text)
        server.until(lambda: server.health()["config"] == {"masked": masked})

    open_before = probabilities()
    configure('{"masked": ["temp"]}', ["temp"])
    masked = probabilities()
    configure("{}", [])

    assert len(open_before) > 1
    assert len(masked) == 1
    assert probabilities() == open_before


async def _client(url: str, name: str, count: int, answered: list[str]) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for n in range(count):
            try:
                answer = await client.post(
                    "/predict", json=GOOD | {"temp": n}, headers={"x-request-id": f"{name}.{n}"}
                )
            except httpx.TransportError:
                return  # the server has stopped listening
            assert answer.status_code == 200
            answered.append(answer.json()["request_id"])


def test_after_sigterm_under_load_every_answered_request_is_in_the_log(
    start: Callable[..., Server],
) -> None:
    """The server is told to end in the middle of the load: it answers what it took, and logs it."""
    running = start()
    running.until_ready()
    answered: list[str] = []

    async def load() -> int:
        clients = [
            asyncio.create_task(_client(running.url, f"c{k}", 400, answered)) for k in range(8)
        ]
        while len(answered) < 300:
            await asyncio.sleep(0.005)
        code = await asyncio.to_thread(running.terminate)
        await asyncio.gather(*clients)
        return code

    code = asyncio.run(load())
    logged = list(running.logged()["request_id"])

    assert code == 0, running.output.read_text()
    assert 300 <= len(answered) < 3200
    assert len(logged) == len(set(logged))
    assert set(answered) <= set(logged)
    assert len(logged) - len(answered) <= 8


GATED_MODEL = '''
import os, time
import numpy as np

class GatedModel:
    """Loads when a file appears; has no ONNX form; fails for a carrier that it does not like."""

    def __init__(self, gate):
        self.gate = gate

    def __setstate__(self, state):
        self.__dict__.update(state)
        while not os.path.exists(self.gate):
            time.sleep(0.01)

    def predict_proba(self, inputs):
        if (inputs["carrier"] == "XX").any():
            raise RuntimeError("no such carrier")
        return np.tile([0.75, 0.25], (len(inputs), 1))
'''


def gated_artifact(tmp_path: Path, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifact of a model of one's own; it loads when ``gate`` appears in ``tmp_path``."""
    (tmp_path / "gated_model.py").write_text(GATED_MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gated_model", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / "custom"
    folder.mkdir()
    shutil.copy(artifact / "schema.json", folder)
    model = importlib.import_module("gated_model").GatedModel(str(tmp_path / "gate"))
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    return folder


def test_a_model_of_ones_own_is_ready_once_loaded_and_fails_only_where_it_fails(
    start: Callable[..., Server],
    tmp_path: Path,
    artifact: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """503 while it loads, then answers; its error is a 500 for that request alone."""
    running = start(model=gated_artifact(tmp_path, artifact, monkeypatch))

    ready, early = running.client.get(f"{running.url}/ready"), running.predict()
    health = running.health()
    (tmp_path / "gate").touch()
    running.until_ready()
    good, bad = running.predict(), running.predict(carrier="XX")

    assert (ready.status_code, early.status_code, health["ready"]) == (503, 503, False)
    assert (good.status_code, good.json()["probability"]) == (200, 0.25)
    assert bad.status_code == 500
    assert "no such carrier" in bad.json()["error"][0]["got"]
    assert running.terminate() == 0
    assert list(running.logged()["request_id"]) == [good.json()["request_id"]]


def test_sigterm_ends_a_server_whose_model_never_finishes_loading(
    start: Callable[..., Server],
    tmp_path: Path,
    artifact: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hung model must not turn into a process that nobody can stop politely."""
    running = start(model=gated_artifact(tmp_path, artifact, monkeypatch))
    assert running.client.get(f"{running.url}/ready").status_code == 503

    assert running.terminate() == 0


def test_after_kill_9_the_log_is_whole_and_a_new_server_goes_on(
    start: Callable[..., Server],
) -> None:
    """Only rows that were not on disk yet can be missing, and no part is torn."""
    first = start()
    first.until_ready()
    early = [first.predict().json()["request_id"] for _ in range(20)]
    first.until(lambda: bool(first.health()["log"]["written"] == 20))
    first.predict()
    first.process.kill()
    second = start()
    second.until_ready()
    late = second.predict().json()["request_id"]
    code = second.terminate()

    assert code == 0
    assert {*early, late} <= set(second.logged()["request_id"])
    assert len(second.logged()) <= 22


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_artifact_ends_the_server_with_a_message(
    start: Callable[..., Server], tmp_path: Path, artifact: Path, damage: str
) -> None:
    """Whoever started it reads why in its output."""
    broken = tmp_path / "broken"
    if damage == "truncated":
        shutil.copytree(artifact, broken)
        whole = (artifact / "model.onnx").read_bytes()
        (broken / "model.onnx").write_bytes(whole[: len(whole) // 2])
    running = start(model=broken)

    code = running.process.wait(timeout=60)

    assert code == 1
    assert str(broken) in running.output.read_text()


def test_a_port_in_use_is_said_with_what_to_do(start: Callable[..., Server]) -> None:
    """No traceback: the port, and how to get another."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = start("--port", str(port))
        code = running.process.wait(timeout=60)

    text = running.output.read_text()
    assert code == 1
    assert f"127.0.0.1:{port}" in text
    assert "choose another --port" in text
    assert "Traceback" not in text


def test_an_unwritable_log_stops_no_prediction_and_is_confessed_at_the_end(
    start: Callable[..., Server],
) -> None:
    """A file where the folder should be stands for a disk that refuses."""
    running = start()
    (running.home / "predictions").write_text("in the way")
    running.until_ready()
    codes = [running.predict().status_code for _ in range(3)]
    running.until(lambda: running.health()["status"] == "degraded")
    health = running.health()
    code = running.terminate()

    assert codes == [200, 200, 200]
    assert health["log"]["queued"] == 3
    assert "cannot write the log part" in health["log"]["problem"]
    assert code == 1
    assert "log_rows_unwritten=3" in running.output.read_text()


def test_settings_that_make_no_sense_are_refused_as_usage() -> None:
    """Exit code 2 and the argument's name, as command lines do."""
    arguments = ["--artifact", "a", "--target", "flights", "--version", "3", "--log", "l"]
    refused = subprocess.run(
        [sys.executable, "-m", "serving", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert refused.returncode == 2
    assert "--target" in refused.stderr
