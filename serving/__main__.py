"""``python -m serving``: one server process for one version of one model.

Ends with 0 after SIGTERM or SIGINT, when every answered request is in the prediction log; with 1
when the model cannot be served, the address cannot be had, or log rows could not be written.
"""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from pathlib import Path

import structlog
import uvicorn
from pydantic import ValidationError

from serving.app import create_app
from serving.log_writer import LogStatus
from serving.model import load_artifact
from serving.server import ModelServer, ServerSettings
from tools.artifact import load_schema
from tools.durable_files import write_durably
from tools.errors import MendloopError, Unavailable
from tools.postgres_errors import is_postgres

log = structlog.get_logger("serving")

_KEEP_ALIVE_S = 2 * 60 * 60
"""Longer than proxies keep idle connections (Envoy: 1 hour). The side that closes first must be the
one that knows whether a request is on its way."""
_FINISH_S = 20
"""For requests in flight at SIGTERM."""


class _Server(uvicorn.Server):
    """Says where it listens, once it does."""

    port_file: Path | None = None
    failure = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        [listening] = sockets or []
        host, port = listening.getsockname()[:2]
        log.info("server.listening", host=host, port=port)
        if self.port_file is not None:
            self._tell(self.port_file, port)

    def _tell(self, port_file: Path, port: int) -> None:
        try:
            write_durably(port_file, f"{port}\n")
        except OSError as error:
            self.failure = f"cannot write the port file {port_file}: {error.strerror}"
            self.should_exit = True


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; the exit code says how it went."""
    parser = _parser()
    options = parser.parse_args(arguments)
    _log_to_stderr(options.target, options.version)
    try:
        return _serve(options, _settings(parser, options))
    except MendloopError as error:
        log.error("server.failed", reason=str(error))
        return 1


def _settings(parser: argparse.ArgumentParser, options: argparse.Namespace) -> ServerSettings:
    try:
        return ServerSettings(
            target=options.target,
            version=options.version,
            log=options.log if is_postgres(options.log) else Path(options.log),
            config_file=options.config,
        )
    except ValidationError as error:
        first = error.errors()[0]
        parser.error(f"argument --{first['loc'][0]}: got {first['input']!r}: {first['msg']}")


def _serve(options: argparse.Namespace, settings: ServerSettings) -> int:
    server = ModelServer(
        settings, load_schema(options.artifact), lambda: load_artifact(options.artifact)
    )
    app = create_app(server)
    web = _Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_FINISH_S,
        )
    )
    web.port_file = options.port_file
    server.on_failure = lambda: setattr(web, "should_exit", True)
    # uvicorn raises the signal again after its shutdown: by then there is nothing left to do.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: None)
    with _listen(options.host, options.port) as listening:
        web.run(sockets=[listening])
    return _outcome(web.failure or server.failure, app.state.log_status)


def _outcome(failure: str, written: LogStatus) -> int:
    if failure or written.queued:
        log.error("server.stopped", reason=failure, log_rows_unwritten=written.queued)
        return 1
    log.info("server.stopped", log_rows_written=written.written)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Unavailable(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port, or 0 for "
            "any free one"
        ) from error
    return listening


def _log_to_stderr(target: str, version: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(target=target, version=version)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving",
        description="Serve one version of a model over HTTP and log every prediction.",
        epilog="example: python -m serving --artifact model --target default/flights --version 3 "
        "--port 8080 --log predictions/default/flights",
    )
    add = parser.add_argument
    add("--artifact", type=Path, required=True, help="folder of the model artifact")
    add("--target", required=True, help="namespace/name of the served model")
    add("--version", required=True, help="version of the model, as the registry knows it")
    add("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    add("--port", type=int, default=0, help="port to listen on, 0 for any free one (default)")
    add("--port-file", type=Path, help="file that is given the port once the server listens")
    add(
        "--log",
        required=True,
        help="folder of the target's prediction log, or postgresql://user@host/database (the "
        "password best in PGPASSWORD or a password file)",
    )
    add("--config", type=Path, help="JSON configuration, followed while the server runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
