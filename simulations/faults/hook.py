"""Where a simulation or a test may make a port fail: before an effect, and after it.

A fault gets the name of the call and the moment, such as ``traffic.patch:before``, and returns or
raises. An error before the effect changes nothing; one after it is a lost answer or the death of
the caller. What it raises is the caller's to choose: Unavailable, Conflict, Uncertain, or an
exception of the test's own for a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Fault = Callable[[str], None]


def no_fault(call: str) -> None:
    """Nothing ever fails."""


@contextmanager
def exposed(fault: Fault, call: str) -> Iterator[None]:
    """The effect of ``call`` happens inside; an effect that itself fails has no ``after``."""
    fault(f"{call}:before")
    yield
    fault(f"{call}:after")
