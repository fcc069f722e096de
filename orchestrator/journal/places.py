"""Where copies of checkpoints go: whoever rewrites the journal must then rewrite those too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from orchestrator.journal.checkpoint import CheckpointFolder, Checkpoints
from orchestrator.journal.place_config_map import ConfigMapOfCheckpoints
from orchestrator.journal.settings import ConfigMapPlace, FolderPlace, GitPlace
from tools.durable_files import write_durably
from tools.errors import Invalid, Refused, Unavailable
from tools.git_repository import GitRepository

_CONFIG_MAP = "configmap:"
Note = tuple[str, str]
"""Name of the file, and the signed text."""


class Place(Protocol):
    """Takes checkpoints; keeps what it has."""

    @property
    def name(self) -> str:
        """What to call it in a log."""

    def newest(self) -> int:
        """How many events the largest checkpoint there covers; 0 when there is none."""

    def put(self, notes: Sequence[Note]) -> None:
        """Keep them too. Raises Unavailable when it cannot now, Refused when it holds another
        checkpoint of the same size: one of both journals is not the one that was signed."""


class FolderOfCheckpoints:
    """A folder: another disk, a mounted share."""

    def __init__(self, root: Path) -> None:
        self.name = f"folder {root}"
        self._root = root

    def newest(self) -> int:
        """See Place."""
        return CheckpointFolder(self._root).newest_size()

    def put(self, notes: Sequence[Note]) -> None:
        """See Place."""
        for name, text in _missing(self._root, notes):
            try:
                write_durably(self._root / name, text)
            except OSError as error:
                raise Unavailable(f"cannot write to {self.name}: {error.strerror}") from error


class GitOfCheckpoints:
    """A folder of a git repository, one commit per delivery."""

    def __init__(self, settings: GitPlace) -> None:
        self.name = f"git {settings.git}"
        self._folder = settings.git / settings.path
        self._settings = settings
        self._repository = GitRepository(settings.git)
        self._is_settled = False
        """Whether all that the folder holds is committed, and pushed where that is wanted."""

    def newest(self) -> int:
        """See Place."""
        return CheckpointFolder(self._folder).newest_size()

    def put(self, notes: Sequence[Note]) -> None:
        """See Place. What an earlier process may have left uncommitted is committed too."""
        missing = _missing(self._folder, notes)
        wanted = missing if self._is_settled else notes
        if not wanted:
            return
        self._is_settled = False
        files = {f"{self._settings.path}/{name}": text for name, text in wanted}
        message = f"Checkpoint over {int(Path(wanted[-1][0]).stem)} events"
        self._repository.commit(files, message, push=self._settings.push)
        self._is_settled = True


def make_place(settings: FolderPlace | GitPlace | ConfigMapPlace) -> Place:
    """The place that the settings describe."""
    match settings:
        case ConfigMapPlace():
            return ConfigMapOfCheckpoints(settings)
        case FolderPlace():
            return FolderOfCheckpoints(settings.folder)
        case GitPlace():
            return GitOfCheckpoints(settings)


def kept_notes(where: str) -> list[Note]:
    """The checkpoints in a folder, or in ``configmap:namespace/name``. Raises Invalid when there is
    no such place."""
    if where.startswith(_CONFIG_MAP):
        try:
            settings = ConfigMapPlace(config_map=where.removeprefix(_CONFIG_MAP))
        except ValidationError as error:
            raise Invalid(f"expected configmap:NAMESPACE/NAME, got {where!r}") from error
        return sorted(ConfigMapOfCheckpoints(settings).notes().items())
    if not Path(where).is_dir():
        raise Invalid(f"there is no folder {where} with checkpoints")
    return CheckpointFolder(Path(where)).notes()


def bring(place: Place, home: Checkpoints) -> None:
    """Put what the place lacks; its newest is compared with the home's of the same size.

    Raises what ``put`` raises, and Refused when the place knows of more events than the home.
    """
    there, here = place.newest(), home.newest_size()
    if there > here:
        raise Refused(
            f"{place.name} has a checkpoint over {there} events, this home only over {here}: its"
            " journal was cut off, or the place belongs to another home"
        )
    place.put(home.after(max(0, there - 1)))


def _missing(folder: Path, notes: Sequence[Note]) -> list[Note]:
    """Those that the folder has not. Raises Refused where it has another one of that name."""
    found = []
    for name, text in notes:
        try:
            held = (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            found.append((name, text))
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"cannot read {folder / name}: {error}") from error
        if held != text:
            raise Refused(
                f"{folder / name} is another checkpoint of the same size: one of both was not"
                " signed over this journal; `mendloop audit verify --checkpoints` with that folder"
                " tells which events"
            )
    return found
