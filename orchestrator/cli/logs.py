"""Structured logs on standard error: readable in a terminal, JSON lines elsewhere."""

from __future__ import annotations

import sys

import structlog


def configure_logs() -> None:
    """Event, facts as keys, UTC time; colours only where somebody looks."""
    is_watched = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if is_watched else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
