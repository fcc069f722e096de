"""What the kustomize base and overlays come to, built by kubectl itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.infra.programs import INFRA, ROOT, TOOLS, Document, kustomize, program
from tests.infra.standards import complaints, of_kind, pod_templates

OVERLAYS = ("dev", "production")


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest) -> list[Document]:
    return kustomize(INFRA / "kustomize" / "overlays" / request.param)


def test_everything_meets_the_standards(objects: list[Document]) -> None:
    """The same as of the chart: there is no second, laxer way to install."""
    assert complaints(objects) == []


def test_no_overlay_begins_by_acting(objects: list[Document]) -> None:
    """The component `act` is added by hand, when observing convinced."""
    roles = [
        each for each in of_kind(objects, "Role") if each["metadata"]["name"].endswith("models")
    ]
    verbs = {
        verb
        for role in roles
        for rule in role["rules"]
        if rule["resources"] not in (["managedmodels/status"], ["events"])  # it tells
        for verb in rule["verbs"]
    }

    assert verbs == {"get", "list", "watch"}


def test_the_component_adds_the_writes(tmp_path: Path) -> None:
    """One line in an overlay lets mendloop act."""
    overlay = INFRA / "kustomize" / "overlays" / "acting-test"
    overlay.mkdir()
    try:
        (overlay / "kustomization.yaml").write_text(
            "resources: [../../base]\ncomponents: [../../components/act]\n", encoding="utf-8"
        )
        made = kustomize(overlay)
    finally:
        (overlay / "kustomization.yaml").unlink()
        overlay.rmdir()
    [role] = [each for each in of_kind(made, "Role") if each["metadata"]["name"].endswith("models")]
    [routes] = [rule for rule in role["rules"] if rule["resources"] == ["virtualservices"]]

    assert "patch" in routes["verbs"]


def test_the_configuration_is_found_under_its_generated_name(objects: list[Document]) -> None:
    """A changed document is another ConfigMap, so pods start anew with it."""
    [template] = [each for _, each in pod_templates(objects)]
    mounted = {
        volume["configMap"]["name"]
        for volume in template["spec"]["volumes"]
        if "configMap" in volume
    }
    made = {each["metadata"]["name"] for each in of_kind(objects, "ConfigMap")}

    assert mounted <= made
    assert all(name.startswith("mendloop-config-") for name in mounted)


def test_the_namespace_admits_restricted_pods_only(objects: list[Document]) -> None:
    """The admission controller keeps what the manifests promise."""
    [namespace] = of_kind(objects, "Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_production_runs_several_and_dev_one() -> None:
    """Replicas are counted, not believed."""
    counts = {
        name: of_kind(kustomize(INFRA / "kustomize" / "overlays" / name), "Deployment")[0]["spec"][
            "replicas"
        ]
        for name in OVERLAYS
    }

    assert counts == {"dev": 1, "production": 3}


def test_what_is_made_is_up_to_date(tmp_path: Path) -> None:
    """`make infra-render` after a change of the chart, its definitions, rules or dashboards."""
    program("hadolint")
    script = ROOT / ".ci" / "render_infra.py"
    subprocess.run([str(TOOLS / "python"), str(script), str(tmp_path)], check=True, cwd=ROOT)
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]

    assert made
    for path in made:
        assert (tmp_path / path).read_text("utf-8") == (INFRA / path).read_text("utf-8"), path
