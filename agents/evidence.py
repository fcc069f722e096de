"""What is known about a target when somebody asks why: typed findings, each of which may be absent.

None and UNKNOWN both mean that nobody could tell; they speak neither for nor against any cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value

RECENT_RELEASE_HOURS = 48.0
"""A version this young is a suspect by its age alone; older ones have survived two daily cycles."""


class Finding(StrEnum):
    """The questions that diagnosis asks; each is answered healthy, harmful or unknown."""

    DATA = "data"
    INPUTS = "inputs"
    LABELS = "labels"
    PREDICTIONS = "predictions"
    DEGRADED = "degraded"
    EXCESS = "excess"
    DISAGREEMENT = "disagreement"
    SKEW = "skew"
    LATENCY = "latency"
    ERRORS = "errors"
    SATURATION = "saturation"
    RECENT_RELEASE = "recent_release"
    NEWEST_WORSE = "newest_worse"
    PLATFORM = "platform"
    PEERS = "peers"


class DataFault(Value):
    """A feed or column that may not be believed."""

    source: str
    """Name of the feed or column."""
    kind: str
    """``tools.validation.FaultKind``."""
    reason: str
    since: datetime | None = None


class Release(Value):
    """The newest version that takes traffic, and the version before it."""

    newest: str
    age_hours: float
    worse: Judgement | None = None
    """HARMFUL when the newest was proved worse than the one before over the same traffic."""


class Reachability(Value):
    """Whether a part of the platform answers."""

    component: str
    verdict: Verdict
    reason: str


class Peer(Value):
    """Another target's findings over the same event time."""

    target: str
    faulty_sources: tuple[str, ...] = ()
    """Feeds or columns of it that may not be believed."""
    shifted: tuple[str, ...] = ()
    """Its input columns that shifted beyond tolerance."""
    reads: tuple[str, ...] | None = None
    """Every column and feed that it has: whoever does not read a source is no witness of it."""
    is_known: bool = True
    """False when it was not observed."""

    def may_witness(self, sources: set[str]) -> bool:
        """Whether trouble in one of the sources would show here; without trouble, everybody may
        say that all is well."""
        return not sources or self.reads is None or bool(sources & set(self.reads))


class Evidence(Value):
    """Everything known about one target at one time."""

    target: str = ""
    data: tuple[DataFault, ...] | None = None
    """None: not validated. Empty: validated and trusted."""
    inputs: Judgement | None = None
    """HARMFUL: an input (or their joint distribution) shifted beyond tolerance."""
    shifted: tuple[str, ...] = ()
    """Names of the inputs that shifted."""
    labels: Judgement | None = None
    """The rate of positive labels against the reference."""
    predictions: Judgement | None = None
    """The distribution of scores against the reference."""
    degraded: Judgement | None = None
    """Loss above reference and tolerance, on matured labels."""
    excess: Judgement | None = None
    """Loss above what the model's own probabilities expect: wrong, not merely a harder season."""
    disagreement: Judgement | None = None
    """The label-free estimate of quality contradicts the labels."""
    skew: Judgement | None = None
    """Serving computes other features, or other scores, than training does from the same row."""
    latency: Judgement | None = None
    errors: Judgement | None = None
    saturation: Judgement | None = None
    """Load near what the servers can take."""
    release: Release | None = None
    platform: tuple[Reachability, ...] = ()
    peers: tuple[Peer, ...] = ()

    def judgements(self) -> dict[Finding, Judgement]:
        """The answers that are known, by question; UNKNOWN ones are left out."""
        answers = {
            Finding.DATA: self._data(),
            Finding.INPUTS: self.inputs,
            Finding.LABELS: self.labels,
            Finding.PREDICTIONS: self.predictions,
            Finding.DEGRADED: self.degraded,
            Finding.EXCESS: self.excess,
            Finding.DISAGREEMENT: self.disagreement,
            Finding.SKEW: self.skew,
            Finding.LATENCY: self.latency,
            Finding.ERRORS: self.errors,
            Finding.SATURATION: self.saturation,
            Finding.RECENT_RELEASE: self._recent_release(),
            Finding.NEWEST_WORSE: self.release.worse if self.release else None,
            Finding.PLATFORM: self._platform(),
            Finding.PEERS: self._peers(),
        }
        known = {
            finding: judgement
            for finding, judgement in answers.items()
            if judgement is not None and judgement.verdict is not Verdict.UNKNOWN
        }
        if Finding.EXCESS in known:
            # Both are read off the same rows: one observation must not count twice.
            known.pop(Finding.DISAGREEMENT, None)
        return known

    def _data(self) -> Judgement | None:
        if self.data is None:
            return None
        if not self.data:
            return _healthy("the data passed validation")
        return _harmful("; ".join(fault.reason for fault in self.data))

    def _recent_release(self) -> Judgement | None:
        if self.release is None:
            return None
        says = f"version {self.release.newest} is {self.release.age_hours:.1f} h old"
        if self.release.age_hours > RECENT_RELEASE_HOURS and _is_harmful(self.release.worse):
            return None  # its age acquits nobody who was proved worse than the version before
        if self.release.age_hours <= RECENT_RELEASE_HOURS:
            return _harmful(f"{says}, under {RECENT_RELEASE_HOURS:g} h")
        return _healthy(says)

    def _platform(self) -> Judgement | None:
        broken = [part for part in self.platform if part.verdict is Verdict.HARMFUL]
        if broken:
            return _harmful("; ".join(f"{part.component}: {part.reason}" for part in broken))
        if any(part.verdict is Verdict.HEALTHY for part in self.platform):
            return _healthy("every part of the platform that was asked answers")
        return None

    def _peers(self) -> Judgement | None:
        """HARMFUL when others suffer the same as this target; their own troubles do not count."""
        own = {fault.source for fault in self.data or ()} | set(self.shifted)
        known = [p for p in self.peers if p.is_known and p.may_witness(own)]
        if not known:
            return None
        alike = [p for p in known if own & {*p.faulty_sources, *p.shifted}]
        if alike and 2 * len(alike) >= len(known):
            return _harmful(_says_alike(alike, own, len(known)))
        return _healthy(f"none of {len(known)} other targets shares the trouble")


def _says_alike(alike: Sequence[Peer], own: set[str], known: int) -> str:
    shared = sorted(own & {name for p in alike for name in (*p.faulty_sources, *p.shifted)})
    targets = ", ".join(sorted(p.target for p in alike))
    return f"{len(alike)} of {known} other targets ({targets}) show the same in {', '.join(shared)}"


def _is_harmful(judgement: Judgement | None) -> bool:
    return judgement is not None and judgement.verdict is Verdict.HARMFUL


def _healthy(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.HEALTHY, reason=reason)


def _harmful(reason: str) -> Judgement:
    return Judgement(verdict=Verdict.HARMFUL, reason=reason)
