"""The Platform document that the chart writes is one that `mendloop run` takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.platform.document import Platform
from tests.infra.programs import INFRA, Document, helm
from tests.infra.standards import of_kind, pod_templates
from tools.documents import load_document
from tools.errors import Invalid


def written(tmp_path: Path, values: Document) -> Platform:
    """The document of a release with these values."""
    [config] = [
        each
        for each in of_kind(helm(values), "ConfigMap")
        if each["metadata"]["name"] == "mendloop-config"
    ]
    file = tmp_path / "platform.yaml"
    file.write_text(config["data"]["platform.yaml"], encoding="utf-8")
    return load_document(file, Platform)


def test_the_defaults_are_a_whole_document(tmp_path: Path) -> None:
    """Nothing is missing and nothing unknown; the chart fills in what it knows."""
    spec = written(tmp_path, {}).spec

    assert spec.kubernetes is not None
    assert spec.kubernetes.namespace == "mendloop"
    assert spec.kill_switch.config_map == "mendloop-stop"
    assert spec.models.custom_resources is not None
    assert spec.models.custom_resources.namespaces == ("mendloop",)
    assert spec.journal.is_shared


def test_what_the_values_say_wins(tmp_path: Path) -> None:
    """Also over what the chart fills in; a section that is not wanted is set to null."""
    values: Document = {
        "access": {"namespaces": ["fraud"]},
        "policies": {"freeze.yaml": "{}"},
        "platform": {
            "models": {"folder": "/models", "customResources": None},
            "tick": {"every": "30s"},
        },
    }
    spec = written(tmp_path, values).spec

    assert spec.models.folder == Path("/models")
    assert spec.tick.every.total_seconds() == 30
    assert spec.policies.folders == (Path("/etc/mendloop/policies"),)


def test_whole_clusters_are_watched_where_that_is_granted(tmp_path: Path) -> None:
    """No namespaces means all of them, which needs the ClusterRole."""
    spec = written(tmp_path, {"access": {"allNamespaces": True}}).spec

    assert spec.models.custom_resources is not None
    assert spec.models.custom_resources.namespaces == ()


def test_a_wrong_section_is_found_before_the_pod_finds_it(tmp_path: Path) -> None:
    """The same check as the pod's own."""
    with pytest.raises(Invalid, match="trafic"):
        written(tmp_path, {"platform": {"trafic": {}}})


def test_the_pod_is_not_killed_before_it_has_stopped(tmp_path: Path) -> None:
    """The step in hand may take its grace, and the rest of the shutdown some seconds more."""
    grace_s = written(tmp_path, {}).spec.grace.total_seconds()
    [template] = [each for _, each in pod_templates(helm())]

    assert grace_s + 5 <= template["spec"]["terminationGracePeriodSeconds"]


def test_kubernetes_finds_its_probes_where_the_document_listens(tmp_path: Path) -> None:
    """One value moves both."""
    values = {"service": {"port": 9000}}
    [template] = [each for _, each in pod_templates(helm(values))]
    [container] = template["spec"]["containers"]

    assert (
        written(tmp_path, values).spec.http.port == container["ports"][0]["containerPort"] == 9000
    )


def test_a_container_lives_on_what_may_be_written(tmp_path: Path) -> None:
    """The disk is read-only: the home lies below a volume."""
    home = written(tmp_path, {}).spec.home
    [template] = [each for _, each in pod_templates(helm())]
    [container] = template["spec"]["containers"]
    writable = [Path(m["mountPath"]) for m in container["volumeMounts"] if not m.get("readOnly")]

    assert any(home.is_relative_to(path) for path in writable)


def test_the_document_of_the_kustomize_base_is_whole() -> None:
    """It is a file of its own there, for overlays to replace."""
    file = INFRA / "kustomize" / "base" / "platform.yaml"

    assert load_document(file, Platform).spec.journal.is_shared


def test_secrets_are_read_where_they_are_mounted(tmp_path: Path) -> None:
    """From files that Kubernetes renews, not from variables that stay what they were."""
    journal = written(tmp_path, {}).spec.journal
    [template] = [each for _, each in pod_templates(helm())]
    [container] = template["spec"]["containers"]
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "secrets"]

    for source in (journal.password_from, journal.key_from):
        assert source is not None
        assert Path(source.file).parent == Path(mount["mountPath"])
    assert "envFrom" not in container
