"""A version for devices: its ONNX twin, exported only when it answers like the model, tested anew.

The exported file is the registered one, byte for byte. It is compared with the registered
scikit-learn model on MLflow's input example, on rows drawn from the version's reference (every bin
edge is a value next to which trees split), and on rows that the caller has.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tools import onnx_twin
from tools.artifact import SCHEMA_FILE, load_model, load_schema
from tools.errors import Invalid, Refused, Unavailable
from tools.model_inputs import model_frame, number_inputs
from tools.schema import FeatureSchema
from tools.served_profile import read_reference
from tools.values import Value

if TYPE_CHECKING:
    import pandas as pd

    from tools.registry import ModelVersion

_DRAWN = 2_000
_EXAMPLE = "input_example.json"


class Export(Value):
    """What was exported; ``parity.json`` beside the model says the same."""

    model: str
    version: str
    artifact_digest: str
    """Of the registered artifact."""
    onnx_digest: str
    """SHA-256 of ``model.onnx``, for the device to check."""
    onnx_bytes: int
    original_bytes: int
    """Of the pickled scikit-learn model."""
    rows: int
    """Compared, corner cases included."""
    max_difference: float
    """Of a probability; MAX_DIFFERENCE of ``tools/onnx_twin.py`` is allowed."""


def export_twin(
    registered: ModelVersion, artifact: Path, into: Path, *, rows: pd.DataFrame | None = None
) -> Export:
    """Write ``model.onnx``, ``schema.json`` and ``parity.json`` into the new folder ``into``.

    ``rows``: raw rows to compare on too. Raises Refused when the version has no twin or the twin
    answers otherwise, Invalid when the folder exists or the rows lack a column.
    """
    if into.exists():
        raise Invalid(f"{into} exists already; an export is written once, into a new folder")
    content = _twin(registered, artifact)
    schema, model = load_schema(artifact), load_model(artifact)
    inputs = _inputs(registered, artifact, schema, rows)
    parity = onnx_twin.compare(content, model, schema, inputs)
    if not parity.passed or parity.max_difference is None:
        raise Refused(
            f"version {registered.version} of {registered.model} is not exported: {parity.reason}"
            f" ({parity.rows} rows compared); serve it by its scikit-learn model"
        )
    exported = Export(
        model=registered.model,
        version=registered.version,
        artifact_digest=registered.artifact_digest,
        onnx_digest=hashlib.sha256(content).hexdigest(),
        onnx_bytes=len(content),
        original_bytes=(artifact / "model.pkl").stat().st_size,
        rows=parity.rows,
        max_difference=parity.max_difference,
    )
    _write(exported, content, artifact, into)
    return exported


def _twin(registered: ModelVersion, artifact: Path) -> bytes:
    try:
        return (artifact / onnx_twin.ONNX_FILE).read_bytes()
    except FileNotFoundError:
        pass
    try:
        why = json.loads((artifact / onnx_twin.PARITY_FILE).read_bytes())["reason"]
    except (OSError, ValueError, LookupError):
        why = "the artifact does not say why"
    raise Refused(f"version {registered.version} of {registered.model} has no ONNX twin: {why}")


def _inputs(
    registered: ModelVersion, artifact: Path, schema: FeatureSchema, rows: pd.DataFrame | None
) -> pd.DataFrame:
    import pandas as pd

    found = [_example(artifact, schema)]
    drawn = _drawn(registered, schema)
    for raw in (drawn, rows):
        if raw is not None:
            found.append(model_frame(raw, schema))
    inputs = pd.concat([frame for frame in found if not frame.empty], ignore_index=True)
    if inputs.empty:
        raise Invalid("there are no rows to compare on; give some by --rows")
    return inputs


def _example(artifact: Path, schema: FeatureSchema) -> pd.DataFrame:
    """The inputs that MLflow keeps with the model."""
    import pandas as pd

    names = [*number_inputs(schema), *schema.categories]
    try:
        kept = json.loads((artifact / _EXAMPLE).read_bytes())
        frame = pd.DataFrame(kept["data"], columns=kept["columns"])[names]
    except FileNotFoundError:
        return pd.DataFrame(columns=names)
    except (OSError, ValueError, LookupError) as error:
        raise Invalid(f"{artifact / _EXAMPLE} is damaged: {error}; fetch it again") from error
    return frame.astype(dict.fromkeys(number_inputs(schema), "float32"))


def _drawn(registered: ModelVersion, schema: FeatureSchema) -> pd.DataFrame | None:
    """Raw rows whose values stand in the reference, always the same; None without a profile."""
    import numpy as np
    import pandas as pd

    reference = read_reference(registered.reference)
    if reference is None:
        return None
    rng, columns = np.random.default_rng(0), {}
    for name in schema.numbers:
        edges = np.array(reference.whole.numbers[name].edges or (0.0,))
        values = rng.choice(edges, _DRAWN)
        between = rng.random(_DRAWN) < 0.5
        values[between] += (rng.random(_DRAWN) * (np.ptp(edges) or 1.0) / len(edges))[between]
        columns[name] = values
    for name in schema.categories:
        known = sorted(reference.whole.categories[name].counts) or ["(none)"]
        columns[name] = rng.choice(np.array(known, dtype=object), _DRAWN)
    start, end = (pd.Timestamp(registered.reference[key]) for key in ("start", "end"))
    columns[schema.time_column] = start + (end - start) * rng.random(_DRAWN)
    return pd.DataFrame(columns)


def _write(exported: Export, content: bytes, artifact: Path, into: Path) -> None:
    beside = into.with_name(f".{into.name}.unfinished")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        (beside / onnx_twin.ONNX_FILE).write_bytes(content)
        shutil.copyfile(artifact / SCHEMA_FILE, beside / SCHEMA_FILE)
        text = json.dumps(exported.model_dump(), indent=2, sort_keys=True)
        (beside / onnx_twin.PARITY_FILE).write_text(text + "\n", encoding="utf-8")
        beside.rename(into)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise Unavailable(f"cannot write {into}: {error.strerror}") from error
