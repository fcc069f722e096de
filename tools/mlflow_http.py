"""How mendloop's requests reach an MLflow server: who asks, how long, and what is asked again.

MLflow's client knows credentials from its environment only, repeats whatever failed (writes too)
and waits as long as a ``Retry-After`` says. Its session therefore gets a transport of ours for the
server's address: the token is read from its file for every request, nothing but reads is repeated,
within bounds, and the statuses are kept for the translation of errors. Artifacts that the server
passes on go the same way.
"""

from __future__ import annotations

import base64
import os
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field

from tools.errors import Invalid, Unavailable
from tools.secret_source import SecretFrom
from tools.values import Value

if TYPE_CHECKING:
    from requests import PreparedRequest

TOKEN_FILE = "MENDLOOP_MLFLOW_TOKEN_FILE"
"""Environment variable for processes that are told nothing else (steps of a pipeline)."""
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
_MOST_RETRY_AFTER_S = 3600.0


class MlflowAccess(Value):
    """Who asks a tracking server, and how patiently.

    Without token and password, what MLflow's own environment variables say is sent.
    """

    token_from: SecretFrom | None = None
    """Bearer token; read for every request, because tokens are renewed."""
    username: str = ""
    password_from: SecretFrom | None = None
    connect_s: float = Field(default=3.0, gt=0)
    read_s: float = Field(default=10.0, gt=0)
    """Longest silence within an answer."""
    attempts: int = Field(default=3, ge=1, le=10)
    """Of a read; writes are never repeated here: whether one may be is known above."""
    backoff_s: float = Field(default=0.2, ge=0)
    """Mean wait before the second attempt; it doubles, with jitter."""
    longest_s: float = Field(default=8.0, gt=0)
    """No attempt begins later than this after the first: a tick must not hang."""

    @classmethod
    def from_environment(cls) -> MlflowAccess:
        """The token file named by MENDLOOP_MLFLOW_TOKEN_FILE, where one is."""
        named = os.environ.get(TOKEN_FILE)
        return cls(token_from=SecretFrom(file=named) if named else None)

    def authorization(self) -> str:
        """The header's value; empty where MLflow's own environment decides.

        Raises Unavailable while a file cannot be read: it is replaced when secrets rotate.
        """
        if self.token_from is not None:
            return f"Bearer {_read(self.token_from)}"
        if self.username and self.password_from is not None:
            pair = f"{self.username}:{_read(self.password_from)}"
            return f"Basic {base64.standard_b64encode(pair.encode()).decode()}"
        return ""

    def secrets(self) -> tuple[str, ...]:
        """What must not be told in any error."""
        try:
            sent = self.authorization().partition(" ")[2]
            password = _read(self.password_from) if self.password_from else ""
        except Unavailable:
            return ()
        return tuple(secret for secret in (sent, password) if secret)

    @property
    def account(self) -> str:
        """Who asks, for people."""
        if self.token_from is not None:
            return f"the account of the token in {self.token_from.file or self.token_from.env}"
        return f"the account {self.username!r}" if self.username else "an account without a name"


class Exchange(Value):
    """The last request of a thread, and what came of it."""

    is_write: bool
    status: int = 0
    """0: no answer."""
    retry_after_s: float | None = None
    is_sent: bool = True
    """False: no connection came about, so nothing can have happened."""


class Exchanges(threading.local):
    """What one thread's requests came to since it began to count."""

    last: Exchange | None = None
    lost_writes: int = 0
    """Writes that may or may not have happened."""

    def begin(self) -> None:
        """Forget what was before."""
        self.last, self.lost_writes = None, 0

    def note(self, exchange: Exchange) -> None:
        """Keep what a request came to."""
        self.last = exchange
        unclear = exchange.is_sent and (exchange.status == 0 or exchange.status >= 500)
        self.lost_writes += exchange.is_write and unclear


_LOCK = threading.Lock()
_MOUNTED: dict[str, tuple[MlflowAccess, Exchanges]] = {}


