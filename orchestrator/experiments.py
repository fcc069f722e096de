"""An A/B test that a person asks for: callers divided over two versions for good, and compared.

While it runs the target is the person's: mendloop's incidents there end, it looks on and changes
nothing, and what the test wrote is no stranger's edit, because nobody has to guess whose it is. The
way back is one write that takes everybody along.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from agents.memory import CanaryWatch, TargetMemory
from agents.monitor.canary_quality import count_quality, judge_quality
from agents.ports import Desk
from agents.served import Served, look
from orchestrator.change_calendar import ChangeCalendar, calendar_at
from orchestrator.in_flight import TakenOver, in_flight, taken_over
from orchestrator.journal import kinds
from orchestrator.journal.interventions import TargetHandedBack, TargetTakenOver
from orchestrator.journal.journal import Journal
from orchestrator.recorder import Recorder
from orchestrator.waiting import until
from tools.arm_routes import AbTest
from tools.errors import Refused, Unavailable
from tools.managed_model import ManagedModel
from tools.registry import ModelVersion
from tools.routing import Router, TrafficSplit
from tools.statistics.canary import CanaryEvidence
from tools.statistics.verdict import Judgement
from tools.traffic import RouteDocument
from tools.values import Value
from tools.workloads import ServerPhase, ServerRequest

REASON = "A/B experiment"
"""How the reason begins for which a target is in a person's hands."""
_OURS = "experiment-"


class Compared(Value):
    """How an experiment stands."""

    target: str
    is_running: bool
    shares: dict[str, int] = {}
    """Version to percent of new callers."""
    by: str = ""
    since: str = ""
    reason: str = ""
    judgement: Judgement | None = None
    """The version against the champion on the same matured rows; None while none runs."""


