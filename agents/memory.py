"""What mendloop remembers of a target between two looks, beyond what the world itself shows.

The journal keeps it (an event each time it changes, in the same transaction as the evidence that
changed it), so a new controller goes on counting where the last one stopped. Everything that can
be read from the world (weights, aliases, servers, runs) is not here: the world is asked.
Event times are ISO 8601 text, naive as in the prediction log.
"""

from __future__ import annotations

from typing import Literal

from agents.facts import UNKNOWN
from tools.alerts import Alert
from tools.metrics import Reading
from tools.registry import ModelVersion
from tools.statistics.betting import RestartedBets
from tools.statistics.canary import CanaryEvidence
from tools.statistics.cohort import CohortProcess
from tools.statistics.performance import LabelFreeEstimate, PerformanceProcess
from tools.statistics.verdict import Judgement
from tools.triggers import Dealt
from tools.values import Value


class Span(Value):
    """Event time in which a feed was not to be believed; ``end`` is empty while it lasts."""

    feed: str
    """Name of the feed; empty for the rows themselves, ``log`` or ``labels`` for those."""
    about: Literal["inputs", "log", "labels"] = "inputs"
    """``log``: what is logged of the rows is no longer what was served. They are no training data;
    what was served, and what labels say of it, stands."""
    start: str
    end: str = ""
    reasons: tuple[str, ...] = ()
    quarantined: bool = False
    """Set aside by a recorded act: no training data and no quality evidence come from it."""

    def covers(self, start: str, end: str) -> bool:
        """Whether it overlaps start <= t < end."""
        return self.start < end and (not self.end or start < self.end)


class CanaryWatch(Value):
    """The evidence about one challenger, over all its steps."""

    version: str
    percent: int
    """Step being watched; 0 before the first."""
    stable: ModelVersion
    challenger: ModelVersion
    """Both as the registry knew them when the canary began: judging and undoing go on with them
    while the registry does not answer."""
    proved_percent: int = 0
    outcome: str = "watching"
    """``watching``, ``harmful`` or ``undecided`` (deadline without a decision)."""
    evidence: CanaryEvidence
    baseline: Reading | None = None
    """Counters at the start of the stretch that is being counted."""
    attempt: int = 1
    """How many canaries this version has had; the error budget is spent across them."""
    quality: CohortProcess | None = None
    """Both versions on the same matured rows; None before the first window of them."""
    quality_until: str = ""
    """Event time up to which labels were counted for it."""
    scores: Judgement | None = None
    """What the predictions came to when the step was last judged, where they were asked."""


class ShadowWatch(Value):
    """The evidence about a challenger that answers copies of requests and no user."""

    version: str
    stable: ModelVersion
    challenger: ModelVersion
    """Both as the registry knew them when the copies began."""
    percent: float
    """Of the requests that are copied."""
    outcome: str = "watching"
    """``watching``, ``passed``, ``harmful`` or ``undecided``."""
    evidence: CanaryEvidence = CanaryEvidence()
    baseline: Reading | None = None
    """Counters at the start of the stretch that is being counted."""
    load: RestartedBets = RestartedBets()
    """On the champion's own slow answers while copies are made."""
    load_baseline: Reading | None = None


class Probation(Value):
    """A promotion that late labels may still undo."""

    version: str
    former: str
    promoted_at: str
    """Event time."""
    judged_until: str
    cohort: CohortProcess
    outcome: str = "watching"
    """``watching``, ``passed`` or ``harmful``."""


class Restarted(Value):
    """The champion's server was started anew, to find out whether that helps."""

    version: str
    key: str
    event_time: str
    baseline: Reading | None = None
    """Counters once it was ready again."""


class Pinned(Value):
    """Training data fixed by digest for one incident."""

    incident: str
    scope: str
    """``full`` or ``recent``."""
    uri: str
    digest: str
    changed_at: str = ""
    """Event time since which the champion has been wrong, where labels tell."""


