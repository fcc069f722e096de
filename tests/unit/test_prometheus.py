"""What a Prometheus may answer, and when that is no reading."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tools.errors import Invalid, Unavailable
from tools.metrics import NoReading, Reading, VersionCounters
from tools.prometheus import PrometheusMetrics, Watched

TARGET = "default/flights"


OF = {"destination_service_namespace": "default", "destination_service_name": "flights"}


class Answers:
    """What the server says to each query, by what the query is about."""

    def __init__(self) -> None:
        self.url = ""
        self.now = 1000.0
        self.sampled = 995.0
        self.series: list[tuple[dict[str, str], str]] = []
        self.extra: dict[str, Any] = {}
        self.code = 200
        self.queries: list[str] = []
        self.instead: Any = None
        """For every answer."""
        self.tokens: list[str] = []

    def to(self, query: str) -> dict[str, Any]:
        data: dict[str, Any] = {"resultType": "vector", "result": []}
        self.queries.append(query)
        found = [{"metric": {**OF, **m}, "value": [self.now, v]} for m, v in self.series]
        if found:
            newest = {**OF, "mendloop_newest_sample": "1"}
            found.append({"metric": newest, "value": [self.now, str(self.sampled)]})
        data["result"] = found
        return {"status": "success", "data": data, **self.extra}

    def count(self, pod: str, version: str, value: str, code: str = "200") -> None:
        labels = {
            "__name__": "istio_requests_total",
            "destination_version": f"v{version}",
            "pod": pod,
            "response_code": code,
        }
        self.series = [s for s in self.series if s[0] != labels] + [(labels, value)]


@pytest.fixture
def answers() -> Iterator[Answers]:
    said = Answers()

    class Api(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            from urllib.parse import parse_qs, urlsplit

            query = parse_qs(urlsplit(self.path).query)["query"][0]
            said.tokens.append(self.headers.get("Authorization", ""))
            text = json.dumps(said.to(query) if said.instead is None else said.instead).encode()
            self.send_response(said.code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    said.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield said
    server.shutdown()
    thread.join()
    server.server_close()


def metrics_of(answers: Answers) -> PrometheusMetrics:
    label = Watched(namespace="default", service="flights", objective_ms=250)
    return PrometheusMetrics(answers.url, {TARGET: label}, monotonic_s=lambda: 1.0)


def requests_of(reading: Reading | NoReading) -> dict[str, int]:
    assert isinstance(reading, Reading), reading
    return {counters.version: counters.requests for counters in reading.versions}


def test_a_pod_that_starts_anew_takes_nothing_back(answers: Answers) -> None:
    """The sum over all pods' lives only grows."""
    metrics = metrics_of(answers)
    answers.count("a", "1", "100")
    answers.count("b", "1", "50")
    assert requests_of(metrics.read(TARGET)) == {"1": 150}
    answers.count("a", "1", "7")
    answers.count("b", "1", "60")

    assert requests_of(metrics.read(TARGET)) == {"1": 167}


def test_a_version_that_nobody_called_yet_is_listed(answers: Answers) -> None:
    """Its servers are known, its requests are none."""
    answers.count("a", "1", "3")
    label = Watched(namespace="default", service="flights", objective_ms=250)
    metrics = PrometheusMetrics(
        answers.url, {TARGET: label}, monotonic_s=lambda: 1.0, versions=lambda target: ("1", "2")
    )
    reading = metrics.read(TARGET)

    assert requests_of(reading) == {"1": 3, "2": 0}


def test_connections_that_never_came_about_are_errors(answers: Answers) -> None:
    """Istio labels them with the code 0."""
    answers.count("a", "1", "5")
    answers.count("a", "1", "2", code="0")
    answers.count("a", "1", "3", code="503")
    reading = metrics_of(answers).read(TARGET)

    assert isinstance(reading, Reading)
    assert reading.versions == (VersionCounters(version="1", requests=10, errors=5, slow=0),)


@pytest.mark.parametrize("odd", ["NaN", "+Inf", "-3", "many"])
def test_impossible_numbers_are_no_reading(answers: Answers, odd: str) -> None:
    """A reading is whole or it is none."""
    answers.count("a", "1", "5")
    answers.count("b", "1", odd)

    assert isinstance(metrics_of(answers).read(TARGET), NoReading)


def test_old_samples_and_none_are_no_reading(answers: Answers) -> None:
    """A proxy that is not scraped any more looks like one without requests."""
    metrics = metrics_of(answers)
    empty = metrics.read(TARGET)
    answers.count("a", "1", "5")
    answers.sampled = answers.now - 120.0
    old = metrics.read(TARGET)

    assert isinstance(empty, NoReading)
    assert "no sample" in empty.reason
    assert isinstance(old, NoReading)
    assert "120 s old" in old.reason


def test_a_partial_answer_is_no_reading(answers: Answers) -> None:
    """Thanos answers with what it could reach, and a warning."""
    answers.count("a", "1", "5")
    answers.extra = {"warnings": ["store 10.0.0.7 timed out"]}
    reading = metrics_of(answers).read(TARGET)

    assert isinstance(reading, NoReading)
    assert "10.0.0.7" in reading.reason


