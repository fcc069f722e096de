"""Fencing tokens on a registered model: tags that only grow.

MLflow offers no compare-and-set, so a token is a tag of its own, named
``mendloop.owner.<target>.<token>``, and never the new value of an old one: a late claim of a
superseded owner adds its lower token and takes nothing away. The highest one counts; whoever holds
it clears up those below.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tools.errors import Refused, Uncertain
from tools.registry import Fence

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_TAG = "mendloop.owner."


def claim(client: MlflowClient, model: str, fence: Fence, tags: Mapping[str, str]) -> None:
    """Show the token on a model with these ``tags``. Raises Refused for a superseded one."""
    shown = _tokens(fence.target, tags)
    check(model, fence, tags)
    if fence.token not in shown.values():
        client.set_registered_model_tag(model, f"{_name(fence.target)}{fence.token}", "1")
    for name, token in shown.items():
        if token < fence.token:
            client.delete_registered_model_tag(model, name)


def check(model: str, fence: Fence, tags: Mapping[str, str]) -> None:
    """Raise Refused when a newer owner has shown its token."""
    newest = max(_tokens(fence.target, tags).values(), default=0)
    if newest > fence.token:
        raise Refused(
            f"the aliases of {model} belong to the owner of {fence.target} with fencing token "
            f"{newest}; a write with token {fence.token} came too late. Take the lease anew"
        )


def confirm(model: str, fence: Fence, tags: Mapping[str, str], what: str) -> None:
    """After a write: raise Uncertain when a newer owner appeared meanwhile."""
    try:
        check(model, fence, tags)
    except Refused as error:
        raise Uncertain(f"{what} may have come after a newer owner looked: {error}") from error


def _tokens(target: str, tags: Mapping[str, str]) -> dict[str, int]:
    """Tag name to token, of one target."""
    start = _name(target)
    ends = {name: name.removeprefix(start) for name in tags if name.startswith(start)}
    return {name: int(end) for name, end in ends.items() if re.fullmatch(r"[1-9]\d*", end)}


def _name(target: str) -> str:
    return f"{_TAG}{target.replace('/', '.')}."
