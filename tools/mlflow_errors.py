"""What a failure of MLflow means: the four kinds of ``tools/errors.py``, without any secret."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tools.errors import Conflict, Invalid, MendloopError, Refused, Unavailable, Uncertain

if TYPE_CHECKING:
    from tools.mlflow_http import Exchanges

_INPUT_ERRORS = frozenset(
    {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "BAD_REQUEST"}
)
_LONGEST = 300
"""Of what a server says: a proxy may answer with a page."""
_USER_INFO = re.compile(r"(\w+://[^/\s:@]*):[^/\s@]+@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{4,}")


def redacted(text: str, secrets: Iterable[str]) -> str:
    """``text`` on one line, shortened, without passwords and tokens."""
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _BEARER.sub(r"\1 ***", _USER_INFO.sub(r"\1:***@", text))
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def meaning_on_file(error: Exception, told: str) -> MendloopError:
    """The meaning of a failure of MLflow on a database of its own."""
    code = getattr(error, "error_code", "")
    return Invalid(told) if code in _INPUT_ERRORS else Unavailable(told)


def meaning_on_server(
    error: Exception, told: str, exchanges: Exchanges, account: str
) -> MendloopError:
    """The meaning of a failure of a server's client, from what its last answer was."""
    for each in _chain(error):
        if isinstance(each, MendloopError):
            return each
    status = _status(error, exchanges)
    code = getattr(error, "error_code", "")
    if status == 401:
        return Refused(f"{told}; the server does not know {account}: renew the token or password")
    if status == 403:
        return Refused(
            f"{told}; grant {account} the permission MANAGE on the registered model and EDIT on "
            "the experiment 'mendloop'"
        )
    if exchanges.lost_writes:
        return Uncertain(f"{told}; it may have happened: look before it is done again")
    if status == 409 or code in ("ABORTED", "RESOURCE_CONFLICT"):
        return Conflict(told)
    if status == 404 and code not in _INPUT_ERRORS:
        return Invalid(f"{told}; is this the address of an MLflow server?")
    if code in _INPUT_ERRORS and 400 <= status < 500 and status != 429:
        return Invalid(told)
    last = exchanges.last
    after_s = last.retry_after_s if last is not None else None
    return Unavailable(told, retry_after_s=1.0 if after_s is None else after_s)


def password_of(uri: str) -> tuple[str, ...]:
    """The password that an address of a database may hold."""
    found = urlsplit(uri).password if "://" in uri else None
    return (found,) if found else ()


def _status(error: BaseException, exchanges: Exchanges) -> int:
    """Of the failed request: of the error's own answer, else of this thread's last one (artifacts
    are moved by threads of MLflow's)."""
    for each in _chain(error):
        answer = getattr(each, "response", None)
        if answer is not None:
            return int(answer.status_code)
    return exchanges.last.status if exchanges.last is not None else 0


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
