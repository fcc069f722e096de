"""The demo's last words: a table for the terminal and the log file."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from examples.flights.outcome import Figures, Outcome


def summary_table(outcome: Outcome) -> Table:
    """What happened, in a dozen lines."""
    table = Table(title="A year of flights, looked after by mendloop", title_justify="left")
    table.add_column("what", no_wrap=True)
    table.add_column("came to")
    for name, text in _lines(outcome):
        table.add_row(name, text)
    return table


def _lines(outcome: Outcome) -> Iterator[tuple[str, str]]:
    requests, crash, total = outcome.requests, outcome.crash, outcome.quality.total
    for incident in outcome.incidents:
        cause = incident.diagnosis or incident.trigger
        yield f"incident {incident.event_time[:10]}", f"{cause}: {incident.outcome}"
    yield "log loss", _three(outcome, "log_loss")
    yield "ROC AUC", _three(outcome, "roc_auc")
    yield "accuracy", _three(outcome, "accuracy")
    yield "labelled requests", f"{total.rows:,}"
    yield "requests", f"{requests.total:,}, 99 % answered within {requests.p99_ms:.0f} ms"
    yield "failed, bad release", f"{requests.failed_by_bad_release} of {requests.met_bad_release}"
    yield "failed otherwise", str(requests.failed_otherwise)
    if crash.unwatched_s is not None:
        yield (
            "controller killed",
            f"taken over after {crash.unwatched_s:.1f} s, "
            f"{crash.duplicated_effects} effects happened twice",
        )
    for asked in outcome.approvals:
        when = asked.event_time[:10]
        yield "asked a person", f"{asked.tool} on {when}: {asked.status}, {asked.by or 'nobody'}"
    for denied in outcome.denials:
        then = denied.allowed_event_time[:10]
        until = f", allowed on {then}" if then else ""
        yield (
            "denied by a policy",
            f"{denied.tool} on {denied.event_time[:10]}: {denied.policy}{until}",
        )
    verified = "verified" if outcome.journal.verified else f"BROKEN: {outcome.journal.reason}"
    yield "journal", f"{outcome.journal.events:,} events, {verified}"
    yield "wall clock", f"{outcome.wall_s:.0f} s"


def _three(outcome: Outcome, what: str) -> str:
    total = outcome.quality.total
    served, never, majority = (
        _shown(figures, what) for figures in (total.served, total.never_retrained, total.majority)
    )
    return f"{served} served, {never} never retrained, {majority} majority class"


def _shown(figures: Figures, what: str) -> str:
    value = getattr(figures, what)
    return "undefined" if value is None else f"{value:.4f}"
