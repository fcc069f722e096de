"""``python -m serving.fetch``: brings one version's artifact to where its server will look.

Runs before the server, in a container of its own, with the registry's credentials that the server
does not need. Ends with 1, and a reason, when the artifact is not the one that was registered.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import structlog

from tools.errors import MendloopError, Refused

log = structlog.get_logger("serving.fetch")


def main(arguments: list[str] | None = None) -> int:
    """Fetch, check the digest, and put the folder in its place; the exit code says how it went."""
    parser = argparse.ArgumentParser(prog="python -m serving.fetch", description=__doc__)
    parser.add_argument("--model", required=True, help="name in the registry")
    parser.add_argument("--version", required=True)
    parser.add_argument("--digest", required=True, help="SHA-256 that the artifact must have")
    parser.add_argument("--into", required=True, type=Path, help="becomes INTO/model")
    parser.add_argument(
        "--tracking-uri",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        help="of MLflow; MLFLOW_TRACKING_URI stands in",
    )
    options = parser.parse_args(arguments)
    if not options.tracking_uri:
        parser.error("no registry: give --tracking-uri or set MLFLOW_TRACKING_URI")
    try:
        _fetch(options)
    except MendloopError as error:
        log.error("artifact.unfit", reason=str(error))
        return 1
    return 0


def _fetch(options: argparse.Namespace) -> None:
    from tools.mlflow_registry import MlflowRegistry

    registry = MlflowRegistry(options.tracking_uri, options.into)
    registered = registry.get(options.model, options.version).artifact_digest
    if registered != options.digest:
        raise Refused(
            f"version {options.version} of {options.model} is registered with digest {registered}, "
            f"asked for is {options.digest}"
        )
    folder = registry.fetch(options.model, options.version, options.into)
    link = options.into / "model"
    if not link.is_symlink():
        link.symlink_to(folder.name)
    log.info("artifact.fetched", model=options.model, version=options.version)


if __name__ == "__main__":
    sys.exit(main())
