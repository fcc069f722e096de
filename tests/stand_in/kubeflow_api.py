"""A Kubeflow Pipelines API (v2beta1) small enough to read; a test says what becomes of its runs.

Answers are built from the models of ``kfp_server_api``, so that a field it does not know cannot
slip in. Faults: an answer lost after the run was made, errors, lists in short pages.
"""

from __future__ import annotations

import email
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as models

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


@dataclass
class Pipelines:
    """What the server knows."""

    runs: list[Any] = field(default_factory=list)
    experiments: list[Any] = field(default_factory=list)
    pipelines: list[Any] = field(default_factory=list)
    versions: list[Any] = field(default_factory=list)
    recurring: list[Any] = field(default_factory=list)
    specs: dict[str, Any] = field(default_factory=dict)
    """Version id to the uploaded package."""
    now: datetime = START
    page: int = 100
    fault: Callable[[str, str, str], int] = lambda method, path, moment: 0
    """Asked with "before" and "after": an HTTP status, 0 for none, -1 to hang up."""
    page_instead: str = ""
    """Sent for every answer, with the status 200: a proxy's login page."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with errors."""
    tokens: list[str] = field(default_factory=list)

    def run(self, name: str) -> Any:
        """The newest run of a name."""
        return [run for run in self.runs if run.display_name == name][-1]

    def tell(self, run: Any, state: str, *tasks: tuple[str, str, str], error: str = "") -> None:
        """What becomes of a run: its state, and (step, state, error) of its tasks."""
        self.now += timedelta(seconds=1)
        details = [
            models.V2beta1PipelineTaskDetail(
                task_id=name,
                display_name=name,
                state=task_state,
                start_time=START + timedelta(seconds=number),
                error=models.GoogleRpcStatus(message=message) if message else None,
            )
            for number, (name, task_state, message) in enumerate(tasks)
        ]
        run.run_details = models.V2beta1RunDetails(task_details=details)
        run.state = state
        run.error = models.GoogleRpcStatus(message=error) if error else None
        if state in ("SUCCEEDED", "FAILED", "CANCELED"):
            run.finished_at = self.now


@contextmanager
def kubeflow_api() -> Iterator[tuple[str, Pipelines]]:
    """(base URL, what it knows) of a server on a free port, stopped at the end."""
    known = Pipelines()
    handler = type("BoundHandler", (_Handler,), {"known": known})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body go in two writes
    known: Pipelines

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.known.tokens.append(self.headers.get("Authorization", ""))
        code = self.known.fault(self.command, url.path, "before")
        found: Any = None
        if not code:
            found = self._route(url.path.removeprefix("/apis/v2beta1/"), query, raw)
            code = self.known.fault(self.command, url.path, "after")
        if self.known.page_instead:
            self._send_text(200, self.known.page_instead.encode(), {})
            return
        if code < 0:
            self.close_connection = True
            return
        if code:
            text = json.dumps({"message": "because", "code": 13}).encode()
            self._send_text(code, text, self.known.headers)
        elif found is None:
            self._send(404, {"message": f"nothing at {url.path}", "code": 5})
        else:
            self._send(200, models.ApiClient().sanitize_for_serialization(found))

    def _send(self, code: int, body: Any) -> None:
        self._send_text(code, json.dumps(body).encode(), {})

    def _send_text(self, code: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(self, path: str, query: dict[str, str], raw: bytes) -> Any:
        known, is_new = self.known, self.command == "POST"
        if path == "pipelines/upload_version":
            return self._upload(query, raw)
        if path == "pipelines" and is_new:
            made = models.V2beta1Pipeline(
                pipeline_id=uuid.uuid4().hex, display_name=json.loads(raw)["display_name"]
            )
            known.pipelines.append(made)
            return made
        ended = re.fullmatch(r"runs/([^/:]+):terminate", path)
        if ended:
            return self._terminate(ended[1])
        if path == "runs":
            return self._create(json.loads(raw)) if is_new else self._list("runs", query)
        gone = re.fullmatch(r"recurringruns/([^/:]+)", path)
        if gone and self.command == "DELETE":
            known.recurring = [r for r in known.recurring if r.recurring_run_id != gone[1]]
            return {}
        if path == "recurringruns":
            return self._recur(json.loads(raw)) if is_new else self._list("recurring_runs", query)
        if path == "experiments" and is_new:
            body = json.loads(raw)
            made = models.V2beta1Experiment(
                experiment_id=uuid.uuid4().hex, display_name=body["display_name"]
            )
            known.experiments.append(made)
            return made
        if re.fullmatch(r"pipelines/[^/]+/versions", path):
            return self._list("pipeline_versions", query)
        return self._list(path, query) if path in ("experiments", "pipelines") else None

    def _list(self, what: str, query: dict[str, str]) -> Any:
        items = {
            "runs": self.known.runs,
            "experiments": self.known.experiments,
            "pipelines": self.known.pipelines,
            "pipeline_versions": self.known.versions,
            "recurring_runs": self.known.recurring,
        }[what]
        for predicate in json.loads(query.get("filter", '{"predicates": []}'))["predicates"]:
            assert (predicate["operation"], predicate["key"]) == ("EQUALS", "name")
            items = [each for each in items if each.display_name == predicate["stringValue"]]
        begin = int(query.get("page_token") or 0)
        end = begin + min(self.known.page, int(query.get("page_size", "20")))
        kind = {
            "runs": models.V2beta1ListRunsResponse,
            "experiments": models.V2beta1ListExperimentsResponse,
            "pipelines": models.V2beta1ListPipelinesResponse,
            "pipeline_versions": models.V2beta1ListPipelineVersionsResponse,
            "recurring_runs": models.V2beta1ListRecurringRunsResponse,
        }[what]
        following = str(end) if end < len(items) else None
        return kind(**{what: items[begin:end]}, next_page_token=following)

    def _create(self, body: dict[str, Any]) -> Any:
        self.known.now += timedelta(seconds=1)
        run = models.V2beta1Run(
            run_id=uuid.uuid4().hex,
            display_name=body["display_name"],
            description=body.get("description"),
            experiment_id=body["experiment_id"],
            pipeline_version_reference=body["pipeline_version_reference"],
            runtime_config=body.get("runtime_config"),
            created_at=self.known.now,
            state="PENDING",
        )
        self.known.runs.append(run)
        return run

    def _recur(self, body: dict[str, Any]) -> Any:
        trigger = body["trigger"]
        assert len(trigger) == 1
        assert len(trigger.get("cron_schedule", {"cron": "0 0 0 0 0 0"})["cron"].split()) == 6
        self.known.now += timedelta(seconds=1)
        made = models.V2beta1RecurringRun(
            **{**body, "mode": None},
            recurring_run_id=uuid.uuid4().hex,
            created_at=self.known.now,
            status="ENABLED",
        )
        self.known.recurring.append(made)
        return made

    def _terminate(self, run_id: str) -> Any:
        [run] = [run for run in self.known.runs if run.run_id == run_id]
        run.state, run.finished_at = "CANCELED", self.known.now
        return {}

    def _upload(self, query: dict[str, str], raw: bytes) -> Any:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        [part] = [p for p in email.message_from_bytes(head + raw).walk() if p.get_filename()]
        version = models.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=uuid.uuid4().hex,
            display_name=query["name"],
        )
        self.known.versions.append(version)
        package = json.loads(part.get_payload(decode=True) or b"")
        self.known.specs[version.pipeline_version_id] = package
        return version
