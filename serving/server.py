"""One version of one model, being served: its model, configuration, log and instruments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field

from serving import config_file
from serving.batcher import ROWS_PER_CALL, Batcher, PredictionFailed
from serving.config_file import ConfigFile
from serving.instruments import Instruments
from serving.log_sinks import DatabaseSink, LogSink
from serving.log_writer import LogEntry, LogStatus, LogWriter
from serving.model import Load, warm_up_row
from serving.requests import RequestReader, Row
from serving.worker import Worker
from tools.errors import MendloopError, Unavailable
from tools.log_parts import feature_types, prediction_schema, shadow_folder, shadow_of
from tools.schema import FeatureSchema
from tools.values import Value
from tools.workloads import ServingConfig

log = structlog.get_logger(__name__)

_WARM_UP_CALLS = 3
"""The first calls of a session allocate; the later ones are what requests will see."""


class ServerSettings(Value):
    """What a server is started with; it does not change while it runs."""

    target: str = Field(pattern=r"^[^/\s]+/[^/\s]+$")
    version: str = Field(pattern=r"^[!-~]{1,64}$")
    """Visible ASCII: it travels in a header."""
    log: Path | str = Field(repr=False)
    """A folder for Parquet parts, or the URL of a PostgreSQL database."""
    config_file: Path | None = None
    max_batch_rows: int = Field(default=5_000, ge=1)
    log_rows_per_part: int = Field(default=2_000, ge=1)
    log_flush_s: float = Field(default=0.5, gt=0)
    """How long a served row may wait for the disk; the monitor sees it soon after."""
    log_bound: int = Field(default=100_000, ge=1)
    """Rows kept while the disk refuses: minutes at some hundred a second, about 150 MB."""


class ModelServer:
    """Answers rows with one model. Lives on one event loop, between ``start`` and ``stop``."""

    def __init__(self, settings: ServerSettings, schema: FeatureSchema, load: Load) -> None:
        self.settings = settings
        self.schema = schema
        self.reader = RequestReader(schema, max_rows=settings.max_batch_rows)
        self.instruments = Instruments()
        self.digest = ""
        self.failure = ""
        """Why the model will never be ready."""
        self.on_failure: Callable[[], None] = lambda: None
        self._load = load
        self._batcher: Batcher | None = None
        self._config = ConfigFile(settings.config_file, schema)
        self._writer = self._log_of(settings.target)
        self._copies: LogWriter | None = None
        """Writes what copies of requests were answered; from the first of them on."""
        self._tasks: list[asyncio.Task[None]] = []
        self.instruments.watch_log(self._writer.status)
        self.instruments.watch_info(self._info)

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded and has answered its warm-up."""
        return self._batcher is not None

    @property
    def config(self) -> ServingConfig:
        """The configuration in force."""
        return self._config.current

    @property
    def config_problem(self) -> str:
        """Why the configuration file is not in force, if it is not."""
        return self._config.problem

    def log_status(self) -> LogStatus:
        """How the prediction log is doing."""
        return self._writer.status()

    async def start(self) -> None:
        """Begin to log, follow the configuration and load the model; returns at once."""
        self._writer.start()
        self._tasks = [
            asyncio.create_task(self._become_ready()),
            asyncio.create_task(self._follow_config()),
        ]

    async def stop(self) -> LogStatus:
        """Flush the log and end. Rows still queued in the answer are lost."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._batcher is not None:
            self._batcher.close()
        if self._copies is not None:
            await asyncio.to_thread(self._copies.close)
        return await asyncio.to_thread(self._writer.close)

    async def answer(
        self, rows: Sequence[Row], request_ids: Sequence[str], *, is_copy: bool = False
    ) -> list[float]:
        """One probability per row, logged before it is answered.

        ``is_copy``: another version answers the caller, and this answer is thrown away; it is
        logged apart. Raises PredictionFailed when the model failed, Unavailable when it is not
        ready or too busy; then nothing is logged.
        """
        if self._batcher is None:
            raise Unavailable("the model is still loading")
        masked = self.config.masked
        served = [row | dict.fromkeys(masked) for row in rows] if masked else rows
        probabilities = await self._predict(self._batcher, served)
        now = datetime.now(UTC).replace(tzinfo=None)
        time_column = self.schema.time_column
        writer = self._log_of_copies() if is_copy else self._writer
        writer.append(
            [
                LogEntry(request_id, row[time_column], probability, masked, now, row)
                for request_id, row, probability in zip(
                    request_ids, rows, probabilities, strict=True
                )
            ]
        )
        (self.instruments.copies if is_copy else self.instruments.predictions).inc(len(rows))
        return probabilities

    async def _predict(self, batcher: Batcher, rows: Sequence[Row]) -> list[float]:
        try:
            if len(rows) <= ROWS_PER_CALL:
                return await batcher.submit(rows)
            probabilities: list[float] = []
            for start in range(0, len(rows), ROWS_PER_CALL):
                probabilities += await batcher.submit(rows[start : start + ROWS_PER_CALL])
            return probabilities
        except PredictionFailed as error:
            self.instruments.failures.inc()
            log.error("prediction.failed", reason=str(error))
            raise

    def _log_of(self, target: str, *, is_shadow: bool = False) -> LogWriter:
        settings, columns = self.settings, prediction_schema(feature_types(self.schema))
        if isinstance(settings.log, Path):
            sink: Path | LogSink = shadow_folder(settings.log) if is_shadow else settings.log
        else:
            sink = DatabaseSink(settings.log, target, columns)
        return LogWriter(
            sink,
            columns,
            version=settings.version,
            rows_per_part=settings.log_rows_per_part,
            flush_s=settings.log_flush_s,
            bound=settings.log_bound,
        )

    def _log_of_copies(self) -> LogWriter:
        if self._copies is None:
            self._copies = self._log_of(shadow_of(self.settings.target), is_shadow=True)
            self._copies.start()
        return self._copies

    async def _become_ready(self) -> None:
        try:
            loader = Worker("load-model")
            loaded = await loader.submit(self._load)
            loader.close()
            batcher = Batcher(loaded.predictor.predict)
            await asyncio.to_thread(self._writer.warm_up)
            for _ in range(_WARM_UP_CALLS):
                await batcher.submit([warm_up_row(self.schema)])
        except MendloopError as error:
            self.failure = str(error)
            log.error("model.refused", reason=self.failure)
            self.on_failure()
            return
        self.digest = loaded.digest
        self._batcher = batcher
        log.info("model.ready", artifact_digest=self.digest)

    async def _follow_config(self) -> None:
        while True:
            await asyncio.sleep(config_file.POLL_S)
            self._config.poll()

    def _info(self) -> dict[str, Any]:
        return {
            "target": self.settings.target,
            "version": self.settings.version,
            "artifact_digest": self.digest,
        }
