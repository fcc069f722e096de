"""``mendloop score``: a file of rows, scored as the model's server would answer them."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.home import config_option, home_option, platform_of_options
from tools.errors import Invalid


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--input", "source", required=True, help="Rows: .parquet, .csv or .csv.gz; or a URL.")
@click.option("--output", default="", help="File or URL to write; not needed with --dry-run.")
@config_option
@home_option
@click.option("--version", default="champion", show_default=True, help="Version in the registry.")
@click.option("--mask", multiple=True, metavar="COLUMN", help="Serve it as missing; repeatable.")
@click.option("--log/--no-log", default=False, help="Append to the prediction log.  [default: no]")
@click.option(
    "--chunk-rows",
    type=click.IntRange(1, 1_000_000),
    default=10_240,
    show_default=True,
    help="Rows held in memory at a time; it changes no answer.",
)
@click.option("--dry-run", is_flag=True, help="Score every row, write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def score(
    model: Path,
    source: str,
    output: str,
    home: Path,
    version: str,
    mask: tuple[str, ...],
    log: bool,
    chunk_rows: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Score a CSV or Parquet file with a model.

    MODEL is the ManagedModel document. The output has the columns of the input and request_id,
    version, probability, prediction: the same, to the last bit, as the model's server answers. It
    is whole or absent, and the same input and version give the same bytes. With --log the rows are
    appended to the prediction log under these request ids, once however often it is run, so that
    labels are joined and drift is seen. A row that the server would refuse refuses the file.

    \b
    Examples:
      mendloop score model.yaml --input rows.parquet --output scored.parquet
      mendloop score model.yaml --input s3://rows/today.csv --output s3://scored/today.csv \\
        --config platform.yaml --log
    """
    from orchestrator.platform.scoring import ScoreOrder, score_file
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    if not output and not dry_run:
        raise Invalid("expected --output FILE, or --dry-run")
    order = ScoreOrder(
        source=source,
        output="" if dry_run else output,
        version=version,
        masked=mask,
        is_logged=log,
        chunk_rows=chunk_rows,
    )
    found = score_file(
        load_document(model, ManagedModel),
        order,
        home=home,
        spec=platform_of_options(),
        tell=lambda line: click.echo(line, err=True),
    )
    if as_json:
        click.echo(found.model_dump_json())
        return
    done = "would be scored" if dry_run else f"scored into {output}"
    logged = f", {found.logged:,} in the prediction log" if log and not dry_run else ""
    click.echo(
        f"{found.rows:,} rows {done} by version {found.version} of {found.model}: "
        f"{found.positives:,} positive, mean probability {found.mean_probability:.4f}{logged}"
    )
