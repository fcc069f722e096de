"""What the one-machine platform knows of a server between two calls: its folder and its record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.durable_files import write_durably
from tools.errors import Invalid, Unavailable
from tools.process_records import RECORD_NAME, ProcessRecord
from tools.values import Value
from tools.workloads import ServerRequest, ServingConfig

_LOG_LINES = 5
_LOG_TAIL_BYTES = 4096


class ServerRecord(Value):
    """What was asked of a server and what became of it. Its process is recorded beside it."""

    request: ServerRequest
    """As started; ``config`` is the newest one asked for."""
    key: str
    restart_key: str = ""
    config_key: str = ""
    port: int = 0
    """Where it listened last: a restarted server goes back there, so that no route changes."""
    published: str = ""
    """The address that requests are sent to; empty until the server was ready once."""
    started_s: float = 0.0
    """Monotonic time of the last start."""
    restarts: int = 0
    """Restarts after crashes since the server was made or restarted on purpose."""
    was_ready: bool = False
    """Since the last start."""
    crashes: int = 0
    """Crashes in a row, without a long healthy time between them."""
    restart_due_s: float | None = None
    """Monotonic time of the next restart; None: it is not known to have crashed."""
    failure: str = ""
    """Why it is not started again; empty while it may be."""
    stopping: bool = False


@dataclass(frozen=True)
class ServerFolder:
    """Files of one server."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def process(self) -> Path:
        """The process record, under the name by which the platform's stop finds it."""
        return self.path / RECORD_NAME

    @property
    def port_file(self) -> Path:
        return self.path / "port"

    @property
    def config(self) -> Path:
        return self.path / "config.json"

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    @property
    def record_file(self) -> Path:
        return self.path / "server.json"

    def read(self) -> ServerRecord | None:
        """The record; None when there is no such server. Raises Unavailable on a broken one."""
        try:
            return ServerRecord.model_validate_json(self.record_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"cannot read {self.record_file}: {error}; remove the file to forget the server"
            ) from error

    def write(self, record: ServerRecord) -> ServerRecord:
        """Store the record and return it. Raises Unavailable when it cannot be stored."""
        self._write(self.record_file, record.model_dump_json(indent=2))
        return record

    def write_config(self, config: ServingConfig) -> None:
        """Replace the file that the server follows."""
        self._write(self.config, config.model_dump_json())

    def write_process(self, process: ProcessRecord) -> None:
        """Store which process it is."""
        self._write(self.process, process.model_dump_json())

    def listening_port(self) -> int | None:
        """The port that the running server has announced; None so far."""
        try:
            return int(self.port_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def last_log_lines(self) -> str:
        """The end of the server's output, on one line, for people."""
        try:
            text = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""
        return " | ".join(text.splitlines()[-_LOG_LINES:])

    def _write(self, path: Path, text: str) -> None:
        try:
            write_durably(path, text)
        except OSError as error:
            raise Unavailable(
                f"cannot write {path}: {error.strerror}; check space and rights"
            ) from error


def target_folder(root: Path, target: str) -> Path:
    """Folder of a target's servers. Raises Invalid when the target is not ``namespace/name``."""
    parts = target.split("/")
    if len(parts) != 2 or not all(_is_plain(part) for part in parts):
        raise Invalid(f"expected namespace/name, got {target!r}", field="target")
    return root / parts[0] / parts[1]


def server_folder(root: Path, target: str, version: str) -> ServerFolder:
    """Folder of one server. Raises Invalid when the version cannot name one."""
    if not _is_plain(version):
        raise Invalid(f"expected letters, digits, . _ or -, got {version!r}", field="version")
    return ServerFolder(target_folder(root, target) / version)


def _is_plain(part: str) -> bool:
    return (
        part.isascii() and part.replace("-", "").replace("_", "").replace(".", "").isalnum()
    ) and not part.startswith(".")