def mount(
    uri: str, access: MlflowAccess, *, sleep: Callable[[float], None] = time.sleep
) -> Exchanges:
    """Let MLflow's client reach the server of ``uri`` through a transport of ours.

    One access per server and process, since MLflow's session is the process's. Raises Invalid for a
    second one, and for a password in the address: it would end in logs.
    """
    parts = urlsplit(uri)
    if parts.username or parts.password:
        raise Invalid(
            "expected an address without a password; name where it is read from (passwordFrom or "
            "tokenFrom)",
            field="mlflow.url",
        )
    address = f"{parts.scheme}://{parts.netloc}/".lower()
    with _LOCK:
        if address not in _MOUNTED:
            exchanges = Exchanges()
            _session().mount(address, _transport(access, exchanges, sleep))
            _MOUNTED[address] = (access, exchanges)
        standing, exchanges = _MOUNTED[address]
    if standing != access:
        raise Invalid(
            f"{address} is reached as {standing.account} already; one account per server and "
            "process",
            field="mlflow",
        )
    return exchanges


def _session() -> Any:
    """The session with which MLflow's client asks; MLflow has no public way to it."""
    from mlflow import environment_variables
    from mlflow.utils import request_utils

    said: Any = environment_variables
    internals: Any = request_utils
    return internals._get_request_session(
        max_retries=said.MLFLOW_HTTP_REQUEST_MAX_RETRIES.get(),
        backoff_factor=said.MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.get(),
        backoff_jitter=said.MLFLOW_HTTP_REQUEST_BACKOFF_JITTER.get(),
        retry_codes=internals._TRANSIENT_FAILURE_RESPONSE_CODES,
        raise_on_status=True,
        respect_retry_after_header=said.MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER.get(),
    )


def _transport(access: MlflowAccess, exchanges: Exchanges, sleep: Callable[[float], None]) -> Any:
    from requests import ConnectionError as NotConnected
    from requests import RequestException, adapters

    adapter: Any = adapters.HTTPAdapter

    class Transport(adapter):  # type: ignore[misc]  # requests has no types here
        """Signs, bounds and repeats requests to one server."""

        def send(self, request: PreparedRequest, *arguments: Any, **named: Any) -> Any:
            header = access.authorization()
            if header:
                request.headers["Authorization"] = header
            named["timeout"] = (access.connect_s, access.read_s)
            begun, attempt = time.monotonic(), 0
            while True:
                attempt += 1
                answer, failure = self._once(request, *arguments, **named)
                wait_s = pause(attempt, time.monotonic() - begun)
                if wait_s is None:
                    if failure is not None:
                        raise failure
                    return answer
                sleep(wait_s)

        def _once(self, request: PreparedRequest, *arguments: Any, **named: Any) -> Any:
            is_write = request.method not in ("GET", "HEAD") and not _only_reads(request)
            try:
                answer = super().send(request, *arguments, **named)
                status = answer.status_code
                if not named.get("stream"):
                    _ = answer.content  # half an answer must fail here, not later
            except RequestException as error:
                is_sent = not (isinstance(error, NotConnected) and _never_connected(error))
                exchanges.note(Exchange(is_write=is_write, is_sent=is_sent))
                return None, error
            after_s = _retry_after_s(answer.headers.get("Retry-After", ""))
            exchanges.note(Exchange(is_write=is_write, status=status, retry_after_s=after_s))
            return answer, None

    def pause(attempt: int, elapsed_s: float) -> float | None:
        """Seconds until the next attempt; None: that was the last."""
        last = exchanges.last
        assert last is not None
        is_over = bool(last.status) and last.status not in _TRANSIENT
        if last.is_write or is_over or attempt >= access.attempts:
            return None
        backoff_s = access.backoff_s * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
        wait_s = max(backoff_s, last.retry_after_s or 0.0)
        return wait_s if elapsed_s + wait_s <= access.longest_s else None

    return Transport(max_retries=0)


def _only_reads(request: PreparedRequest) -> bool:
    """Searches are posted, and change nothing."""
    return urlsplit(request.url or "").path.endswith("/search")


def _never_connected(error: BaseException) -> bool:
    from urllib3.exceptions import MaxRetryError, NewConnectionError

    inner = error.args[0] if error.args else None
    reason = inner.reason if isinstance(inner, MaxRetryError) else inner
    return isinstance(reason, NewConnectionError)


def _retry_after_s(text: str) -> float | None:
    """The header's seconds; its form as a date is rare and not worth believing a clock for."""
    return min(float(text), _MOST_RETRY_AFTER_S) if text.strip().isdecimal() else None


def _read(source: SecretFrom) -> str:
    try:
        return source.read("MLflow")
    except Invalid as error:
        raise Unavailable(str(error)) from error
