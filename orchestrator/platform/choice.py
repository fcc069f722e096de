"""One of several ways to fill a port, and addresses that hold no secret: shared by the sections."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator
from pydantic.alias_generators import to_camel

from tools.schema import DocumentValue


class OneOf(DocumentValue):
    """A section whose fields are rivals: exactly one is given.

    Nothing is chosen for those who choose nothing: a cluster whose section was forgotten must not
    end up on one machine's files.
    """

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        fields = type(self).model_fields
        given = [name for name in fields if getattr(self, name) is not None]
        if len(given) != 1:
            known = ", ".join(to_camel(name) for name in fields)
            raise ValueError(f"expected exactly one of {known}")
        return self

    @property
    def chosen(self) -> str:
        """The name of the field that is given."""
        return next(n for n in type(self).model_fields if getattr(self, n) is not None)


def _without_secret(url: str) -> str:
    parts = urlsplit(url)
    if parts.password:
        raise ValueError("expected a URL without a password; name where it is read from instead")
    if parts.query and any(word in parts.query.lower() for word in ("password", "token", "secret")):
        raise ValueError("expected a URL without secrets in its query")
    return url


def _http(url: str) -> str:
    parts = urlsplit(_without_secret(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected a URL that begins with https:// or http://, got {url!r}")
    return url.rstrip("/")


PlainUrl = Annotated[str, AfterValidator(_without_secret)]
"""A URL that may stand in a document that many may read."""
HttpUrl = Annotated[str, AfterValidator(_http)]
"""The same, of an HTTP server; without a slash at its end."""
