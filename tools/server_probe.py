"""Asks a model server what it serves and whether it is ready."""

from __future__ import annotations

import httpx
from pydantic import BaseModel, ValidationError

from tools.workloads import ServingConfig


class ServerHealth(BaseModel):
    """What ``/health`` says, as far as it matters here, and whether ``/ready`` agreed."""

    target: str
    version: str
    artifact_digest: str
    config: ServingConfig
    config_problem: str = ""
    problems: tuple[str, ...] = ()
    is_ready: bool = False


def probe(address: str, *, timeout_s: float) -> ServerHealth | str:
    """The health of the server at ``host:port``, or why there is no answer."""
    try:
        with httpx.Client(
            base_url=f"http://{address}", trust_env=False, timeout=timeout_s, verify=False
        ) as client:
            answer = client.get("/health")
            ready = client.get("/ready")
        answer.raise_for_status()
        health = ServerHealth.model_validate_json(answer.text)
    except httpx.HTTPError as error:
        return f"no answer from {address}: {type(error).__name__} {error}".rstrip()
    except ValidationError as error:
        return f"{address}/health is not a model server's: {error.errors()[0]['msg']}"
    return health.model_copy(update={"is_ready": ready.status_code == httpx.codes.OK})
