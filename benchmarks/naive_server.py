"""The server that tutorials show: FastAPI, a DataFrame per request, the scikit-learn model.

What ``serving_throughput`` measures against. It has no prediction log, no batching and no metrics.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import uvicorn
from fastapi import Body, FastAPI
from pydantic import create_model

from tools.artifact import load_model, load_schema
from tools.model_inputs import model_frame


def create_app(artifact: Path) -> FastAPI:
    """The same request and answer as ``serving``, the textbook way."""
    schema, model = load_schema(artifact), load_model(artifact)
    fields: dict[str, Any] = {schema.time_column: datetime}
    fields |= dict.fromkeys(schema.numbers, float | None)
    fields |= dict.fromkeys(schema.categories, str)
    row_model: Any = create_model("Row", **fields)
    app = FastAPI()

    def predict(row: Any) -> dict[str, Any]:
        frame = pd.DataFrame([row.model_dump()])
        probability = float(model.predict_proba(model_frame(frame, schema))[0, 1])
        return {"probability": probability, "prediction": int(probability >= 0.5)}

    predict.__annotations__["row"] = Annotated[row_model, Body()]
    app.post("/predict")(predict)
    return app


def main() -> None:
    """Serve an artifact on a free port that is written to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.naive_server", description=__doc__)
    parser.add_argument("--artifact", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(create_app(options.artifact), port=options.port, log_level="error")


if __name__ == "__main__":
    main()
