"""Real flights through a real Envoy to real model servers: nothing lost, doubled or early."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from examples.flights.client import Answer, Connection, http_post
from examples.flights.data import load_flights
from examples.flights.replay import Pacer, Replay
from examples.flights.stage import DOCUMENT
from examples.flights.world import LabelFeed, replayed, request_bodies, sample_flights
from infra.embedded.home import Home
from infra.embedded.platform import Platform, start_platform, stop_platform
from orchestrator.assembly import embedded_traffic, embedded_workloads
from pipelines.families import Candidate, make_classifier
from pipelines.features import build_model
from tools.artifact import artifact_digest, load_predictor, save_artifact
from tools.documents import load_document
from tools.local_processes import LocalWorkloads
from tools.log_parts import append_labels, target_folder
from tools.managed_model import ManagedModel
from tools.model_inputs import model_frame
from tools.parquet_log import ParquetPredictionLog
from tools.routing import Router, TrafficSplit
from tools.virtual_service import virtual_service
from tools.workloads import ServerPhase, ServerRequest

MODEL = load_document(DOCUMENT, ManagedModel)
SCHEMA = MODEL.spec.schema_
STAND_IN = Path(__file__).parents[1] / "stand_in" / "server.py"
ROUTE = ("default", "flights", "flights")
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A small sample of the year."""
    table = load_flights(tmp_path_factory.mktemp("flights"))
    return sample_flights(table, share=0.02, seed=5)


@pytest.fixture(scope="module")
def artifact(flights: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the sample's January and February."""
    known = flights[flights["late"].notna()].head(700)
    inputs = model_frame(known, SCHEMA)
    candidate = Candidate(family="logistic_regression", parameters={"C": 0.1})
    classifier = make_classifier(candidate, seed=0)
    folder = tmp_path_factory.mktemp("artifact") / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say among themselves while they save
        model = build_model(SCHEMA, inputs, classifier, scale=True)
        model.fit(inputs, known["late"].to_numpy())
        save_artifact(model, SCHEMA, known.tail(50), folder)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose every process is gone afterwards."""
    place = Home(tmp_path / "home").prepare()
    yield place
    assert stop_platform(place.root).leftovers == ()


def wait_until(is_true: Callable[[], bool]) -> None:
    """Poll until it is, or fail."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def deploy(home: Home, artifact: Path, *versions: str) -> None:
    """Servers of the versions, all from the same artifact, and a route to the first."""
    workloads = embedded_workloads(home)
    for version in versions:
        request = ServerRequest(
            target=MODEL.target,
            version=version,
            artifact=artifact,
            artifact_digest=artifact_digest(artifact),
        )
        workloads.start(request, key=f"deploy-{version}", token=0)
    for version in versions:
        wait_until(
            lambda v=version: workloads.read(MODEL.target, v).phase is ServerPhase.READY  # type: ignore[misc]
        )
    embedded_traffic(home).create(
        virtual_service("default", "flights", host="flights", version="1", hosts=["flights"])
    )


def replay_of(platform: Platform, rows: pd.DataFrame) -> Replay:
    """A replay as fast as the servers answer."""
    return Replay(
        rows,
        request_bodies(rows),
        address=platform.predict_url.removeprefix("http://"),
        host="flights",
        pacer=Pacer(lambda: math.inf),
    )


def test_every_flight_is_answered_logged_and_labelled_in_time(
    home: Home, artifact: Path, flights: pd.DataFrame
) -> None:
    """What clients got is what the artifact says and what the log holds; no label is early."""
    platform = start_platform(home.root)
    deploy(home, artifact, "1")
    rows = replayed(flights).head(1500)
    replay = replay_of(platform, rows)

    asyncio.run(replay.run())
    embedded_workloads(home).stop(MODEL.target, "2", key="none", token=0)
    stop_platform(home.root)
    now = replay.position
    append_labels(target_folder(home.labels, MODEL.target), LabelFeed(rows).due(now))

    assert (replay.answers.status == 200).all()
    expected = load_predictor(artifact).predict_frame(rows)
    assert np.allclose(replay.answers.probability, expected, atol=1e-5)
    logged = ParquetPredictionLog(home.predictions, home.labels).cohort(
        MODEL.target,
        start=rows["scheduled_departure"].min().to_pydatetime(),
        end=now.to_pydatetime() + timedelta(seconds=1),
        as_of=now.to_pydatetime(),
    )
    assert sorted(logged["request_id"]) == sorted(rows["flight_id"])
    known = logged.dropna(subset=["label"]).set_index("request_id")
    landed = rows[rows["known_at"] <= now].set_index("flight_id")
    assert known["label"].to_dict() == landed["late"].to_dict()


def test_shifting_traffic_under_load_fails_no_request(
    home: Home, artifact: Path, flights: pd.DataFrame
) -> None:
    """From one version to both to the other, while every connection is busy."""
    platform = start_platform(home.root)
    deploy(home, artifact, "1", "2")
    router = Router(embedded_traffic(home))
    replay = replay_of(platform, replayed(flights).head(4000))

    async def shift_meanwhile() -> None:
        running = asyncio.create_task(replay.run())
        for place, split in enumerate(({"1": 50, "2": 50}, {"2": 100})):
            while replay.sent < (place + 1) * 1000:
                await asyncio.sleep(0.005)
            shares = TrafficSplit(shares=split)
            await asyncio.to_thread(router.shift, *ROUTE, shares, key=f"shift-{place}", token=1)
        await running

    asyncio.run(shift_meanwhile())

    assert (replay.answers.status == 200).all()
    met = pd.Series(replay.answers.version)
    assert set(met.head(1000)) == {"1"}
    assert set(met) == {"1", "2"}
    assert set(met.tail(200)) == {"2"}


def test_timeout_is_blamed_on_the_version_that_did_not_answer(home: Home) -> None:
    """Envoy answers in its place, and says whose."""
    platform = start_platform(home.root)
    (home.root / "artifact").mkdir()
    (home.root / "artifact" / "digest").write_text("aa", encoding="utf-8")
    traffic = embedded_traffic(home)
    workloads = LocalWorkloads(
        home.servers,
        home.predictions,
        endpoints=traffic,
        command=(sys.executable, str(STAND_IN)),
    )
    request = ServerRequest(
        target=MODEL.target, version="4", artifact=home.root / "artifact", artifact_digest="aa"
    )
    workloads.start(request, key="deploy", token=0)
    wait_until(lambda: workloads.read(MODEL.target, "4").phase is ServerPhase.READY)
    traffic.create(
        virtual_service(
            "default", "flights", host="flights", version="4", hosts=["flights"], timeout="200ms"
        )
    )

    async def ask() -> Answer:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Answer] = loop.create_future()
        address, port = platform.predict_url.removeprefix("http://").split(":")
        _, connection = await loop.create_connection(
            lambda: Connection(lambda _, answer: answered.set_result(answer)), address, int(port)
        )
        slow = http_post("/predict", "flights", "r", b"{}").replace(
            b"\r\n\r\n", b"\r\nx-wait-ms: 5000\r\n\r\n"
        )
        connection.send(0, slow)
        answer = await asyncio.wait_for(answered, timeout=DEADLINE_S)
        connection.close()
        return answer

    answer = asyncio.run(ask())

    assert (answer.status, answer.version) == (504, "4")
