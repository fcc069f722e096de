"""The two prediction endpoints, written close to ASGI: they are the path that every request takes.

FastAPI's own route handling (dependency solving, encoding of the answer) costs several times what
the model does; here a body goes straight to the schema's validator and the answer is one string.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from serving.batcher import PredictionFailed
from serving.model import prediction_of
from serving.requests import REQUEST_ID_PATTERN, FieldError, RequestRefused, Row
from serving.server import ModelServer
from tools.errors import Unavailable

_ROW_BYTES = 1 << 20
_BATCH_BYTES = 64 << 20
_REQUEST_ID = re.compile(REQUEST_ID_PATTERN)


class _TooLarge(Exception):
    """The body has more bytes than the endpoint reads."""


class _Gone(Exception):
    """The client closed the connection before its body was whole."""


class _Endpoint(ABC):
    """Reads a request, answers it or says what is wrong, and counts it."""

    path = ""
    max_bytes = 0

    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self._version = server.settings.version
        self._version_json = json.dumps(self._version)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id") or str(uuid.uuid4())
        is_copy = _is_copy(headers.get("host", ""))
        try:
            status, body = await self._respond(request_id, receive, is_copy=is_copy)
        except _Gone:
            return
        self._server.instruments.observe(self.path, status, time.perf_counter() - start)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": self._headers(request_id, status, body),
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _respond(
        self, request_id: str, receive: Receive, *, is_copy: bool
    ) -> tuple[int, bytes]:
        try:
            if not _REQUEST_ID.match(request_id):
                raise RequestRefused([_wrong_id(request_id)])
            body = await _read_body(receive, self.max_bytes)
            return HTTPStatus.OK, (await self.answer(request_id, body, is_copy=is_copy)).encode()
        except RequestRefused as error:
            return HTTPStatus.UNPROCESSABLE_ENTITY, error_body(error.errors)
        except _TooLarge:
            wanted = f"at most {self.max_bytes} bytes"
            return _failed(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "(body)", wanted, "more")
        except PredictionFailed as error:
            wanted = "one probability per row"
            return _failed(HTTPStatus.INTERNAL_SERVER_ERROR, "(model)", wanted, str(error))
        except Unavailable as error:
            return _failed(HTTPStatus.SERVICE_UNAVAILABLE, "(model)", "a free model", str(error))

    @abstractmethod
    async def answer(self, request_id: str, body: bytes, *, is_copy: bool) -> str:
        """The JSON answer to a body. Raises RequestRefused, PredictionFailed or Unavailable."""

    def _answer_of(self, request_id: str, probability: float) -> str:
        return (
            f'{{"request_id":{json.dumps(request_id)},"version":{self._version_json},'
            f'"probability":{probability!r},"prediction":{prediction_of(probability)}}}'
        )

    def _headers(self, request_id: str, status: int, body: bytes) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-model-version", self._version.encode()),
        ]
        if _REQUEST_ID.match(request_id):
            headers.append((b"x-request-id", request_id.encode()))
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"1"))
        return headers


class PredictRow(_Endpoint):
    """``POST /predict``: one row, one answer."""

    path = "/predict"
    max_bytes = _ROW_BYTES

    async def answer(self, request_id: str, body: bytes, *, is_copy: bool) -> str:
        row = self._server.reader.row(body)
        [probability] = await self._server.answer([row], [request_id], is_copy=is_copy)
        return self._answer_of(request_id, probability)


class PredictBatch(_Endpoint):
    """``POST /predict/batch``: many rows, answered as a whole or not at all."""

    path = "/predict/batch"
    max_bytes = _BATCH_BYTES

    async def answer(self, request_id: str, body: bytes, *, is_copy: bool) -> str:
        rows, given = self._server.reader.batch(body)
        ids = given or _numbered(request_id, rows)
        probabilities = await self._server.answer(rows, ids, is_copy=is_copy)
        answers = map(self._answer_of, ids, probabilities)
        return f'{{"predictions":[{",".join(answers)}]}}'


def error_body(errors: Sequence[FieldError]) -> bytes:
    """The one form of every refusal: what was expected where, and what came instead."""
    return json.dumps({"error": [error.model_dump() for error in errors]}).encode()


def _failed(status: int, field: str, expected: str, got: str) -> tuple[int, bytes]:
    return status, error_body([FieldError(field=field, expected=expected, got=got)])


def _is_copy(host: str) -> bool:
    """Whether the request is a copy of one that another version answers: Envoy, and so Istio, says
    so in the host (https://www.envoyproxy.io/docs, ``request_mirror_policies``)."""
    return host.partition(":")[0].endswith("-shadow")


def _wrong_id(request_id: str) -> FieldError:
    wanted = "1 to 128 visible ASCII characters without spaces"
    return FieldError(field="x-request-id", expected=wanted, got=repr(request_id[:128]))


def _numbered(request_id: str, rows: Sequence[Row]) -> list[str]:
    return [f"{request_id}-{n}" for n in range(len(rows))]


async def _read_body(receive: Receive, limit: int) -> bytes:
    message: Any = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _TooLarge
        return body
    chunks, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise _Gone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _TooLarge
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()
