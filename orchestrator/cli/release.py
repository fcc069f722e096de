"""``mendloop release``: offers a version to the loop, and waits for what becomes of it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.delivery import config_option, duration

if TYPE_CHECKING:
    from orchestrator.releases import Release


@click.group()
def release() -> None:
    """Offer a version to the loop, and wait for what becomes of it."""


_version = click.option("--version", required=True, help="Version in the registry.")


@release.command()
@click.argument("model", type=click.Path(path_type=Path))
@_version
@config_option
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    help="Platform document of another registry (staging) that the version is taken from.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the version as JSON.")
def offer(model: Path, version: str, config: Path, source: Path | None, as_json: bool) -> None:
    """Make a version the challenger of the ManagedModel document MODEL.

    The controller does everything else: it serves the version, gives it its first share when the
    rules allow, judges it, and promotes it or takes it back. With --from, the artifact and its
    evidence are carried over from another registry first; nothing is trained again.

    \b
    Example: mendloop release offer model.yaml --version 7 --from staging.yaml \\
      --config platform.yaml
    """
    from orchestrator.platform.delivery import registry_of
    from orchestrator.platform.document import read_platform
    from orchestrator.releases import carried_over
    from orchestrator.releases import offer as made_challenger
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    document, target = load_document(model, ManagedModel), registry_of(read_platform(config))
    if source is not None:
        with tempfile.TemporaryDirectory() as folder:
            other = registry_of(read_platform(source))
            version = carried_over(document, version, other, target, folder=Path(folder)).version
    found = made_challenger(document, version, target)
    if as_json:
        click.echo(found.model_dump_json(include={"model", "version", "aliases"}))
        return
    click.echo(f"version {found.version} of {found.model} is {' and '.join(found.aliases)}")


@release.command()
@click.argument("model", type=click.Path(path_type=Path))
@_version
@config_option
@click.option(
    "--share",
    type=click.IntRange(1, 100),
    help="Done as soon as it has so many percent of the traffic.  [default: when it is champion]",
)
@click.option("--timeout", default="6h", show_default=True, help="How long to wait: 30m, 6h, ...")
@click.option("--json", "as_json", is_flag=True, help="Print where it stands as JSON.")
@click.pass_context
def wait(
    context: click.Context,
    model: Path,
    version: str,
    config: Path,
    share: int | None,
    timeout: str,
    as_json: bool,
) -> None:
    """Wait until a version is promoted, or has its share, or was taken back.

    Exit code 0: it is the champion (or has the share). 1: it was taken back, or never offered; or
    the time is over while it is still under way, which it stays.

    \b
    Examples:
      mendloop release wait model.yaml --version 7 --config platform.yaml --share 10 --timeout 2h
      mendloop release wait model.yaml --version 7 --config platform.yaml --timeout 12h
    """
    from orchestrator.platform.delivery import registry_of, traffic_of
    from orchestrator.platform.document import read_platform
    from orchestrator.releases import Stage, release_of
    from orchestrator.waiting import until
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    limit = duration(timeout, "--timeout")
    platform, document = read_platform(config), load_document(model, ManagedModel)
    registry = registry_of(platform)
    traffic = traffic_of(platform) if share is not None else None
    last: list[Release] = []

    def look() -> Release:
        seen = release_of(document, version, registry, traffic)
        if last[-1:] != [seen]:
            last.append(seen)
            if not as_json:
                click.echo(_told(seen))
        return seen

    def is_decided(seen: Release) -> bool:
        has_share = share is not None and seen.share_percent >= share
        return has_share or seen.stage in (Stage.PROMOTED, Stage.REGISTERED)

    found = until(look, is_decided, limit=limit, tell=lambda line: click.echo(line, err=True))
    if as_json and last:
        click.echo(last[-1].model_dump_json())
    if found is None:
        click.echo(f"mendloop: not decided within {timeout}; it goes on without us", err=True)
    if found is None or found.stage is Stage.REGISTERED:
        context.exit(1)


def _told(seen: Release) -> str:
    share = f", {seen.share_percent} % of the traffic" if seen.share_percent else ""
    others = f" (champion: {seen.champion or 'none'}, challenger: {seen.challenger or 'none'})"
    return f"version {seen.version} of {seen.model}: {seen.stage}{share}{others}"
