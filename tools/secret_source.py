"""Where a secret is read from: an environment variable or a file, never the document itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from pydantic import model_validator

from tools.errors import Invalid
from tools.schema import DocumentValue


class SecretFrom(DocumentValue):
    """Where a secret is read from; it is never written anywhere."""

    env: str = ""
    """Name of an environment variable."""
    file: str = ""
    """Path; white space around the content does not count."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.env) == bool(self.file):
            raise ValueError("expected exactly one of env and file")
        return self

    def read(self, what: str) -> str:
        """The secret. Raises Invalid when it is not there."""
        if self.env:
            found = os.environ.get(self.env, "")
            if not found:
                raise Invalid(f"{what}: the environment variable {self.env} is not set")
            return found
        try:
            found = Path(self.file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid(f"{what}: cannot read {self.file}: {error}") from error
        if not found:
            raise Invalid(f"{what}: {self.file} is empty")
        return found
