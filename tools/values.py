"""Base of the frozen values that cross floors, and canonical JSON with its digest.

Canonical JSON is what gets hashed, compared and journalled: sorted keys, no white space, UTF-8, no
NaN or infinity (they have no JSON form and would make two honest readers disagree).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def canonical_json(value: Any) -> str:
    """JSON with one spelling per value. Raises ValueError on NaN, infinity and foreign types."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of ``value``, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
