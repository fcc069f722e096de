"""What may the caller do? The one error tree that leaves this floor.

MendloopError
├── Unavailable    try again later (``retry_after_s``); nothing was changed
│   └── Conflict   somebody wrote first: read again, decide again, try again
├── Refused        a human is needed: mendloop will not do this by itself
├── Uncertain      it may have happened: verify before anything else
└── Invalid        the input is wrong (``field`` names where)

Vendor errors are translated at the edge with ``raise ... from``. A message says what failed, on
what, and what to do.
"""

from __future__ import annotations


class MendloopError(Exception):
    """Root of everything that mendloop raises on purpose."""


class Unavailable(MendloopError):
    """A dependency does not answer; nothing was changed, the same call may be made again."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Conflict(Unavailable):
    """The object changed since it was read: read again, decide again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retry_after_s=0.0)


class Refused(MendloopError):
    """mendloop will not do this by itself: a promise or a rule forbids it, a human is needed."""


class Uncertain(MendloopError):
    """The call may or may not have taken effect: look at the world before acting again."""


class Invalid(MendloopError):
    """The input is wrong; ``field`` is the path to it, the message says what was expected."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
