"""Every manifest under infra/ against Kubernetes' own schemas, strictly, for old and new clusters.

Kinds of other projects (the Prometheus Operator's) have no schema there: their content is checked
by promtool, their shape by test_infra_rules.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.infra.programs import INFRA, Document, checked, helm, kustomize, program
from tests.infra.test_infra_chart import EVERYTHING

FOREIGN = ("monitoring.coreos.com/",)
CLUSTERS = ("1.28", "1.34")
"""The oldest that Chart.yaml allows, and one of the newest."""


def validate(objects: list[Document], folder: Path, version: str) -> None:
    """Fails with what a schema says; unknown fields are errors."""
    ours = [each for each in objects if not each["apiVersion"].startswith(FOREIGN)]
    files = []
    for number, each in enumerate(ours):
        file = folder / f"{number:02}-{each['kind']}-{each['metadata']['name']}.yaml"
        file.write_text(yaml.safe_dump(each), encoding="utf-8")
        files.append(str(file))
    assert files
    checked([program("kubernetes-validate"), "--strict", "-k", version, *files])


@pytest.mark.parametrize("version", CLUSTERS)
@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["as it comes", "everything"])
def test_the_chart_makes_objects_of_kubernetes(
    values: Document, version: str, tmp_path: Path
) -> None:
    """No field is misspelt, none is of the wrong type."""
    validate(helm(values), tmp_path, version)


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_the_overlays_make_objects_of_kubernetes(overlay: str, tmp_path: Path) -> None:
    """The same, of what kubectl applies."""
    validate(kustomize(INFRA / "kustomize" / "overlays" / overlay), tmp_path, CLUSTERS[-1])


def test_the_validator_finds_a_misspelt_field(tmp_path: Path) -> None:
    """A check that cannot fail says nothing."""
    [service] = [each for each in helm() if each["kind"] == "Service"]
    broken = {**service, "spec": {**service["spec"], "selecter": {}}}

    with pytest.raises(AssertionError, match="selecter"):
        validate([broken], tmp_path, CLUSTERS[-1])
