"""The model artifact: an MLflow model folder with an ONNX twin, its digest, and its predictor.

The scikit-learn model is kept as ``model.pkl`` (MLflow's ``pickle`` format). skops, MLflow's
default, refuses tree ensembles and every custom step unless their types are listed as trusted
inside the artifact itself; here trust comes from the artifact's SHA-256, checked against the
registry before anything is loaded. Classes of custom steps must be importable where it is served.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tools import onnx_twin
from tools.errors import Invalid
from tools.model_inputs import model_frame, number_inputs, row_categories, row_numbers
from tools.schema import FeatureSchema

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SCHEMA_FILE = "schema.json"
MODEL_FILE = "model.pkl"
_EXAMPLE_ROWS = 3
_READ_BYTES = 1 << 20


class Predictor(Protocol):
    """A loaded artifact: rows in, probabilities of the positive class out."""

    @property
    def schema(self) -> FeatureSchema:
        """The columns that it takes."""

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """One probability per row. Rows hold the time column and every schema column (None when
        missing), already checked against the schema."""


def save_artifact(
    model: Any,
    schema: FeatureSchema,
    sample: pd.DataFrame,
    folder: Path,
    *,
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Write ``model`` as an artifact into ``folder`` (made; must not exist) and return its digest.

    ``model`` is a fitted binary classifier over ``tools.model_inputs.model_frame``. ``sample``
    holds raw rows (time column and schema columns): all of them check the ONNX twin, the first few
    become MLflow's input example.
    """
    if folder.exists():
        raise Invalid(f"{folder} exists already; an artifact is written once, into a new folder")
    if sample.empty:
        raise Invalid("the sample has no rows; the ONNX twin is checked on some", field="sample")
    inputs = model_frame(sample, schema)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _write_mlflow_model(model, schema, inputs, unfinished, dict(metadata or {}))
    schema_text = json.dumps(schema.model_dump(mode="json", by_alias=True), indent=2)
    (unfinished / SCHEMA_FILE).write_text(schema_text + "\n", encoding="utf-8")
    onnx_twin.write_twin(model, schema, inputs, unfinished)
    digest = artifact_digest(unfinished)
    unfinished.rename(folder)
    return digest


def artifact_digest(folder: Path) -> str:
    """SHA-256 over the files' relative names and contents, sorted by name; 64 hex digits."""
    if not folder.is_dir():
        raise Invalid(f"there is no artifact folder at {folder}")
    total = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    for name, path in sorted(files.items()):
        if path.is_file():
            total.update(f"{len(name.encode())}:{name}:".encode())
            total.update(_file_digest(path))
    return total.hexdigest()


def load_predictor(folder: Path) -> OnnxPredictor | SklearnPredictor:
    """The artifact's predictor: the ONNX twin when there is one, else the scikit-learn model.

    Loading ``model.pkl`` runs code from it: check the digest first. Raises Invalid when the folder
    is not a whole artifact.
    """
    schema = load_schema(folder)
    twin = folder / onnx_twin.ONNX_FILE
    if twin.is_file():
        return OnnxPredictor(schema, twin)
    return SklearnPredictor(schema, folder / MODEL_FILE)


def load_schema(folder: Path) -> FeatureSchema:
    """The schema that the artifact was made for."""
    path = folder / SCHEMA_FILE
    try:
        return FeatureSchema.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Invalid(f"{folder} is no model artifact: cannot read {SCHEMA_FILE}") from error
    except ValueError as error:
        raise Invalid(f"{path} is not a feature schema: {error}") from error


def load_model(folder: Path) -> Any:
    """The fitted scikit-learn model of an artifact; check the digest first."""
    return _unpickle(folder / MODEL_FILE)


