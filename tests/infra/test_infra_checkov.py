"""What checkov, which knows the rules of others, finds in manifests and Dockerfile: nothing.

What is excepted is so at its place, with the reason: annotations of the object, a comment of the
line. https://www.checkov.io/2.Basics/Suppressing%20and%20Skipping%20Policies.html
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.infra.programs import CHART, INFRA, Document, helm, program
from tests.infra.test_infra_chart import EVERYTHING


def found(framework: str, folder: Path) -> tuple[list[str], Document]:
    """(rules that are broken, with what breaks them; the summary)."""
    command = [program("checkov"), "--directory", str(folder), "--framework", framework]
    done = subprocess.run(
        [*command, "--output", "json", "--soft-fail", "--skip-download"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    report: Any = json.loads(done.stdout)
    results = report["results"]["failed_checks"]
    return [f"{each['check_id']}: {each['resource']}" for each in results], report["summary"]


def test_nothing_is_wrong_with_what_the_chart_makes(tmp_path: Path) -> None:
    """Restricted pods, no wide permissions, no secrets in the environment."""
    for name, values in (("plain", {}), ("everything", EVERYTHING)):
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump_all(helm(values)), encoding="utf-8")
    wrong, summary = found("kubernetes", tmp_path)

    assert wrong == []
    assert summary["passed"] > 160
    assert 0 < summary["skipped"] <= 13


def test_nothing_is_wrong_with_the_images() -> None:
    """Nor with how they are built."""
    wrong, summary = found("dockerfile", INFRA / "docker")

    assert wrong == []
    assert summary["passed"] > 80


def test_every_exception_says_why() -> None:
    """An exception without a reason is a habit."""
    names = ("deployment.yaml", "batch-scoring.yaml")
    template = "".join((CHART / "templates" / name).read_text(encoding="utf-8") for name in names)
    dockerfile = (INFRA / "docker" / "Dockerfile").read_text(encoding="utf-8")
    reasons = re.findall(r"checkov[.]io/skip\d: CKV_\w+=(.+)", template)
    reasons += re.findall(r"checkov:skip=CKV_\w+:(.+)", dockerfile)

    assert len(reasons) == template.count("checkov.io/skip") + dockerfile.count("checkov:skip")
    assert all(len(reason.split()) > 5 for reason in reasons)