def test_a_server_in_trouble_is_no_reading(answers: Answers) -> None:
    """Whatever it says."""
    answers.code = 503

    assert isinstance(metrics_of(answers).read(TARGET), NoReading)


def test_an_objective_between_the_edges_is_refused_at_once() -> None:
    """An interpolated count is no count; the message names the field and the choices."""
    label = Watched(namespace="default", service="flights", objective_ms=120)

    with pytest.raises(Invalid, match=r"latencyObjective.*120 ms.*250"):
        PrometheusMetrics("http://127.0.0.1:9", {TARGET: label}, monotonic_s=lambda: 1.0)


def test_a_fleet_is_one_question(answers: Answers) -> None:
    """However many targets there are; each is told its own, and who is silent is unknown."""
    labels = {
        f"default/{name}": Watched(namespace="default", service=name, objective_ms=objective_ms)
        for name, objective_ms in (("flights", 250), ("trains", 100), ("ships", 250))
    }
    answers.count("pod-a", "1", "40")
    trains = {**answers.series[0][0], "destination_service_name": "trains"}
    bucket = {**trains, "__name__": "istio_request_duration_milliseconds_bucket"}
    count = {**trains, "__name__": "istio_request_duration_milliseconds_count"}
    answers.series += [
        (trains, "7"),
        ({**trains, "mendloop_newest_sample": "1"}, str(answers.sampled)),
        (count, "7"),
        ({**bucket, "le": "100"}, "5"),
        ({**bucket, "le": "250"}, "7"),
    ]
    metrics = PrometheusMetrics(answers.url, labels, monotonic_s=lambda: 1.0)
    found = metrics.read_many([*labels, "default/planes"])

    assert len(answers.queries) == 1
    assert requests_of(found["default/flights"]) == {"1": 40}
    (counted,) = reading_of(found["default/trains"]).versions
    assert (counted.requests, counted.slow) == (7, 2), "its own objective, not that of another"
    assert isinstance(found["default/ships"], NoReading)
    assert isinstance(found["default/planes"], NoReading)
    assert metrics.read_many([]) == {}


def reading_of(reading: Reading | NoReading) -> Reading:
    """The reading, which must be one."""
    assert isinstance(reading, Reading), reading
    return reading


@pytest.mark.parametrize(
    "content",
    [
        [],
        7,
        {},
        {"data": []},
        {"data": {"resultType": "scalar", "result": 7}},
        {"data": {"resultType": "scalar", "result": []}},
        {"data": {"resultType": "scalar", "result": [1]}},
        {"data": {"resultType": "scalar", "result": [1, None]}},
        {"data": {"resultType": "vector", "result": ["a", "b"]}},
        {"data": {"resultType": "vector", "result": [{"metric": 7}, {"metric": {}}]}},
    ],
)
def test_what_is_no_answer_of_a_prometheus_is_no_reading(answers: Answers, content: Any) -> None:
    """Whatever stands in its place, JSON or not: unknown, and no defect."""
    answers.instead = content

    assert isinstance(metrics_of(answers).read(TARGET), NoReading)


def test_the_token_is_read_for_every_query(answers: Answers) -> None:
    """A service account's token is renewed every hour; while it cannot be read nothing is known."""
    said = ["one"]
    label = Watched(namespace="default", service="flights", objective_ms=250)

    def token() -> str:
        if not said:
            raise Invalid("no such file", field="metrics.prometheus.tokenFrom")
        return said[0]

    metrics = PrometheusMetrics(answers.url, {TARGET: label}, monotonic_s=lambda: 1.0, token=token)
    answers.count("a", "1", "3")
    assert isinstance(metrics.read(TARGET), Reading)
    said[0] = "two"
    assert isinstance(metrics.read(TARGET), Reading)
    said.clear()
    unread = metrics.read(TARGET)

    assert (answers.tokens[0], answers.tokens[-1]) == ("Bearer one", "Bearer two")
    assert isinstance(unread, NoReading)
    assert "no such file" in unread.reason


def test_versions_that_nobody_can_tell_are_no_reading_of_that_target(answers: Answers) -> None:
    """A cluster that does not answer must not take the others' counters along."""
    answers.count("a", "1", "40")
    label = Watched(namespace="default", service="flights", objective_ms=250)

    def versions(target: str) -> tuple[str, ...]:
        if target == "default/other":
            raise Unavailable("the watch is broken")
        return ("1",)

    labels = {TARGET: label, "default/other": label}
    metrics = PrometheusMetrics(answers.url, labels, monotonic_s=lambda: 1.0, versions=versions)
    found = metrics.read_many(list(labels))

    assert requests_of(found[TARGET]) == {"1": 40}
    unknown = found["default/other"]
    assert isinstance(unknown, NoReading)
    assert "the watch is broken" in unknown.reason
