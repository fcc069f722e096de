"""``mendloop export``: a registered version in a form for other machines."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.home import config_option, home_option, platform_of_options


@click.group()
def export() -> None:
    """Write a version for use outside a cluster."""


@export.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="Folder to make and write."
)
@config_option
@home_option
@click.option("--version", default="champion", show_default=True, help="Version in the registry.")
@click.option("--rows", default="", help="Raw rows to compare on too: .parquet, .csv; or a URL.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def onnx(model: Path, output: Path, home: Path, version: str, rows: str, as_json: bool) -> None:
    """Write the ONNX twin of a version, with its schema and the proof that it answers alike.

    MODEL is the ManagedModel document. The twin is compared with the registered model again, on
    the stored example, on rows drawn from the version's reference, and on --rows; where answers
    differ nothing is written, and the exit code is 3.

    \b
    Example: mendloop export onnx model.yaml --output edge/ --rows january.parquet
    """
    from orchestrator.platform.offline import fetched
    from tools.data_files import read_table
    from tools.documents import load_document
    from tools.edge_export import export_twin
    from tools.managed_model import ManagedModel

    spec = load_document(model, ManagedModel).spec
    given = read_table(rows, text_columns=spec.schema_.categories) if rows else None
    found = fetched(home, platform_of_options(), spec.model, version)
    done = export_twin(found.registered, found.folder, output, rows=given)
    if as_json:
        click.echo(done.model_dump_json())
        return
    click.echo(
        f"version {done.version} of {done.model} is in {output}: model.onnx has "
        f"{done.onnx_bytes:,} bytes (scikit-learn: {done.original_bytes:,}); probabilities of "
        f"{done.rows:,} rows differ by at most {done.max_difference:.2g}"
    )