class OnnxPredictor:
    """Predicts with onnxruntime; imports neither pandas nor scikit-learn."""

    def __init__(self, schema: FeatureSchema, path: Path) -> None:
        from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

        self._schema = schema
        try:
            self._session = onnx_twin.open_session(path.read_bytes())
        except (
            OSError,
            onnx_errors.Fail,
            onnx_errors.InvalidProtobuf,
            onnx_errors.InvalidGraph,
            onnx_errors.InvalidArgument,
        ) as error:
            raise Invalid(f"{path} is not a loadable ONNX model: {error}") from error

    @property
    def schema(self) -> FeatureSchema:
        return self._schema

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        if not rows:
            return []
        numbers = row_numbers(rows, self._schema)
        probabilities: list[float] = self._run(numbers, row_categories(rows, self._schema)).tolist()
        return probabilities

    def predict_frame(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probabilities for a frame of raw rows (time column and schema columns)."""
        inputs = model_frame(frame, self._schema)
        numbers = inputs[list(number_inputs(self._schema))].to_numpy(dtype="float32")
        texts = inputs[list(self._schema.categories)].to_numpy(dtype=object)
        return self._run(numbers, texts).astype("float64")

    def _run(self, numbers: NDArray[np.float32], texts: NDArray[np.object_]) -> NDArray[np.float32]:
        feed = onnx_twin.session_inputs(self._schema, numbers, texts)
        probabilities: NDArray[np.float32] = self._session.run(["probabilities"], feed)[0]
        return probabilities[:, 1]


class SklearnPredictor:
    """Predicts with the scikit-learn model itself, for models without an ONNX form."""

    def __init__(self, schema: FeatureSchema, path: Path) -> None:
        self._schema = schema
        self._model = _unpickle(path)

    @property
    def schema(self) -> FeatureSchema:
        return self._schema

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        import pandas as pd

        if not rows:
            return []
        schema = self._schema
        numbers = pd.DataFrame(row_numbers(rows, schema), columns=list(number_inputs(schema)))
        texts = row_categories(rows, schema)
        categories = pd.DataFrame(texts, columns=list(schema.categories), dtype=object)
        inputs = pd.concat([numbers, categories], axis=1)
        probabilities: list[float] = self._model.predict_proba(inputs)[:, 1].tolist()
        return probabilities

    def predict_frame(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Probabilities for a frame of raw rows (time column and schema columns)."""
        probabilities = self._model.predict_proba(model_frame(frame, self._schema))
        found: NDArray[np.float64] = probabilities[:, 1]
        return found


def _unpickle(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return pickle.load(file)
    except OSError as error:
        raise Invalid(f"cannot read {path}: {error.strerror}; the artifact is not whole") from error
    except (ImportError, AttributeError) as error:
        raise Invalid(
            f"{path} needs code that is not importable here: {error}; "
            "install the release that defines its custom steps"
        ) from error
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError) as error:
        raise Invalid(f"{path} is damaged: {error}; fetch the artifact again") from error


def _file_digest(path: Path) -> bytes:
    content = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            content.update(block)
    return content.digest()


def _write_mlflow_model(
    model: Any,
    schema: FeatureSchema,
    inputs: pd.DataFrame,
    folder: Path,
    metadata: dict[str, Any],
) -> None:
    import logging
    import warnings

    # MLflow warns about what is chosen on purpose (pickle, an environment without pip) and about
    # its own type hints.
    for noisy in ("mlflow.sklearn", "mlflow.utils.environment"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import sklearn as mlflow_sklearn
        from mlflow.exceptions import MlflowException

        try:
            mlflow_sklearn.save_model(
                model,
                str(folder),
                serialization_format="pickle",
                signature=_signature(schema),
                input_example=inputs.head(_EXAMPLE_ROWS),
                pyfunc_predict_fn="predict_proba",
                pip_requirements=_requirements(),
                metadata=metadata,
            )
        except (MlflowException, pickle.PicklingError) as error:
            raise Invalid(
                f"the model cannot be saved: {error}; classes of custom steps must be importable"
            ) from error


def _signature(schema: FeatureSchema) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs: list[Any] = [ColSpec(DataType.float, name) for name in number_inputs(schema)]
    inputs += [ColSpec(DataType.string, name) for name in schema.categories]
    probabilities = TensorSpec(np.dtype(np.float64), (-1, 2), name="probabilities")
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([probabilities]))


def _requirements() -> list[str]:
    """Named here because MLflow's own inference starts a process and takes seconds."""
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("scikit-learn", "numpy", "pandas")]
