"""What a failure of Kubeflow's API means, and answers that are none.

Kubeflow's client reads whatever came as the object that it expects: a login page would be a list
without runs, and the run that is looked for would be made a second time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tools.errors import Conflict, Invalid, MendloopError, Refused, Unavailable, Uncertain

_MOST_RETRY_AFTER_S = 3600.0


def strict_client(settings: Any) -> Any:
    """Kubeflow's client, which takes nothing but JSON objects of the right shape for an answer."""
    import kfp_server_api

    client: Any = kfp_server_api.ApiClient

    class StrictClient(client):  # type: ignore[misc]  # the library has no types
        def deserialize(self, response: Any, response_type: Any) -> Any:
            if response_type == "object" and not response.data:
                return None  # nothing is asked of it
            content = json.loads(response.data)
            if not isinstance(content, dict):
                raise ValueError(f"expected a JSON object, got {type(content).__name__}")
            try:
                return super().deserialize(response, response_type)
            except (TypeError, AttributeError, KeyError) as error:
                raise ValueError(f"the answer is no {response_type}: {error}") from error

    return StrictClient(settings)


def identity(given: str | None) -> str:
    """Of what was made; an answer without one is none."""
    if not given:
        raise ValueError("the answer names nothing that was made")
    return given


def items_of(page: Any) -> list[Any]:
    """Of one page of a list; something without a name is none of what Kubeflow lists."""
    for name in ("runs", "experiments", "pipelines", "pipeline_versions", "recurring_runs"):
        if hasattr(page, name):
            items = list(getattr(page, name) or [])
            if all(item.display_name for item in items):
                return items
    raise Unavailable("the answer is no list that Kubeflow gives")


@contextmanager
def translated(what: str, *, is_write: bool) -> Iterator[None]:
    """Turn the failures of one call into those of ``tools/errors.py``."""
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

    what = f"Kubeflow Pipelines: cannot {what}"
    try:
        yield
    except ApiException as error:
        raise _meaning(error, what, is_write=is_write) from error
    except (NewConnectionError, ConnectTimeoutError) as error:
        raise Unavailable(f"{what}: the API cannot be reached: {error}") from error
    except (HTTPError, ValueError) as error:
        if is_write:
            raise Uncertain(f"{what}: the answer was lost: {error}") from error
        raise Unavailable(f"{what}: no whole answer: {error}") from error


def _meaning(error: Any, what: str, *, is_write: bool) -> MendloopError:
    try:
        said = json.loads(error.body or "").get("message") or error.reason
    except (ValueError, AttributeError):
        said = f"{error.status} {error.reason}"
    told = f"{what}: {said}"
    match error.status:
        case 401:
            return Refused(f"{told}; the token is not accepted: renew it")
        case 403:
            return Refused(f"{told}; give mendloop's service account access to the namespace")
        case 409:
            return Conflict(told)
        case 429:
            return Unavailable(told, retry_after_s=_retry_after_s(error.headers))
        case code if code == 0 or code >= 500:
            return Uncertain(told) if is_write else Unavailable(told)
        case _:
            return Invalid(told)


def _retry_after_s(headers: Any) -> float:
    text = str((headers or {}).get("Retry-After", "")).strip()
    return min(float(text), _MOST_RETRY_AFTER_S) if text.isdecimal() else 1.0
