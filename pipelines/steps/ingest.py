"""Step ``ingest``: the pinned training data, exactly that, with a label on every row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.data_files import read_table
from tools.errors import Invalid
from tools.managed_model import ManagedModelSpec


def ingest(uri: str, digest: str, spec: ManagedModelSpec, rows: Path, report: Path) -> None:
    """Write the labelled rows of the pinned table to ``rows`` (Parquet), its facts to ``report``.

    Raises Refused when the content does not have ``digest``, Invalid when there is no digest (data
    that may change cannot be traced), no label column or no labelled row.
    """
    if not digest:
        raise Invalid("expected the SHA-256 of the pinned data", field="data_digest")
    frame = read_table(uri, digest=digest, text_columns=spec.schema_.categories)
    label = spec.label.name
    if label not in frame.columns:
        raise Invalid(f"{uri} has no label column; expected it under this name", field=label)
    labelled = frame[frame[label].notna()]
    if labelled.empty:
        raise Invalid(f"none of the {len(frame)} rows of {uri} has a label", field=label)
    labelled.to_parquet(rows, index=False)
    facts: dict[str, Any] = {
        "uri": uri,
        "digest": digest,
        "rows": len(frame),
        "unlabelled": len(frame) - len(labelled),
    }
    report.write_text(json.dumps(facts), encoding="utf-8")
