"""Base of the payloads that events carry."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from tools.values import Value

Json = dict[str, Any]


class Payload(Value):
    """Base of what an event carries. NaN and infinity stay what they are when it is written out,
    so that the journal refuses them; by default they would silently become null."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")
