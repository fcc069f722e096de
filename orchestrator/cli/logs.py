"""Structured logs on standard error: readable in a terminal, JSON lines elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def configure_logs(form: Literal["auto", "json", "text"] = "auto", *, level: str = "info") -> None:
    """Event, facts as keys, UTC time; colours only where somebody looks.

    Libraries that log in the usual way come out in the same form, from warnings on.
    """
    is_watched = sys.stderr.isatty()
    is_text = form == "text" or (form == "auto" and is_watched)
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=is_watched)
        if is_text
        else structlog.processors.JSONRenderer()
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level.upper()),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
