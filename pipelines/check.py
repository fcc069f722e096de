"""The Kubeflow pipeline ``check-data``: whether training data would be taken, on a calendar.

It trains nothing, registers nothing and changes nothing, so it may run by Kubeflow's own clock; a
training that a calendar asks for is mendloop's (``spec.triggers``), under its guardrails.
"""

# No `from __future__ import annotations` here: Kubeflow reads the annotations as types.

from collections.abc import Callable
from typing import Any

from kfp import dsl

from pipelines import components

_pipeline: Callable[[Callable[..., Any]], Callable[..., Any]] = dsl.pipeline(name="check-data")


@_pipeline
def check_data(data_uri: str, spec: str) -> None:
    """Fail with all that forbids training on the data as it is now; ``spec`` is that of a
    ManagedModel as JSON text."""
    components.check_data(uri=data_uri, spec=spec)
