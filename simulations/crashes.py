"""Kills a controller at one point of its work: before or after any single call that it makes.

A point is a call by its name and how often that call was made before it, so it means the same in
every run of the same seed. From the kill on the dead controller reaches nothing any more, whatever
its ``finally`` clauses try.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

WRITES = (
    "journal.append",
    "checkpoint.put",
    "checkpoint.put_writes",
    "checkpoint.delete_thread",
    "traffic.patch",
    "workloads.start",
    "workloads.configure",
    "workloads.stop",
    "registry.set_alias",
    "registry.delete_alias",
    "pipelines.submit",
)
"""Calls that leave something behind. Whoever dies between two of them dies in the same state."""


class Killed(BaseException):
    """The controller's process is gone."""


@dataclass(frozen=True)
class Point:
    """One moment of a run, such as ``traffic.patch:after#2``."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}#{self.number}"

    @classmethod
    def parse(cls, text: str) -> Point:
        """The point of this name."""
        call, _, number = text.rpartition("#")
        return cls(call=call, number=int(number))

    @property
    def is_write(self) -> bool:
        """Whether it stands directly before or after something lasting."""
        return self.call.rpartition(":")[0] in WRITES


@dataclass
class Trigger:
    """A fault that counts the calls, and kills at one of them."""

    point: Point | None = None
    counts: Counter[str] = field(default_factory=Counter)
    is_dead: bool = False

    def __call__(self, call: str) -> None:
        if self.is_dead:
            raise Killed(f"dead since {self.point}")
        self.counts[call] += 1
        if self.point == Point(call, self.counts[call]):
            self.is_dead = True
            raise Killed(str(self.point))

    def points(self) -> list[Point]:
        """Every point of the run that was counted: around writes, and before reads."""
        found = [
            Point(call, number)
            for call, most in sorted(self.counts.items())
            for number in range(1, most + 1)
        ]
        return [p for p in found if p.is_write or p.call.endswith(":before")]
