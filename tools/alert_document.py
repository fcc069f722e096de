"""Reads alerts as Alertmanager writes them: in its webhooks (version 4) and in its API (v2).

Fields that it may add are let through; those that are used must be what they claim to be.
Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tools.alerts import Alert, target_of
from tools.errors import Invalid
from tools.values import digest

_LONGEST = 500
"""Of a text that is kept: labels and annotations are written by others."""


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class WebhookAlert(_Told):
    """One alert of a webhook."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: str = ""  # noqa: N815  # the document's own name
    fingerprint: str = Field(default="", max_length=128)


class Webhook(_Told):
    """The body of a webhook."""

    version: Literal["4"]
    alerts: tuple[WebhookAlert, ...]


class ApiStatus(_Told):
    """What Alertmanager makes of an alert."""

    state: Literal["active", "suppressed", "unprocessed"]


class ApiAlert(_Told):
    """One alert of ``/api/v2/alerts``."""

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: str = ""  # noqa: N815
    fingerprint: str = Field(min_length=1, max_length=128)
    status: ApiStatus


def read_webhook(body: bytes) -> Webhook:
    """The webhook. Raises Invalid, naming the field and what was expected."""
    content = _json(body)
    try:
        return Webhook.model_validate(content)
    except ValidationError as error:
        raise _invalid(error) from error


def read_listed(content: Any) -> tuple[ApiAlert, ...]:
    """The alerts of an API's answer. Raises Invalid when it is no such list."""
    if not isinstance(content, list):
        raise Invalid(f"expected a list of alerts, got {type(content).__name__}")
    try:
        return tuple(ApiAlert.model_validate(each) for each in content)
    except ValidationError as error:
        raise _invalid(error) from error


def alert_of(told: WebhookAlert | ApiAlert) -> Alert:
    """What mendloop keeps of it."""
    labels, annotations = told.labels, told.annotations
    summary = annotations.get("summary") or annotations.get("description") or ""
    return Alert(
        fingerprint=told.fingerprint or digest(labels)[:16],
        target=target_of(labels),
        name=labels.get("alertname", "")[:_LONGEST],
        severity=labels.get("severity", "")[:_LONGEST],
        summary=summary[:_LONGEST],
        starts_at=told.startsAt[:_LONGEST],
    )


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"expected JSON: {error}", field="body") from error


def _invalid(error: ValidationError) -> Invalid:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "body"
    return Invalid(first["msg"], field=field)
