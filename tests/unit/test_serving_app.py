"""The application as a client sees it, around a model that the test controls."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

from serving.app import create_app
from serving.model import LoadedModel
from serving.server import ModelServer, ServerSettings
from tools.errors import Invalid
from tools.log_parts import shadow_of
from tools.parquet_log import ParquetPredictionLog
from tools.schema import Column, ColumnType, FeatureSchema

TARGET = "default/flights"
SCHEMA = FeatureSchema(
    time_column="departure",
    columns=(
        Column(name="temp", type=ColumnType.NUMBER, nullable=True),
        Column(name="carrier", type=ColumnType.CATEGORY),
    ),
    forbidden=("arr_delay",),
)
GOOD = {"departure": "2013-03-01T05:15:00Z", "temp": 0.25, "carrier": "UA"}


class Model:
    """Answers with the row's temperature, 0.75 when it is missing; fails for carrier ``XX``."""

    schema = SCHEMA

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        if any(row["carrier"] == "XX" for row in rows):
            raise RuntimeError("no such carrier")
        return [0.75 if row["temp"] is None else row["temp"] for row in rows]


class Served:
    """A running application, its folders, and a client."""

    def __init__(self, client: TestClient, home: Path) -> None:
        self.client = client
        self.config = home / "config.json"
        self._home = home

    def predict(self, **change: Any) -> Any:
        return self.client.post("/predict", json=GOOD | change)

    def health(self) -> Any:
        return self.client.get("/health").json()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, f"not in time: {self.health()}"
            time.sleep(0.005)

    def logged(self, target: str = TARGET) -> pd.DataFrame:
        log = ParquetPredictionLog(self._home / "predictions", self._home / "labels")
        start = datetime.fromisoformat("2013-01-01")
        return log.predictions(target, start=start, end=start + timedelta(days=365))


@contextmanager
def serving(
    home: Path, *, load: Callable[[], LoadedModel] | None = None, ready: bool = True, **limits: Any
) -> Iterator[Served]:
    config = home / "config.json"
    if not config.exists():
        config.write_text("{}")
    settings = ServerSettings(
        target=TARGET,
        version="3",
        log=home / "predictions" / TARGET,
        config_file=config,
        log_flush_s=0.01,
        **limits,
    )
    server = ModelServer(settings, SCHEMA, load or (lambda: LoadedModel(Model(), "d" * 64)))
    with TestClient(create_app(server)) as client:
        served = Served(client, home)
        if ready:
            served.until(lambda: bool(client.get("/ready").status_code == 200))
        yield served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as running:
        yield running


def test_an_answer_to_a_copy_is_not_logged_as_served(tmp_path: Path) -> None:
    """Envoy, and so Istio, marks the host of a copy; callers and copies have logs of their own."""
    with serving(tmp_path) as served:
        for host in ("flights-shadow", "flights-shadow:8080"):
            answer = served.client.post("/predict", json=GOOD, headers={"host": host})
            assert answer.status_code == 200
        served.predict()

        served.until(lambda: len(served.logged()) == 1)
        served.until(lambda: len(served.logged(shadow_of(TARGET))) == 2)


def test_a_row_is_answered_with_its_id_version_and_probability(served: Served) -> None:
    """The caller's id comes back; without one a new one is made."""
    named = served.client.post("/predict", json=GOOD, headers={"x-request-id": "call-7"})
    unnamed = served.predict(temp=0.5)

    assert named.json() == {
        "request_id": "call-7",
        "version": "3",
        "probability": 0.25,
        "prediction": 0,
    }
    assert named.headers["x-request-id"] == "call-7"
    assert unnamed.json()["prediction"] == 1
    assert unnamed.headers["x-request-id"] == unnamed.json()["request_id"] != ""


def test_a_batch_is_answered_in_its_order(served: Served) -> None:
    """Ids are numbered from the request's unless they are given."""
    rows = [GOOD | {"temp": n / 1000} for n in range(700)]
    numbered = served.client.post(
        "/predict/batch", json={"rows": rows}, headers={"x-request-id": "b"}
    ).json()["predictions"]
    given = served.client.post(
        "/predict/batch", json={"rows": rows[:2], "request_ids": ["x", "y"]}
    ).json()["predictions"]

    assert [answer["probability"] for answer in numbered] == [n / 1000 for n in range(700)]
    assert [answer["request_id"] for answer in numbered] == [f"b-{n}" for n in range(700)]
    assert [answer["request_id"] for answer in given] == ["x", "y"]


