"""What an API server's answers mean to mendloop: the vendor's errors in the words of one tree."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tools.errors import Conflict, Invalid, MendloopError, Refused, Unavailable, Uncertain

_TRANSIENT = (408, 429, 500, 502, 503, 504)


class NotFound(Invalid):
    """There is no such object."""


class Exists(Invalid):
    """There is one of this name already."""


class NotAsRead(Invalid):
    """A patch does not fit the object: a test failed, a path is missing, or a schema forbids it."""


class Gone(Conflict):
    """The revision or page that was asked for is no longer kept: list again."""


@contextmanager
def translated(what: str, *, is_write: bool) -> Iterator[None]:
    """Lets only mendloop's own errors out of a call of the vendor's client."""
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config.config_exception import ConfigException
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

    try:
        yield
    except ApiException as error:
        raise meaning(error, what, is_write=is_write) from error
    except (NewConnectionError, ConnectTimeoutError) as error:
        raise Unavailable(f"{what}: the API server cannot be reached: {error}") from error
    except ConfigException as error:  # before anything was sent
        raise Unavailable(f"{what}: the credentials cannot be read: {error}") from error
    except (HTTPError, ValueError, OSError) as error:  # OSError: such as a token file that is gone
        if is_write:
            raise Uncertain(f"{what}: the answer was lost: {error}; read it again") from error
        raise Unavailable(f"{what}: no whole answer from the API server: {error}") from error


def meaning(error: Any, what: str, *, is_write: bool) -> MendloopError:
    """What a failed answer leaves the caller to do."""
    reason, message = _said(error)
    told = f"{what}: {message}"
    match error.status:
        case 404:
            return NotFound(told)
        case 409 if reason == "AlreadyExists":
            return Exists(told)
        case 409:
            return Conflict(told)
        case 410:
            return Gone(told)
        case 401:
            return Refused(f"{told}; the API server does not accept the credentials: renew them")
        case 403:
            return Refused(f"{told}; grant it to mendloop's service account")
        case 429:
            return Unavailable(told, retry_after_s=_retry_after_s(error))
        case 0:  # TLS: no certificate that is trusted, or a connection that broke
            if is_write and "CERTIFICATE" not in told:
                return Uncertain(f"{told}; it may have been written, read it again")
            return Unavailable(told)
        case code if code in _TRANSIENT or code >= 500:
            if is_write:  # a time-out of the store behind the server: it may have been written
                return Uncertain(f"{told}; it may have been written, read it again")
            return Unavailable(told, retry_after_s=_retry_after_s(error))
        case 422:
            return NotAsRead(told)
        case _:
            return Invalid(told)


def meaning_of_status(status: dict[str, Any], what: str) -> MendloopError:
    """The same of a ``Status`` object that stands in the midst of an answer."""
    from kubernetes.client.exceptions import ApiException

    error = ApiException(status=int(status.get("code") or 500), reason=status.get("reason"))
    error.body = json.dumps(status)
    return meaning(error, what, is_write=False)


def _said(error: Any) -> tuple[str, str]:
    """(reason, message) of the Status object, or of whatever stands in its place."""
    try:
        status = json.loads(error.body or "")
        return str(status.get("reason", "")), str(status.get("message") or error.reason)
    except (ValueError, AttributeError):
        return "", " ".join(f"{error.status or ''} {error.reason}".split())


def _retry_after_s(error: Any) -> float:
    try:
        return float((error.headers or {}).get("Retry-After", 1.0))
    except ValueError:
        return 1.0
