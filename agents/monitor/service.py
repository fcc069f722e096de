"""Does the champion answer its users: errors and slow answers against what the document allows.

A minute's requests are one bet, however many they are: what breaks requests breaks them together,
so a burst of a few seconds is one observation and not a thousand. The counting lives with the
controller and not in the target's memory, which is written down each time it changes; a new
controller counts anew and finds a lasting fault within minutes again.
"""

from __future__ import annotations

import math

from agents.facts import SERVICE, UNKNOWN, Scalar
from agents.memory import TargetMemory
from agents.ports import Desk
from agents.served import Served
from tools.managed_model import ManagedModel
from tools.metrics import NoReading, Reading, VersionCounters
from tools.statistics.betting import RestartedBets
from tools.statistics.verdict import Judgement, Verdict
from tools.values import Value
from tools.workloads import ServerPhase

INTERVAL_S = 60.0
"""Requests of this long are counted before they are one bet."""
RECOVERED = 5
"""Good intervals in a row after which a fault that was proved counts as over."""
DOWN = 0.5
"""Share of failed requests from which starting anew costs users less than going on."""
REASSURING = 3
"""Good intervals in a row that count as healthy."""


BROKEN = ("failing", "down", "slow")
"""Values of the fact that break the goal."""


class Pulse(Value):
    """What is known of one version's answers since it became champion or was restarted."""

    of: str = ""
    """Version and last restart that it is about."""
    reading: Reading | None = None
    """Counters at the start of the present interval."""
    errors: RestartedBets = RestartedBets()
    slow: RestartedBets = RestartedBets()
    intervals: int = 0
    good_in_a_row: int = 0
    error_rate: float = 0.0
    """Of the last interval."""
    seen: str = ""
    """The last interval, for people."""

    def judge(self, model: ManagedModel) -> tuple[Judgement, Judgement]:
        """Errors and slow answers; each alarm errs with at most alpha over the version's life."""
        serving, alpha = model.spec.serving, model.spec.evidence.alpha
        return (
            self._judge("errors", self.errors, serving.max_error_rate, alpha),
            self._judge("slow answers", self.slow, serving.max_slow_rate, alpha),
        )

    def _judge(self, what: str, bets: RestartedBets, limit: float, alpha: float) -> Judgement:
        figures = {"log_e": round(bets.log_e, 4), "limit": limit}
        if bets.log_e >= -math.log(alpha):
            reason = f"{what} above {limit:.2%} of the requests are proved; lately {self.seen}"
            return Judgement(verdict=Verdict.HARMFUL, reason=reason, figures=figures)
        if self.good_in_a_row >= REASSURING:
            reason = f"{what} within {limit:.2%} of the requests; lately {self.seen}"
            return Judgement(verdict=Verdict.HEALTHY, reason=reason, figures=figures)
        reason = f"{what}: {self.intervals} minutes counted prove nothing"
        return Judgement(verdict=Verdict.UNKNOWN, reason=reason, figures=figures)


def feel(
    desk: Desk,
    model: ManagedModel,
    memory: TargetMemory,
    served: Served,
    pulse: Pulse,
    reading: Reading | NoReading | None = None,
) -> Pulse:
    """Count what the champion answered since the last look; no reading changes nothing.

    ``reading`` is the one just taken, None: take it.
    """
    champion = served.champion
    if champion is None:
        return Pulse()
    of = f"{champion.version} {memory.restarted.key if memory.restarted else ''}"
    if pulse.of != of:
        pulse = Pulse(of=of)
    reading = reading or desk.metrics.read(model.target)
    if isinstance(reading, NoReading):
        return pulse
    before = pulse.reading
    if before is None or before.epoch != reading.epoch:
        return pulse.model_copy(update={"reading": reading})
    if reading.at_s - before.at_s < INTERVAL_S:
        return pulse
    grown = answered_between(before, reading, champion.version)
    if grown is None:
        return pulse.model_copy(update={"reading": reading})
    return _bet(model, pulse, grown, reading)


def answered_between(before: Reading, now: Reading, version: str) -> VersionCounters | None:
    """What the version answered from one reading to the next; None where it got no request or its
    counters started anew."""
    first = next((c for c in before.versions if c.version == version), None)
    last = next((c for c in now.versions if c.version == version), None)
    if last is None or before.epoch != now.epoch:
        return None
    if first is None:
        first = VersionCounters(version=version, requests=0, errors=0, slow=0)
    requests, errors, slow = (
        getattr(last, name) - getattr(first, name) for name in ("requests", "errors", "slow")
    )
    if requests <= 0 or min(errors, slow) < 0 or errors + slow > requests:
        return None
    return VersionCounters(version=version, requests=requests, errors=errors, slow=slow)


def service_facts(model: ManagedModel, pulse: Pulse) -> dict[str, Scalar]:
    """The fact that follows."""
    errors, slow = pulse.judge(model)
    if errors.verdict is Verdict.HARMFUL:
        return {SERVICE: "down" if pulse.error_rate >= DOWN else "failing"}
    if slow.verdict is Verdict.HARMFUL:
        return {SERVICE: "slow"}
    return {SERVICE: "answers" if pulse.intervals else UNKNOWN}


def server_facts(served: Served, known: Scalar) -> dict[str, Scalar]:
    """What the champion's server says itself, beside what is known by the counters: nothing may be
    routed back to a server that is not there."""
    champion = served.champion
    if champion is None:
        return {}
    server = served.servers.get(champion.version)
    phase = server.phase if server is not None else ServerPhase.ABSENT
    if phase is ServerPhase.READY:
        return {SERVICE: UNKNOWN} if known == "starting" else {}
    is_down = phase is not ServerPhase.STARTING or known == "down"
    return {SERVICE: "down" if is_down else "starting"}


def is_within_limits(model: ManagedModel, grown: VersionCounters) -> bool:
    """Whether these answers are as good as the document asks."""
    serving = model.spec.serving
    return (
        grown.errors <= serving.max_error_rate * grown.requests
        and grown.slow <= serving.max_slow_rate * grown.requests
    )


def _bet(model: ManagedModel, pulse: Pulse, grown: VersionCounters, now: Reading) -> Pulse:
    serving = model.spec.serving
    good = pulse.good_in_a_row + 1 if is_within_limits(model, grown) else 0
    if good >= RECOVERED and service_facts(model, pulse)[SERVICE] in BROKEN:
        return Pulse(of=pulse.of, reading=now)
    return pulse.model_copy(
        update={
            "reading": now,
            "errors": _against(pulse.errors, grown.errors, grown.requests, serving.max_error_rate),
            "slow": _against(pulse.slow, grown.slow, grown.requests, serving.max_slow_rate),
            "intervals": pulse.intervals + 1,
            "good_in_a_row": good,
            "error_rate": grown.errors / grown.requests,
            "seen": f"{grown.errors:,} errors and {grown.slow:,} slow of {grown.requests:,}",
        }
    )


def _against(bets: RestartedBets, bad: int, requests: int, limit: float) -> RestartedBets:
    return bets.update(bad / requests - limit, worst=-limit)