def test_every_answered_row_is_in_the_log_and_no_other(tmp_path: Path) -> None:
    """Refused and failed requests made no prediction."""
    with serving(tmp_path) as served:
        ids = [served.predict(temp=n / 10).json()["request_id"] for n in range(5)]
        assert served.predict(temp="x").status_code == 422
        assert served.predict(carrier="XX").status_code == 500
    frame = served.logged()

    assert sorted(frame["request_id"]) == sorted(ids)
    assert sorted(frame["temp"]) == [n / 10 for n in range(5)]
    assert frame["event_time"].unique().tolist() == [pd.Timestamp("2013-03-01T05:15:00")]
    assert set(frame["version"]) == {"3"}


def test_a_masked_column_is_served_as_missing_and_logged_as_received(served: Served) -> None:
    """The log keeps what really arrived, and says what the model was not shown."""
    before = served.predict(temp=0.1).json()
    served.config.write_text(json.dumps({"masked": ["temp"]}))
    served.until(lambda: served.health()["config"] == {"masked": ["temp"]})
    during = served.predict(temp=0.1).json()
    served.until(lambda: bool(served.health()["log"]["written"] == 2))
    frame = served.logged().set_index("request_id")

    assert (before["probability"], during["probability"]) == (0.1, 0.75)
    assert frame["temp"].tolist() == [0.1, 0.1]
    assert frame["masked"][during["request_id"]] == ("temp",)
    assert frame["masked"][before["request_id"]] == ()


def test_a_broken_configuration_keeps_the_old_one_and_health_says_so(served: Served) -> None:
    """The server goes on as it was."""
    served.config.write_text('{"masked": ["tmep"]}')
    served.until(lambda: served.health()["config_problem"] != "")
    health = served.health()

    assert health["status"] == "degraded"
    assert "tmep" in health["config_problem"]
    assert health["config"] == {"masked": []}
    assert served.predict().status_code == 200


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"temp": "warm"}, "temp", "a finite number"),
        ({"extra": 1}, "extra", "no such column"),
        ({"arr_delay": 5}, "arr_delay", "leaks the label"),
        ({"carrier": None}, "carrier", "a text"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    served: Served, change: dict[str, Any], field: str, expected: str
) -> None:
    """422 with field, expectation and what came."""
    answer = served.predict(**change)
    [error] = answer.json()["error"]

    assert answer.status_code == 422
    assert error["field"] == field
    assert expected in error["expected"]
    assert set(error) == {"field", "expected", "got"}


def test_a_bad_request_id_is_refused(served: Served) -> None:
    """It would end up in log lines and file rows."""
    answer = served.client.post("/predict", json=GOOD, headers={"x-request-id": "a b"})

    assert answer.status_code == 422
    assert answer.json()["error"][0]["field"] == "x-request-id"
    assert "x-request-id" not in answer.headers


def test_a_body_beyond_the_limit_is_refused(served: Served) -> None:
    """Whether it comes at once or in pieces."""
    whole = served.client.post("/predict", content=b" " * (1 << 21))
    pieces = served.client.post("/predict", content=(b" " * 1000 for _ in range(2000)))

    assert (whole.status_code, pieces.status_code) == (413, 413)


def test_a_body_in_pieces_is_read_whole(served: Served) -> None:
    """Clients may stream."""
    text = json.dumps(GOOD).encode()
    answer = served.client.post(
        "/predict", content=(text[n : n + 7] for n in range(0, len(text), 7))
    )

    assert answer.json()["probability"] == 0.25


def test_other_methods_and_paths_are_refused(served: Served) -> None:
    """405 and 404, as HTTP has it."""
    assert served.client.get("/predict").status_code == 405
    assert served.client.get("/nowhere").status_code == 404


def test_before_the_model_is_loaded_it_says_503(tmp_path: Path) -> None:
    """Alive, but not ready: no traffic yet."""
    gate = threading.Event()

    def load() -> LoadedModel:
        assert gate.wait(10)
        return LoadedModel(Model(), "d" * 64)

    with serving(tmp_path, load=load, ready=False) as served:
        ready, early = served.client.get("/ready"), served.predict()
        health = served.health()
        gate.set()
        served.until(lambda: bool(served.client.get("/ready").status_code == 200))
        late = served.predict()

    assert (ready.status_code, early.status_code, late.status_code) == (503, 503, 200)
    assert early.headers["retry-after"] == "1"
    assert "loading" in ready.json()["error"][0]["got"]
    assert (health["ready"], health["artifact_digest"]) == (False, "")


@pytest.mark.parametrize("why", ["load", "warm-up"])
def test_a_model_that_cannot_be_served_is_never_ready(tmp_path: Path, why: str) -> None:
    """And health says why."""

    class Broken(Model):
        def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
            raise RuntimeError("weights are missing")

    def load() -> LoadedModel:
        if why == "load":
            raise Invalid("weights are missing")
        return LoadedModel(Broken(), "d" * 64)

    with serving(tmp_path, load=load, ready=False) as served:
        served.until(lambda: bool(served.health()["problems"]))
        health, ready = served.health(), served.client.get("/ready")

    assert "weights are missing" in health["problems"][0]
    assert (ready.status_code, health["ready"]) == (503, False)
    assert "weights are missing" in ready.json()["error"][0]["got"]


