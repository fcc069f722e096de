"""Scores a run by what the world knows: harm, deeds, standing; claims alone come from operators."""

from __future__ import annotations

from collections.abc import Sequence

from simulations.fleet import FleetWorld
from simulations.harm import harm_rate
from simulations.operator import Claim
from simulations.scenario import Scenario
from simulations.scenario_truth import Mitigation
from simulations.site import Deed, Site
from tools.values import Value


class Score(Value):
    """One run of one scenario."""

    name: str
    seed: int
    kind: str
    operator: str
    detected: bool | None
    """None: there was nothing to detect (diagnose, mitigate)."""
    diagnosed: bool | None
    mitigated: bool | None
    false_actions: int
    collateral: int
    harm: float
    excess_loss: float
    errors: float
    slow: float
    time_to_detect_s: float | None
    time_to_repair_s: float | None
    retrains: int
    compute_minutes: float
    requests: int
    violations: tuple[str, ...]
    failures: tuple[str, ...]
    """Why it does not pass; empty when it does."""

    @property
    def has_passed(self) -> bool:
        """Whether the scenario's truth was met."""
        return not self.failures


def score(world: FleetWorld, claims: Sequence[Claim], operator: str, ended_s: float) -> Score:
    """Everything that is measured about a run that ended at this moment."""
    scenario = world.scenario
    truth = scenario.spec.truth
    hit = [site for site in world.sites if is_hit(site, scenario)]
    began_s = world.began_s if world.began_s is not None else 0.0
    noticed_s = _noticed(claims, {site.name for site in hit}, began_s)
    repaired_s = repaired_at(hit, scenario, truth.mitigated_when, began_s)
    detect_s = None if noticed_s is None or not truth.is_wrong else noticed_s - began_s
    repair_s = None if repaired_s is None or not truth.is_wrong else repaired_s - began_s
    totals = {m: _total(world, m) for m in ("harm", "excess_loss", "errors", "slow")}
    retrains = sum(deed.act == "retrain" for site in world.sites for deed in site.deeds)
    run_minutes = scenario.spec.world.training_takes.total_seconds() / 60
    found = Score(
        name=scenario.name,
        seed=world.seed,
        kind=truth.kind,
        operator=operator,
        detected=_is_within(detect_s, scenario.spec.scoring.detect_within.total_seconds(), truth),
        diagnosed=_is_diagnosed(claims, scenario) if _says_why(world) else None,
        mitigated=_is_mitigated(repair_s, ended_s - began_s, scenario),
        false_actions=sum(not is_right(d, scenario, began_s) for s in hit for d in s.deeds),
        collateral=sum(len(site.deeds) for site in world.sites if site not in hit),
        **{name: round(value, 3) for name, value in totals.items()},
        time_to_detect_s=detect_s,
        time_to_repair_s=repair_s,
        retrains=retrains,
        compute_minutes=retrains * run_minutes,
        requests=sum(m.requests for site in world.sites for m in site.moments),
        violations=tuple(dict.fromkeys(_violations(world))),
        failures=(),
    )
    return found.model_copy(update={"failures": tuple(_failures(found, world, hit))})


def is_hit(site: Site, scenario: Scenario) -> bool:
    """Whether a fault is about the site; without any fault, all of them are looked at."""
    faults = scenario.spec.faults
    return not faults or any(fault.hits(site.name) for fault in faults)


def is_right(deed: Deed, scenario: Scenario, began_s: float) -> bool:
    """Whether a deed on a model that was hit is one of those that the truth accepts."""
    truth = scenario.spec.truth
    return truth.is_wrong and deed.at_s >= began_s and deed.act in truth.allowed()


def repaired_at(
    sites: Sequence[Site], scenario: Scenario, until: Mitigation, began_s: float
) -> float | None:
    """When the last harm beyond the limit ended; None while it lasts at the end."""
    last_s = began_s
    for site in sites:
        for moment in site.moments:
            is_after = moment.until_s > began_s
            if is_after and harm_rate(site, moment, scenario, until.measure) > until.below:
                last_s = max(last_s, moment.until_s)
        if site.moments and last_s >= site.moments[-1].until_s:
            return None
    return last_s


def _total(world: FleetWorld, measure: str) -> float:
    return sum(
        harm_rate(site, moment, world.scenario, measure) * moment.requests
        for site in world.sites
        for moment in site.moments
    )


def _noticed(claims: Sequence[Claim], names: set[str], began_s: float) -> float | None:
    times = [c.at_s for c in claims if c.target in names and c.at_s >= began_s]
    return min(times, default=None)


def _is_within(detect_s: float | None, limit_s: float, truth: object) -> bool | None:
    if not getattr(truth, "is_wrong", False):
        return None
    return detect_s is not None and detect_s <= limit_s


def _says_why(world: FleetWorld) -> bool:
    """Whether the operator is one that names causes at all."""
    return world.sites[0].ledger.is_announced


def _is_diagnosed(claims: Sequence[Claim], scenario: Scenario) -> bool | None:
    """Every root cause named, and nothing that is none; nothing to name: None."""
    truth = scenario.spec.truth
    said = {(c.target, c.cause) for c in claims if c.what == "diagnosed" and c.cause != "nothing"}
    if not truth.is_wrong:
        return not said
    if not truth.causes:
        return None
    known = {(c.target, str(name)) for c in truth.causes for name in (c.cause, *c.accept)}
    is_named = all(
        any((cause.target, str(name)) in said for name in (cause.cause, *cause.accept))
        for cause in truth.causes
    )
    return is_named and said <= known


def _is_mitigated(repair_s: float | None, remaining_s: float, scenario: Scenario) -> bool | None:
    spec = scenario.spec
    if not spec.truth.is_wrong:
        return None
    if repair_s is None or repair_s > spec.scoring.repair_within.total_seconds():
        return False
    return remaining_s - repair_s >= spec.truth.mitigated_when.held_for.total_seconds()


def _violations(world: FleetWorld) -> list[str]:
    found = list(world.violations)
    for site in world.sites:
        site.ledger.check_end()
        found += [f"{site.name}: {broken}" for broken in site.ledger.broken]
        limit = site.document.spec.guardrails.max_retrains
        retrains = sum(deed.act == "retrain" for deed in site.deeds)
        if site.ledger.is_announced and retrains > limit:
            found.append(f"{site.name}: {retrains} retrains, {limit} are allowed")
    return found


def _failures(found: Score, world: FleetWorld, hit: list[Site]) -> list[str]:
    spec = world.scenario.spec
    said = [f"not {name}" for name in spec.truth.expected() if getattr(found, name) is not True]
    if not spec.truth.is_wrong and found.diagnosed is False:
        said.append("named a cause although nothing is wrong")
    limit = spec.scoring.max_false_actions
    if found.false_actions > limit:
        wrong = [
            f"{deed.act} of {site.name}"
            for site in hit
            for deed in site.deeds
            if not is_right(deed, world.scenario, world.began_s or 0.0)
        ]
        said.append(f"{found.false_actions} false actions: {', '.join(dict.fromkeys(wrong))}")
    if found.collateral:
        said.append(f"{found.collateral} changes of models that nothing was wrong with")
    if found.violations:
        said.append(f"{len(found.violations)} violations: {found.violations[0]}")
    if spec.scoring.max_harm is not None and found.harm > spec.scoring.max_harm:
        said.append(f"harm {found.harm:g} exceeds {spec.scoring.max_harm:g}")
    return said
