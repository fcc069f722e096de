"""Looks until something is decided, with patience for services that do not answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from tools.errors import Unavailable

_Seen = TypeVar("_Seen")


def until(
    look: Callable[[], _Seen],
    is_decided: Callable[[_Seen], bool],
    *,
    limit: timedelta,
    every_s: float = 5.0,
    monotonic_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    tell: Callable[[str], None] = lambda _: None,
) -> _Seen | None:
    """The first look that decides; None when ``limit`` passes before.

    A service that does not answer is asked again: it says nothing about what is waited for.
    """
    deadline = monotonic_s() + limit.total_seconds()
    while True:
        try:
            seen = look()
        except Unavailable as error:
            tell(f"asking again: {error}")
        else:
            if is_decided(seen):
                return seen
        left = deadline - monotonic_s()
        if left <= 0:
            return None
        sleep(min(every_s, left))
