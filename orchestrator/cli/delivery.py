"""Options that the commands of a delivery pipeline share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from tools.errors import Invalid

_Command = TypeVar("_Command", bound=Callable[..., Any])


def config_option(command: _Command) -> _Command:
    """``--config``: the Platform document of the installation that is meant."""
    return click.option(
        "--config",
        required=True,
        type=click.Path(path_type=Path),
        help="Platform document: where the pipelines and the registry are.",
    )(command)


def duration(text: str, option: str) -> timedelta:
    """``30m``, ``6h`` and the like, as in the documents."""
    from pydantic import TypeAdapter, ValidationError

    from tools.managed_model import Duration

    try:
        found: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise Invalid(
            f"expected a duration such as 30m or 6h, got {text!r}", field=option
        ) from error
    return found
