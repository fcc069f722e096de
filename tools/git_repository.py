"""Commits small text files to a git repository through its own command line.

Nothing of the repository's is touched but the named files: what somebody else has staged stays
staged. Signing, remotes and credentials are the repository's own configuration.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.durable_files import write_durably
from tools.errors import Invalid, Unavailable

TIMEOUT_S = 30.0
"""A push that takes longer is tried again later."""

# Committing must work where nobody has set a name; a repository that has one keeps it.
_IDENTITY = {
    "GIT_AUTHOR_NAME": "mendloop",
    "GIT_AUTHOR_EMAIL": "mendloop@localhost",
    "GIT_COMMITTER_NAME": "mendloop",
    "GIT_COMMITTER_EMAIL": "mendloop@localhost",
}


class GitRepository:
    """A working copy that somebody has cloned or made for the purpose."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def commit(self, files: Mapping[str, str], message: str, *, push: bool) -> None:
        """Write the files (by path in the repository), commit them, and push when told to.

        Committing what is there already is no error. Raises Invalid for a folder that is no working
        copy, Unavailable for anything that may pass.
        """
        if not (self.root / ".git").exists():
            raise Invalid(f"{self.root} is no git working copy; `git init` or clone one there")
        for name, text in files.items():
            try:
                write_durably(self.root / name, text)
            except OSError as error:
                raise Unavailable(f"cannot write {self.root / name}: {error.strerror}") from error
        names = sorted(files)
        self._run("add", "--", *names)
        if self._run("status", "--porcelain", "--", *names):
            self._run("commit", "--quiet", "--message", message, "--only", "--", *names)
        if push:
            self._run("push", "--quiet")

    def _run(self, *arguments: str) -> str:
        command: Sequence[str] = ("git", "-C", str(self.root), *arguments)
        environment = {**_IDENTITY, **os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except FileNotFoundError as error:
            raise Unavailable("there is no git on the PATH; install it") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"git {arguments[0]} took longer than {TIMEOUT_S:g} s") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise Unavailable(
                f"git {arguments[0]} in {self.root}: {said[-1] if said else 'failed'}"
            )
        return done.stdout
