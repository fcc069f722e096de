"""``mendloop backtest``: what would mendloop have done on this history, and was it right?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tools.errors import Invalid

if TYPE_CHECKING:
    from simulations.backtest.reading import Question
    from simulations.backtest.session import Progress
    from tools.managed_model import ManagedModel


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--label", help="Column that is predicted. Needed unless --spec names it.")
@click.option("--time", "time_column", help="Column of times; the rows are put into its order.")
@click.option("--label-delay", help="How long after its row a label is known, such as 6h or 2d.")
@click.option("--label-delay-rows", type=int, help="The same in rows.")
@click.option("--task", type=click.Choice(["classification", "regression"]))
@click.option(
    "--spec",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A ManagedModel document: columns, label, delay, evidence and guardrails from it.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write index.html with plots, outcome.json and a journal into this folder.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine.")
def backtest(
    data: Path,
    label: str | None,
    time_column: str | None,
    label_delay: str | None,
    label_delay_rows: int | None,
    task: str | None,
    spec: Path | None,
    report: Path | None,
    seed: int,
    as_json: bool,
) -> int:
    """Replay one's own history through mendloop, and compare.

    DATA is a CSV or Parquet file. A model is fitted on its first tenth; then each row is predicted
    before its label is used, mendloop looks after the model, and calendars, drift detectors and
    trivial rules do the same job with the same learner.

    Example: mendloop backtest history.csv --label churned --time day --label-delay 30d
    """
    from simulations.backtest.session import run_backtest

    model = _document(spec)
    question = _question(data, label, time_column, label_delay, label_delay_rows, task, model)
    with _progress(quiet=as_json) as progress:
        outcome = run_backtest(question, model, seed=seed, progress=progress)
    if report is not None:
        from simulations.backtest.report import write_report

        write_report(outcome, report)
    if as_json:
        click.echo(json.dumps(outcome.to_json(), indent=2, allow_nan=False))
    else:
        from simulations.backtest.printing import show

        show(outcome)
        if report is not None:
            click.echo(f"report: {report / 'index.html'}")
    return 0


def _document(spec: Path | None) -> ManagedModel | None:
    if spec is None:
        return None
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    return load_document(spec, ManagedModel)


def _question(
    data: Path,
    label: str | None,
    time_column: str | None,
    label_delay: str | None,
    label_delay_rows: int | None,
    task: str | None,
    model: ManagedModel | None,
) -> Question:
    """What was asked; the command line wins over the document."""
    from simulations.backtest.reading import Question

    if label is None and model is None:
        raise Invalid("expected the column that is predicted", field="--label")
    if label_delay is not None and label_delay_rows is not None:
        raise Invalid("give either --label-delay or --label-delay-rows", field="--label-delay")
    if label_delay_rows is not None and label_delay_rows < 0:
        raise Invalid(f"expected 0 or more, got {label_delay_rows}", field="--label-delay-rows")
    delay = _duration(label_delay) if label_delay is not None else timedelta(0)
    if model is None:
        return Question(
            data=str(data),
            label=label or "",
            time=time_column or "",
            delay=delay,
            delay_rows=label_delay_rows or 0,
            task=task or "",
        )
    schema = model.spec.schema_
    if label_delay is None and label_delay_rows is None:
        delay = model.spec.label.delay
    return Question(
        data=str(data),
        label=label or model.spec.label.name,
        time=time_column or schema.time_column,
        delay=delay,
        delay_rows=label_delay_rows or 0,
        task=task or "",
        forbidden=schema.forbidden,
        only=schema.names,
    )


def _duration(text: str) -> timedelta:
    from pydantic import TypeAdapter, ValidationError

    from tools.managed_model import Duration

    try:
        found: timedelta = TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        said = f"expected a duration such as 90s, 30m, 12h or 14d, got {text!r}"
        raise Invalid(said, field="--label-delay") from error
    return found


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress]:
    """A bar on standard error where somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield lambda what, share: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns: tuple[Any, ...] = (
        TextColumn("{task.description:<36}"),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("reading", total=1.0)
        yield lambda what, share: bar.update(line, description=what, completed=share)
