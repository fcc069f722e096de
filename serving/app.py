"""The FastAPI application of one model server: prediction, health, readiness, metrics, docs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.routing import Route

from serving.endpoints import PredictBatch, PredictRow, error_body
from serving.log_writer import LogStatus
from serving.requests import FieldError
from serving.server import ModelServer
from tools.values import Value
from tools.workloads import ServingConfig

_ERRORS = {
    "422": "The request is wrong: every wrong field, what was expected there, what came",
    "500": "The model failed on this request",
    "503": "The model is still loading, or too busy",
}


class Prediction(Value):
    """The answer to one row."""

    request_id: str
    version: str
    probability: float
    prediction: Literal[0, 1]


class Predictions(Value):
    """The answer to a batch, in its order."""

    predictions: tuple[Prediction, ...]


class Errors(Value):
    """Why a request was not answered."""

    error: tuple[FieldError, ...]


class Health(Value):
    """What is true of the server; ``degraded`` means that it answers but something needs care."""

    status: Literal["ok", "degraded"]
    target: str
    version: str
    artifact_digest: str
    """Empty until the model is loaded."""
    ready: bool
    config: ServingConfig
    """The configuration in force."""
    config_problem: str
    log: LogStatus
    problems: tuple[str, ...]


def create_app(server: ModelServer) -> FastAPI:
    """The application; it starts and stops ``server`` with its own life."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await server.start()
        yield
        app.state.log_status = await server.stop()

    app = FastAPI(
        title=f"{server.settings.target}, version {server.settings.version}", lifespan=lifespan
    )
    for endpoint in (PredictRow(server), PredictBatch(server)):
        app.router.routes.insert(0, Route(endpoint.path, endpoint, methods=["POST"]))

    @app.get("/health")
    async def health() -> Health:
        """Whether the process is alive, and what it serves; always 200."""
        return health_of(server)

    @app.get("/ready", responses={503: {"model": Errors}})
    async def ready() -> Response:
        """200 once the model is loaded and has answered a made-up row, 503 before."""
        if server.is_ready:
            return Response(b'{"ready":true}', media_type="application/json")
        wanted = FieldError(field="(model)", expected="a loaded model", got=_why_not(server))
        return Response(error_body([wanted]), status_code=503, media_type="application/json")

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Counters in Prometheus' text format."""
        return Response(server.instruments.exposition(), media_type=CONTENT_TYPE_LATEST)

    app.openapi = lambda: _openapi(app, server)  # type: ignore[method-assign]
    return app


def health_of(server: ModelServer) -> Health:
    """The server's health, as ``/health`` reports it."""
    status = server.log_status()
    lost = f"{status.lost} log rows were lost" if status.lost else ""
    problems = [server.failure, server.config_problem, status.problem, lost]
    found = tuple(problem for problem in problems if problem)
    return Health(
        status="degraded" if found else "ok",
        target=server.settings.target,
        version=server.settings.version,
        artifact_digest=server.digest,
        ready=server.is_ready,
        config=server.config,
        config_problem=server.config_problem,
        log=status,
        problems=found,
    )


def _why_not(server: ModelServer) -> str:
    return server.failure or "a model that is still loading"


def _openapi(app: FastAPI, server: ModelServer) -> dict[str, Any]:
    """FastAPI's document, with the endpoints that bypass FastAPI's routing added."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version="1", routes=app.routes)
        models: dict[str, type[BaseModel]] = {
            "Row": server.reader.row_model,
            "Batch": server.reader.batch_model,
            "Prediction": Prediction,
            "Predictions": Predictions,
            "Errors": Errors,
        }
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, model in models.items():
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas[name] = schema
        document["paths"]["/predict"] = _operation("Answer one row", "Row", "Prediction")
        document["paths"]["/predict/batch"] = _operation("Answer rows", "Batch", "Predictions")
        app.openapi_schema = document
    return app.openapi_schema


def _operation(summary: str, request: str, answer: str) -> dict[str, Any]:
    def content(name: str) -> dict[str, Any]:
        return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}

    header = {"name": "x-request-id", "in": "header", "schema": {"type": "string"}}
    errors = {
        code: {"description": text, "content": content("Errors")} for code, text in _ERRORS.items()
    }
    return {
        "post": {
            "summary": summary,
            "parameters": [header],
            "requestBody": {"required": True, "content": content(request)},
            "responses": {"200": {"description": "OK", "content": content(answer)}} | errors,
        }
    }