def test_a_model_error_is_a_500_and_counted(served: Served) -> None:
    """The body says what the model said; the next request is served."""
    failed = served.predict(carrier="XX")
    metrics = served.client.get("/metrics").text

    assert failed.status_code == 500
    assert "no such carrier" in failed.json()["error"][0]["got"]
    assert "mendloop_serving_prediction_failures_total 1.0" in metrics
    assert served.predict().status_code == 200


def test_metrics_count_what_was_answered(served: Served) -> None:
    """Requests by code, latencies, rows, the log, and what is served."""
    served.predict()
    served.predict(temp="x")
    served.client.post("/predict/batch", json={"rows": [GOOD] * 3})
    served.until(lambda: bool(served.health()["log"]["written"] == 4))
    lines = served.client.get("/metrics").text.splitlines()

    for line in (
        'mendloop_serving_requests_total{code="200",endpoint="/predict"} 1.0',
        'mendloop_serving_requests_total{code="422",endpoint="/predict"} 1.0',
        'mendloop_serving_requests_total{code="200",endpoint="/predict/batch"} 1.0',
        'mendloop_serving_request_seconds_count{endpoint="/predict"} 2.0',
        "mendloop_serving_predictions_total 4.0",
        "mendloop_serving_log_rows_written_total 4.0",
        "mendloop_serving_log_rows_lost_total 0.0",
        "mendloop_serving_log_queue_rows 0.0",
    ):
        assert line in lines
    [info] = [line for line in lines if line.startswith("mendloop_serving_info{")]
    assert f'artifact_digest="{"d" * 64}"' in info
    assert 'version="3"' in info


def test_health_answers_while_a_slow_model_works(tmp_path: Path) -> None:
    """A scikit-learn model takes milliseconds per call; this one takes as long as it is told."""
    gate, entered = threading.Event(), threading.Event()

    class Slow(Model):
        def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
            if rows[0]["carrier"] == "SLOW":
                entered.set()
                assert gate.wait(10)
            else:
                time.sleep(0.005)
            return [0.5] * len(rows)

    answers: list[int] = []
    with serving(tmp_path, load=lambda: LoadedModel(Slow(), "d" * 64)) as served:
        call = threading.Thread(
            target=lambda: answers.append(served.predict(carrier="SLOW").status_code)
        )
        call.start()
        assert entered.wait(10)
        during = served.health()["status"]
        answered_early = list(answers)
        gate.set()
        call.join()

    assert (during, answered_early, answers) == ("ok", [], [200])


def test_predictions_go_on_while_the_log_cannot_be_written(tmp_path: Path) -> None:
    """Health says so; when the disk is well again every row is there."""
    (tmp_path / "predictions").write_text("a file where the folder should be")
    with serving(tmp_path) as served:
        first = served.predict()
        served.until(lambda: served.health()["status"] == "degraded")
        problem = served.health()["log"]
        second = served.predict()
        (tmp_path / "predictions").unlink()
        served.until(lambda: bool(served.health()["log"]["written"] == 2))
        recovered = served.health()["status"]

    assert (first.status_code, second.status_code) == (200, 200)
    assert "cannot write" in problem["problem"]
    assert recovered == "ok"
    ids = {first.json()["request_id"], second.json()["request_id"]}
    assert set(served.logged()["request_id"]) == ids


def test_lost_log_rows_are_said_and_predictions_still_answered(tmp_path: Path) -> None:
    """A full queue is the log's trouble, not the caller's."""
    (tmp_path / "predictions").write_text("in the way")
    with serving(tmp_path, log_bound=2) as served:
        codes = [served.predict().status_code for _ in range(5)]
        health = served.health()
        (tmp_path / "predictions").unlink()

    assert codes == [200] * 5
    assert health["log"]["lost"] == 3
    assert "3 log rows were lost" in health["problems"]


def test_the_documentation_describes_the_requests_as_they_are_checked(served: Served) -> None:
    """OpenAPI: columns with types, nothing else allowed, errors included."""
    document = served.client.get("/openapi.json").json()
    row = document["components"]["schemas"]["Row"]
    operation = document["paths"]["/predict"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]

    assert body == {"$ref": "#/components/schemas/Row"}
    assert row["required"] == ["departure", "carrier"]
    assert row["additionalProperties"] is False
    assert set(row["properties"]) == {"departure", "temp", "carrier"}
    assert {"200", "422", "500", "503"} <= set(operation["responses"])
    assert set(document["paths"]) == {
        *("/predict", "/predict/batch", "/health", "/ready", "/metrics")
    }
    for reference in _references(document):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
