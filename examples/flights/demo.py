"""``mendloop demo``: close the loop on real flights, on this machine."""

from __future__ import annotations

from pathlib import Path

import click

SAMPLE = 0.3
"""At 4 event days a second this is some 1,500 requests a second, which two cores serve with room
left for training; the year then takes about three minutes."""


@click.command()
@click.option(
    "--home",
    default=".mendloop/demo",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for everything that the demo makes; what an earlier demo left there goes.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the whole outcome as JSON to this file.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the HTML report goes.  [default: report.html in the home]",
)
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write what is shown to this file.  [default: demo.log in the home]",
)
@click.option("--seed", default=7, show_default=True, help="Of the sample and of the training.")
@click.option(
    "--sample",
    default=SAMPLE,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the year's flights that is replayed.",
)
@click.option(
    "--keep-running",
    is_flag=True,
    help="Leave the platform and the controller up at the end, and print their addresses.",
)
def demo(
    home: Path,
    report: Path | None,
    html: Path | None,
    log: Path | None,
    seed: int,
    sample: float,
    keep_running: bool,
) -> None:
    """Close the loop on real flights, on this machine.

    A model predicts which flights out of New York will be late. It is trained on January and
    February 2013; then the rest of the year is replayed as HTTP requests through Envoy, while
    mendloop looks after it: the model wears out, the weather feed breaks, a colleague ships a bad
    release, and the controller is killed in the middle of a canary. One rule of the airline's holds
    a release up, another asks a person before the first promotion; otherwise nobody steps in.

    Takes about four minutes on two cores. Ctrl-C stops it and everything it started.

    Example: mendloop demo --report outcome.json
    """
    from examples.flights.run import Settings, run_demo

    settings = Settings(
        home=home.resolve(),
        report=report,
        html=html or home / "report.html",
        log=log or home / "demo.log",
        seed=seed,
        sample=sample,
        keep_running=keep_running,
    )
    run_demo(settings)
