"""Scores a file with a registered version: the body of ``mendloop score``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.platform.offline import fetched, log_place
from serving.batch import BatchScorer, Scored
from serving.batch_log import BatchLog
from serving.model import load_artifact
from tools.table_stream import format_of
from tools.values import Value

if TYPE_CHECKING:
    from orchestrator.platform.document import PlatformSpec
    from tools.managed_model import ManagedModel


class ScoreOrder(Value):
    """What is to be scored, and how."""

    source: str
    output: str
    """Empty: check everything, write nothing."""
    version: str
    masked: tuple[str, ...]
    is_logged: bool
    chunk_rows: int


class ScoredFile(Scored):
    """What became of it, and by which version."""

    model: str
    version: str
    artifact_digest: str


def score_file(
    model: ManagedModel,
    order: ScoreOrder,
    *,
    home: Path,
    spec: PlatformSpec | None,
    tell: Callable[[str], None],
) -> ScoredFile:
    """Fetch the version, score the file, append to the log. Raises a MendloopError."""
    for place in filter(None, (order.source, order.output)):
        format_of(place)  # before a model is fetched for nothing
    registered, folder = fetched(home, spec, model.spec.model, order.version)
    scorer = BatchScorer(load_artifact(folder).predictor, registered.version, masked=order.masked)
    log = None
    if order.is_logged and order.output:
        where = log_place(home, spec, model.target)
        log = BatchLog(where, model.target, scorer.schema, masked=order.masked)
    with tempfile.TemporaryDirectory(prefix="mendloop-score-") as scratch:
        found = scorer.score(
            order.source,
            order.output or None,
            Path(scratch),
            chunk_rows=order.chunk_rows,
            log=log,
            tell=tell,
        )
    return ScoredFile(
        **found.model_dump(),
        model=registered.model,
        version=registered.version,
        artifact_digest=registered.artifact_digest,
    )
