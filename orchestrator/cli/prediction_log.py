"""``mendloop prediction-log show|archive|prune``: keeps a log from growing for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.delivery import duration
from orchestrator.cli.home import config_option, home_option, open_journal, platform_of_options
from orchestrator.cli.targets import by_option, record
from orchestrator.journal import kinds
from orchestrator.journal.interventions import PredictionsPruned

if TYPE_CHECKING:
    from orchestrator.log_archive import LogArchive, Pruned
    from tools.managed_model import ManagedModel

_model = click.argument("model", type=click.Path(path_type=Path))
_age = click.option("--older-than", required=True, help="Event time, such as 400d.")
_json = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")


@click.group(name="prediction-log")
def prediction_log() -> None:
    """Show how long a model's prediction log is, archive old rows, and take them out.

    MODEL is the ManagedModel document. A full retrain uses every labelled row, so rows go in three
    steps: archive them, name the archive in spec.data.history and apply the document, then prune.

    Example: mendloop prediction-log show model.yaml
    """


@prediction_log.command()
@_model
@_json
@home_option
@config_option
def show(model: Path, as_json: bool, home: Path) -> None:
    """Say how many rows and labels the log has, and from when to when.

    Example: mendloop prediction-log show model.yaml --config platform.yaml
    """
    from infra.embedded.home import Home
    from orchestrator.log_archive import needed
    from orchestrator.platform.prediction_logs import log_from
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    document = load_document(model, ManagedModel)
    with open_journal(home):
        pass  # a home that is not there is no empty log
    extent = log_from(Home(home), platform_of_options()).extent(document.target)
    if as_json:
        click.echo(extent.model_dump_json())
        return
    span = f", {extent.first} to {extent.watermark}" if extent.rows else ""
    click.echo(f"{document.target}: {extent.rows:,} rows, {extent.labels:,} with a label{span}")
    click.echo(f"the newest {needed(document).days} days are needed")


@prediction_log.command()
@_model
@_age
@click.option("--output", required=True, help="New file or URL: .parquet, .csv or .csv.gz.")
@_json
@home_option
@config_option
def archive(model: Path, older_than: str, output: str, as_json: bool, home: Path) -> None:
    """Write the training history with the log's old rows, as one file.

    It has what training would take: labelled rows that mendloop trusts. Nothing is taken out of
    the log. Name the file in spec.data.history then; a row that is in both counts once.

    \b
    Example: mendloop prediction-log archive model.yaml --older-than 400d \\
      --output s3://training/delays-until-2026.parquet
    """
    with _archive(model, home) as (_, found):
        done = found.archive(duration(older_than, "--older-than"), output)
    if as_json:
        click.echo(done.model_dump_json())
        return
    click.echo(
        f"{done.output}: {done.history_rows:,} rows of the history and {done.logged_rows:,} of the"
        f" log, until {done.until}; name it in spec.data.history, apply that, then prune"
    )


@prediction_log.command()
@_model
@_age
@click.option("--forget", is_flag=True, help="Also rows that training would miss.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--reason", default="", help="Why; written to the journal.")
@by_option
@_json
@home_option
@config_option
def prune(
    model: Path,
    older_than: str,
    forget: bool,
    dry_run: bool,
    reason: str,
    by: str,
    as_json: bool,
    home: Path,
) -> None:
    """Take old rows and their labels out of the log, for good; recorded in the journal first.

    Refused while the document's history lacks some that training uses. A controller may go on
    running. Cut off in the middle, run it again. Needs the login that servers write with.

    Example: mendloop prediction-log prune model.yaml --older-than 400d --dry-run
    """
    from infra.embedded.home import Home
    from orchestrator.platform.prediction_logs import retention_from

    age = duration(older_than, "--older-than")
    with _archive(model, home) as (document, found):
        retention = retention_from(Home(home), platform_of_options())

        def write_down(going: Pruned) -> None:
            told = PredictionsPruned(
                by=by,
                before=going.before.isoformat(),
                rows=going.rows,
                labels=going.labels,
                reason=reason,
            )
            now = datetime.now(UTC)
            record(home, kinds.PREDICTIONS_PRUNED, document.target, by, now, told)

        done = found.prune(retention, age, forget=forget, record=None if dry_run else write_down)
    if as_json:
        click.echo(done.model_dump_json())
        return
    click.echo(
        f"{document.target}: {done.rows:,} rows and the labels of {done.labels:,} from before"
        f" {done.before} {'would go' if dry_run else 'are gone'}"
        + (f", and {done.shadow_rows:,} of its shadow" if done.shadow_rows else "")
    )


@contextmanager
def _archive(model: Path, home: Path) -> Iterator[tuple[ManagedModel, LogArchive]]:
    from infra.embedded.home import Home
    from orchestrator.log_archive import LogArchive
    from orchestrator.platform.prediction_logs import log_from
    from orchestrator.recorder import Recorder
    from tools.clock import SystemClock
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    document = load_document(model, ManagedModel)
    with open_journal(home) as journal:
        memory = Recorder(journal, SystemClock(), document.target).last_memory()
    log = log_from(Home(home), platform_of_options())
    yield document, LogArchive(document, document.history_path(model.parent), log, memory)
