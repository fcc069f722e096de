"""The ONNX twin of a fitted scikit-learn model, made only when it answers like the original.

The twin takes two inputs, ``numbers`` (float32) and ``categories`` (text), so that one request
costs two small arrays. A model with steps that have no ONNX form, or whose twin differs on the
sample, is served by scikit-learn instead; ``parity.json`` says which and why.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.model_inputs import MISSING_CATEGORY, number_inputs
from tools.schema import FeatureSchema
from tools.values import Value

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

ONNX_FILE = "model.onnx"
PARITY_FILE = "parity.json"
MAX_DIFFERENCE = 1e-4
"""Largest difference of a probability that no decision here could notice."""
_OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Pinned so that an artifact made today loads in the onnxruntime of a running server."""
_NOT_CONVERTIBLE = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    NameError,
    AssertionError,
)
"""The converter reports what it cannot express with whatever its own code ran into (its own errors
and NotImplementedError are RuntimeErrors)."""
_UNSEEN = "(never seen in training)"


class Parity(Value):
    """How the twin compares with the original on the sample and on its corner cases."""

    passed: bool
    reason: str
    rows: int = 0
    max_difference: float | None = None


def write_twin(model: Any, schema: FeatureSchema, inputs: pd.DataFrame, folder: Path) -> Parity:
    """Write ``model.onnx`` if the twin agrees on ``inputs``, and ``parity.json`` in any case.

    ``inputs`` come from ``tools.model_inputs.model_frame``; rows of missing numbers, missing and
    unseen categories are added to them.
    """
    content, why_not = _convert(model, schema)
    if content is None:
        parity = Parity(passed=False, reason=f"not convertible to ONNX: {why_not}")
    else:
        parity = compare(content, model, schema, inputs)
        if parity.passed:
            (folder / ONNX_FILE).write_bytes(content)
    text = json.dumps(parity.model_dump(), indent=2, sort_keys=True, allow_nan=False)
    (folder / PARITY_FILE).write_text(text + "\n", encoding="utf-8")
    return parity


def compare(content: bytes, model: Any, schema: FeatureSchema, inputs: pd.DataFrame) -> Parity:
    """How a twin's bytes answer beside the original, on ``inputs`` and their corner cases."""
    return _compare(content, model, schema, _with_corner_cases(inputs, schema))


def open_session(content: bytes) -> Any:
    """An onnxruntime session on one thread: servers share the machine, requests are small."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def session_inputs(
    schema: FeatureSchema, numbers: NDArray[np.float32], categories: NDArray[np.object_]
) -> dict[str, Any]:
    """The feed of a session; an absent block is no input of the twin."""
    feed: dict[str, Any] = {}
    if number_inputs(schema):
        feed["numbers"] = numbers
    if schema.categories:
        feed["categories"] = categories
    return feed


def _convert(model: Any, schema: FeatureSchema) -> tuple[bytes | None, str]:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    types: list[tuple[str, Any]] = []
    if number_inputs(schema):
        types.append(("numbers", FloatTensorType([None, len(number_inputs(schema))])))
    if schema.categories:
        types.append(("categories", StringTensorType([None, len(schema.categories)])))
    steps = getattr(model, "steps", [("classifier", model)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of numpy types, inside onnx
            twin = convert_sklearn(
                model,
                initial_types=types,
                options={id(steps[-1][1]): {"zipmap": False}},
                target_opset=_OPSETS,
            )
    except _NOT_CONVERTIBLE as error:
        names = ", ".join(type(step).__name__ for _, step in steps)
        return None, f"{type(error).__name__}: {_first_line(error)} (steps: {names})"
    return bytes(twin.SerializeToString()), ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _with_corner_cases(inputs: pd.DataFrame, schema: FeatureSchema) -> pd.DataFrame:
    import pandas as pd

    corners = inputs.head(1).loc[lambda frame: frame.index.repeat(3)].reset_index(drop=True)
    for name in schema.numbers:
        corners.loc[0, name] = float("nan")
    for name in schema.categories:
        corners.loc[1, name] = _UNSEEN
        corners.loc[2, name] = MISSING_CATEGORY
    return pd.concat([inputs, corners], ignore_index=True)


def _compare(content: bytes, model: Any, schema: FeatureSchema, inputs: pd.DataFrame) -> Parity:
    import numpy as np
    from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

    expected = np.asarray(model.predict_proba(inputs))[:, 1]
    numbers = inputs[list(number_inputs(schema))].to_numpy(dtype=np.float32)
    categories = inputs[list(schema.categories)].to_numpy(dtype=object)
    failures = (
        onnx_errors.Fail,
        onnx_errors.InvalidArgument,
        onnx_errors.InvalidGraph,
        onnx_errors.NotImplemented,
        onnx_errors.RuntimeException,
    )
    try:
        session = open_session(content)
        feed = session_inputs(schema, numbers, categories)
        actual = session.run(["probabilities"], feed)[0][:, 1]
    except failures as error:
        return Parity(passed=False, reason=f"the ONNX model does not run: {_first_line(error)}")
    difference = float(np.abs(actual - expected).max())
    if not difference <= MAX_DIFFERENCE:
        reason = f"probabilities differ by up to {difference:.3g}, allowed are {MAX_DIFFERENCE:g}"
        return Parity(
            passed=False,
            reason=reason,
            rows=len(inputs),
            max_difference=difference if np.isfinite(difference) else None,
        )
    return Parity(passed=True, reason="same answers", rows=len(inputs), max_difference=difference)