class Experiments:
    """Those of one model. ``sleep`` waits between looks at servers and proxies."""

    def __init__(
        self,
        desk: Desk,
        model: ManagedModel,
        journal: Journal,
        *,
        calendars: Sequence[ChangeCalendar] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``calendars``: a freeze of theirs lets none begin; it lets every one end."""
        self._calendars = tuple(calendars)
        self._desk, self._model, self._journal, self._sleep = desk, model, journal, sleep
        self._router = Router(desk.traffic)
        serving = model.spec.serving
        self._place = (model.metadata.namespace, serving.route, serving.host)

    def start(self, version: str, percent: int, *, by: str, reason: str) -> AbTest:
        """Take the target in hand, serve the version, and divide new callers.

        Taken up after a failure by calling it again. Raises Refused for a version without its
        gates, while an incident is open, and where somebody has the target in hand already.
        """
        served = look(self._desk, self._model)
        champion = served.must_champion()
        made = self._desk.registry.get(self._model.spec.model, version)
        if made.version == champion.version:
            raise Refused(f"version {version} is the champion; name the other one")
        if not made.gates_passed:
            raise Refused(f"version {version} has not passed its gates; it takes no traffic")
        self._must_not_be_frozen()
        held = self._held()
        if held is None:
            self._must_be_at_rest(served, champion)
            told = f"{REASON}: version {version} for {percent} % of new callers; {reason}"
            taken = TargetTakenOver(by=by, reason=told)
            self._write(kinds.TARGET_TAKEN_OVER, by, taken)
            self._must_be_at_rest(look(self._desk, self._model), champion)
        self._serve(made, served.route.token)
        shares = {champion.version: 100 - percent, version: percent}
        test = AbTest(shares=shares)
        key = f"{_OURS}{version}-{percent}"
        self._follow(self._router.ab_test(*self._place, test, key=key, token=served.route.token))
        return test

    def compare(self) -> Compared:
        """Both arms on matured labels, whoever answered a row: the other one is recomputed."""
        target, served = self._model.target, look(self._desk, self._model)
        held = taken_over(self._journal, target)
        if not served.route.is_ab_test:
            return Compared(target=target, is_running=False)
        champion = served.must_champion()
        other = next(v for v in served.split.shares if v != champion.version)
        made = self._desk.registry.get(self._model.spec.model, other)
        watch = CanaryWatch(
            version=other,
            percent=served.percent(other),
            stable=champion,
            challenger=made,
            evidence=CanaryEvidence(),
        )
        watch = count_quality(
            self._desk,
            self._model,
            served.model_copy(update={"challenger": made}),
            self._remembered(),
            watch,
        )
        return Compared(
            target=target,
            is_running=True,
            shares=dict(served.split.shares),
            by=held.by if held else "",
            since=held.at if held else "",
            reason=held.reason if held else "",
            judgement=judge_quality(self._model, watch),
        )

    def stop(self, *, by: str, reason: str) -> bool:
        """Everybody back to the champion, then the target back to mendloop; whether one ran."""
        served = look(self._desk, self._model)
        champion, was_running = served.must_champion(), served.route.is_ab_test
        held = self._held()
        if held is None:
            if was_running:
                raise Refused(
                    f"{self._model.target} is mendloop's, which ends the test itself; look at"
                    " `mendloop incidents`"
                )
            return False
        back = TrafficSplit.all_to(champion.version)
        if was_running or served.split != back:
            key = f"{_OURS}end-{served.route.resource_version}"
            token = served.route.token
            self._follow(self._router.shift(*self._place, back, key=key, token=token))
        for server in served.servers.values():
            if server.key.startswith(_OURS) and server.version != champion.version:
                self._desk.workloads.stop(
                    self._model.target, server.version, key=f"{_OURS}end", token=served.route.token
                )
        told = f"{REASON} ended: {reason}"
        self._write(kinds.TARGET_HANDED_BACK, by, TargetHandedBack(by=by, reason=told))
        return was_running

    def _held(self) -> TakenOver | None:
        """The experiment that has the target; None: mendloop has it. Refused: somebody else."""
        held = taken_over(self._journal, self._model.target)
        if held is not None and not held.reason.startswith(REASON):
            raise Refused(
                f"{self._model.target} is in the hands of {held.by or 'somebody'} since {held.at}"
                f" ({held.reason or 'found out'}); `mendloop hand-back` first"
            )
        return held

    def _must_not_be_frozen(self) -> None:
        zone, now = self._model.spec.guardrails.time_zone, self._desk.clock.now()
        day = calendar_at(self._calendars, self._model.target, zone, now)
        if day.freezes:
            until = f"{day.frozen_until:%Y-%m-%d %H:%M} UTC"
            raise Refused(f"changes are frozen until {until}: {', '.join(day.freezes)}")

    def _must_be_at_rest(self, served: Served, champion: ModelVersion) -> None:
        target = self._model.target
        work = in_flight(self._journal, target=target)
        if work:
            raise Refused(f"{work[0].incident} on {target} is under way ({work[0].doing}); wait")
        if served.route.edited or served.split != TrafficSplit.all_to(champion.version):
            raise Refused(
                f"the route of {target} says {served.split}, expected everything to the champion,"
                f" version {champion.version}"
            )

    def _serve(self, made: ModelVersion, token: int) -> None:
        """A server of the version, ready with the registered artifact."""
        desk, target = self._desk, self._model.target
        if not look(desk, self._model).is_ready(made):
            request = ServerRequest(
                target=target,
                version=made.version,
                artifact=desk.registry.fetch(made.model, made.version, desk.artifacts),
                artifact_digest=made.artifact_digest,
            )
            desk.workloads.start(request, key=f"{_OURS}{made.version}", token=token)
        limit = self._model.spec.serving.ready_within
        state = until(
            lambda: desk.workloads.read(target, made.version),
            lambda seen: seen.phase in (ServerPhase.READY, ServerPhase.FAILED),
            limit=limit,
            every_s=0.5,
            monotonic_s=desk.clock.monotonic_s,
            sleep=self._sleep,
        )
        if not look(desk, self._model).is_ready(made):
            why = state.reason if state else f"not within {limit.total_seconds():g} s"
            raise Unavailable(f"the server of version {made.version} is not ready: {why}")

    def _follow(self, written: RouteDocument) -> None:
        """Wait a little for the data plane; a mesh that does not say so is left to follow."""
        namespace, route, _ = self._place
        until(
            lambda: self._router.applied(
                namespace, route, resource_version=written.resource_version
            ),
            lambda seen: seen is True,
            limit=timedelta(seconds=10),
            every_s=0.2,
            monotonic_s=self._desk.clock.monotonic_s,
            sleep=self._sleep,
        )

    def _remembered(self) -> TargetMemory:
        """With the faults of the data that mendloop knows of."""
        return Recorder(self._journal, self._desk.clock, self._model.target).last_memory()

    def _write(self, kind: str, by: str, payload: TargetTakenOver | TargetHandedBack) -> None:
        self._journal.append(
            kind, at=self._desk.clock.now(), actor=by, target=self._model.target, payload=payload
        )
