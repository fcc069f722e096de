"""The names under which mendloop tells Prometheus about itself; dashboards and alerts use these.

Labels have few values: a target's name stands only where one asks for a single target. Durations
are seconds, counters end in ``_total``. Names never change their meaning; a new meaning gets a new
name. Source of the conventions: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from typing import Literal

from tools.values import Value


class Word(Value):
    """One metric."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series, as queries use them."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{end}" for end in ("bucket", "sum", "count"))


_MINUTES = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 259200, 604800)
"""From seconds to a week: labels and people may take days."""

BUILD_INFO = Word(
    name="mendloop_build_info",
    kind="gauge",
    help="1, with the version that runs.",
    labels=("version", "python"),
)
TICK_SECONDS = Word(
    name="mendloop_tick_duration_seconds",
    kind="histogram",
    help="One look at every target, with what was done about it.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300),
)
TICK_EVERY = Word(
    name="mendloop_tick_interval_seconds",
    kind="gauge",
    help="From the beginning of one tick to that of the next, as configured.",
)
LAST_TICK = Word(
    name="mendloop_last_tick_timestamp_seconds",
    kind="gauge",
    help="Unix time at which a tick ended last.",
)
TARGETS = Word(
    name="mendloop_targets", kind="gauge", help="Models that this controller is told to keep."
)
TARGETS_HELD = Word(
    name="mendloop_targets_held", kind="gauge", help="Targets whose lease this controller holds."
)
TARGETS_UNKNOWN = Word(
    name="mendloop_targets_unknown",
    kind="gauge",
    help="Held targets whose last look was cut short: a port did not answer.",
)
TARGETS_PAUSED = Word(
    name="mendloop_targets_paused",
    kind="gauge",
    help="Held targets on which a kill switch stops changes.",
)
TARGETS_TAKEN_OVER = Word(
    name="mendloop_targets_taken_over",
    kind="gauge",
    help="Held targets that a person has in hand: mendloop stands down.",
)
MODELS_REJECTED = Word(
    name="mendloop_models_rejected",
    kind="gauge",
    help="Model documents that are broken now; what was in force before stays.",
)
RULES_REJECTED = Word(
    name="mendloop_policies_rejected",
    kind="gauge",
    help="1 while the operators' rules are broken; those before stay in force.",
)
INCIDENTS_OPEN = Word(
    name="mendloop_incidents_open",
    kind="gauge",
    help="Incidents of held targets that are not over, by goal.",
    labels=("goal",),
)
OLDEST_INCIDENT = Word(
    name="mendloop_oldest_incident_age_seconds",
    kind="gauge",
    help="Age of the oldest open incident of a held target; 0 without one.",
)
INCIDENTS_OPENED = Word(
    name="mendloop_incidents_opened_total",
    kind="counter",
    help="Incidents that this controller opened.",
    labels=("goal",),
)
INCIDENTS_CLOSED = Word(
    name="mendloop_incidents_closed_total",
    kind="counter",
    help="Incidents that ended here, by how (outcome: escalated where a person is needed).",
    labels=("goal", "outcome"),
)
DETECT_SECONDS = Word(
    name="mendloop_time_to_detect_seconds",
    kind="histogram",
    help="From the beginning of what was wrong to its being found, where the beginning is known: "
    "event time of data and labels, wall clock since the traffic was raised of a canary.",
    labels=("seen_in",),
    buckets=_MINUTES,
)
REPAIR_SECONDS = Word(
    name="mendloop_time_to_repair_seconds",
    kind="histogram",
    help="Wall clock from an incident's opening to its end, where the goal holds again.",
    labels=("goal",),
    buckets=_MINUTES,
)
DECISIONS = Word(
    name="mendloop_decisions_total",
    kind="counter",
    help="Diagnoses, plans and steps that were decided on, by what.",
    labels=("decision",),
)
STEPS = Word(
    name="mendloop_steps_total",
    kind="counter",
    help="Steps that were carried out, by tool and by what they came to.",
    labels=("tool", "result"),
)
DENIALS = Word(
    name="mendloop_guardrail_denials_total",
    kind="counter",
    help="Steps that a guardrail denied, by the rule that did.",
    labels=("policy",),
)
RULINGS = Word(
    name="mendloop_guardrail_rulings_total",
    kind="counter",
    help="Rulings of all guardrails together on a step.",
    labels=("ruling",),
)
APPROVALS_WAITING = Word(
    name="mendloop_approvals_waiting",
    kind="gauge",
    help="Steps on held targets that wait for a person.",
)
LEASE_CHANGES = Word(
    name="mendloop_lease_changes_total",
    kind="counter",
    help="Leases that were acquired or lost.",
    labels=("change",),
)
LEASE_HELD = Word(
    name="mendloop_lease_held",
    kind="gauge",
    help="1 for each target whose lease this controller holds.",
    labels=("target",),
)
JOURNAL_EVENTS = Word(name="mendloop_journal_events", kind="gauge", help="Events in the journal.")
JOURNAL_UNSIGNED = Word(
    name="mendloop_journal_unsigned_events",
    kind="gauge",
    help="Events that no signed checkpoint covers yet.",
)
JOURNAL_UNSIGNED_AGE = Word(
    name="mendloop_journal_unsigned_age_seconds",
    kind="gauge",
    help="How long events have been waiting for a signed checkpoint; 0 when none do.",
)
JOURNAL_UP = Word(
    name="mendloop_journal_up", kind="gauge", help="1 while the journal answers; else 0."
)
NOTIFICATIONS_PENDING = Word(
    name="mendloop_notifications_pending",
    kind="gauge",
    help="Events of the journal that a channel's sender has not come to yet.",
    labels=("channel",),
)
PORT_CALLS = Word(
    name="mendloop_port_calls_total",
    kind="counter",
    help="Calls of a port (traffic, workloads, runs, registry, metrics, log).",
    labels=("port",),
)
PORT_ERRORS = Word(
    name="mendloop_port_errors_total",
    kind="counter",
    help="Calls that failed, by the kind of the error, or gave no reading.",
    labels=("port", "error"),
)
PORT_SECONDS = Word(
    name="mendloop_port_call_seconds",
    kind="histogram",
    help="How long calls of a port took.",
    labels=("port",),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
ALERTS_RECEIVED = Word(
    name="mendloop_alerts_received_total",
    kind="counter",
    help="Alerts taken in by webhook, by what became of them.",
    labels=("result",),
)

WORDS: tuple[Word, ...] = tuple(
    sorted(
        (value for value in list(globals().values()) if isinstance(value, Word)),
        key=lambda word: word.name,
    )
)
"""Every metric."""


def series_names() -> frozenset[str]:
    """The name of every series, for tests of dashboards and alert rules."""
    return frozenset(name for word in WORDS for name in word.series)