class Compared(Value):
    """What the rows of a span of windows came to beside the champion's reference profile."""

    span: int
    """Windows."""
    start: str
    end: str
    rows: int
    season: str = ""
    """The part of the reference that they were compared with; empty: all of it."""
    inputs: Judgement
    shifted: tuple[str, ...] = ()
    """Input columns that shifted beyond the tolerance, furthest first."""
    predictions: Judgement | None = None
    """The distribution of the scores."""
    estimate: LabelFreeEstimate | None = None
    """What the loss of these rows will probably be: from the model's own probabilities, corrected
    by what labels showed lately. An estimate; it decides nothing."""


class Recomputed(Value):
    """What the champion's registered artifact says of rows that its server answered."""

    version: str
    until: str
    """Event time up to which windows were sampled."""
    serving: Judgement | None = None
    """HARMFUL: the server answers something else; None before enough rows."""
    costs: float = 0.0
    """Mean log loss that the sampled rows lose by it, if the artifact is right."""
    records: Judgement | None = None
    """HARMFUL: rows were changed in the log after they had been answered."""


class LabelWatch(Value):
    """Whether the labels of one champion's rows may be believed."""

    version: str
    until: str
    """Event time up to which windows were looked at."""
    since: str = ""
    """When labels began to differ from what the model said; empty: they do not."""
    looks: int = 0
    """How often a fault of the labels was asked for since then."""
    kind: str = ""
    """The fault that was found, and where."""
    where: str = ""


class DriftWatch(Value):
    """How the rows of one champion compare with its reference; never a reason to act by itself."""

    version: str
    compared_until: str = ""
    """Event time; empty before the first window."""
    seen: int = 0
    """Trusted windows so far."""
    newest: tuple[Compared, ...] = ()
    """The newest comparison of each span, short ones first."""


class Baseline(Value):
    """What mendloop left the target like: whatever differs from it, somebody else changed."""

    champion: str
    """Version; empty: the alias is not set."""
    former: str
    masked: dict[str, tuple[str, ...]]
    """Version to masked columns, of the servers that were ready."""


class TargetMemory(Value):
    """See the module; one per target."""

    validated_until: str = ""
    """End of the newest window whose data was checked."""
    trusted_window: tuple[str, str] | None = None
    """The newest window that was found trustworthy: what the next one is compared to."""
    spans: tuple[Span, ...] = ()
    judged_until: str = ""
    """End of the newest matured window whose labels were counted."""
    performance_version: str = ""
    performance: PerformanceProcess | None = None
    slices: dict[str, PerformanceProcess] = {}
    """The same for the rows of one category each, ``column=value``, under half of the alpha."""
    drift: DriftWatch | None = None
    recomputed: Recomputed | None = None
    labels: LabelWatch | None = None
    shadow: ShadowWatch | None = None
    canary: CanaryWatch | None = None
    probation: Probation | None = None
    skew: str = UNKNOWN
    """Whether the challenger's serving computes what its artifact does: none, found, unknown."""
    refused: tuple[str, ...] = ()
    """Versions that were tried and sent back: never tried again without a new version."""
    retrains: tuple[str, ...] = ()
    """Event times at which retraining began."""
    pinned: Pinned | None = None
    """Training data of the incident under way."""
    changed_at: str = ""
    """Event time of the last change that labels showed in the world; the next training may still
    have to learn from there."""
    restarted: Restarted | None = None
    """The last restart; another one has to wait for the cool-down."""
    failing_version: str = ""
    """The champion that a revived former is to take over from."""
    baseline: Baseline | None = None
    """None: taken at the next look, as after each of mendloop's own acts."""
    refresh: Dealt | None = None
    """What was done about the document's triggers; None before they were first looked at."""
    alerts: tuple[Alert, ...] = ()
    """Those that fired at the last look, as they were written down."""

    @property
    def open_spans(self) -> tuple[Span, ...]:
        """Faults that last, of what comes in."""
        return tuple(span for span in self.spans if not span.end and span.about != "log")

    def is_distrusted(self, start: str, end: str) -> bool:
        """Whether any fault overlaps the event time start <= t < end, as evidence of quality."""
        return any(span.covers(start, end) for span in self.spans if span.about != "log")
