"""A fast HTTP/1.1 client: a few keep-alive connections, one request in flight on each.

It shares two cores with Envoy and the servers it measures, so a request costs it one write, one
parse and no task, future or header dictionary.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import httptools

from tools import envoy_bootstrap

NO_ANSWER = 0
"""Status of a request whose connection broke or that was not answered in time."""

VERSION_HEADER = b"x-model-version"
CLUSTER_HEADER = envoy_bootstrap.CLUSTER_HEADER.encode()
"""Where Envoy answers in a version's place, as after a timeout: ``namespace/name/v<version>``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request."""

    number: int
    """Which request, as the caller counts them."""
    status: int
    body: bytes
    version: str
    """The version that answered or failed to, according to the response's headers; else empty."""
    latency_s: float


class Connection(asyncio.Protocol):
    """One connection; ``on_answer`` is called once per request, in the event loop."""

    def __init__(self, on_answer: Callable[[Connection, Answer], None]) -> None:
        self._on_answer = on_answer
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._number = -1
        self._sent_s = 0.0
        self._body = b""
        self._version = ""

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent on it."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def is_waiting(self) -> bool:
        """Whether a request is in flight."""
        return self._number >= 0

    def send(self, number: int, request: bytes) -> None:
        """Send the whole request; the answer comes through ``on_answer``."""
        assert self._transport is not None
        assert not self.is_waiting
        self._number, self._sent_s = number, time.monotonic()
        self._body, self._version = b"", ""
        self._transport.write(request)

    def give_up_after(self, timeout_s: float) -> None:
        """Break the connection if its request has been in flight for longer."""
        if self.is_waiting and time.monotonic() - self._sent_s > timeout_s:
            self.close()

    def close(self) -> None:
        """Close it; a request in flight is answered with NO_ANSWER."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self.is_waiting:
            self._finish(NO_ANSWER)

    def on_header(self, name: bytes, value: bytes) -> None:
        header = name.lower()
        if header == VERSION_HEADER:
            self._version = value.decode("latin-1")
        elif header == CLUSTER_HEADER:
            self._version = value.decode("latin-1").rpartition("/v")[2]

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        self._finish(status)

    def _finish(self, status: int) -> None:
        latency_s = time.monotonic() - self._sent_s
        answer = Answer(self._number, status, self._body, self._version, latency_s)
        self._number = -1
        self._on_answer(self, answer)


def http_post(path: str, host: str, request_id: str, body: bytes) -> bytes:
    """The bytes of one POST with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body
