"""The chart's rules in a real API server's RBAC: nothing that the adapters do is forbidden."""

from __future__ import annotations

import json

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli.main import cli
from tests.infra.test_infra_permissions import Installation, asked_by_the_doctor
from tests.stand_in.chart_release import Release
from tools.errors import Refused
from tools.kubernetes_kinds import NAMESPACE
from tools.kubernetes_rights import Right, may

NOBODYS = Right(group="mendloop.dev", resource="managedmodels", verb="delete")


@pytest.fixture
def place(release: Release) -> Installation:
    admin, own, models = release.admin, release.own, release.models
    return Installation(admin, release.install, own=own, models=models)


def test_everything_that_the_adapters_do_is_allowed(place: Installation) -> None:
    """A release from beginning to end, leases, kill switch and checkpoints, by the account."""
    with place.under("act"):
        place.keep()
        place.act()
        place.observe()


def test_an_observer_may_change_nothing(place: Installation) -> None:
    """The API server itself refuses."""
    with place.under("act"):
        place.act()
    with place.under("observe"):
        place.keep()
        place.observe()
        with pytest.raises(Refused, match='cannot get resource "configmaps"'):
            place.start("3")
        with pytest.raises(Refused, match='cannot patch resource "virtualservices"'):
            place.shift("v2")


def test_reviews_of_access_say_what_the_roles_say(release: Release) -> None:
    """What the doctor asks for, where mendloop acts; and not what nobody granted."""
    api = release.install("act")

    for namespace, group, resource, verb in asked_by_the_doctor(release.own, release.models):
        right = Right(group=group, resource=resource, verb=verb)
        assert may(api, right, namespace), f"{right} in {namespace}"
    assert not may(api, NOBODYS, release.models)
    assert not may(api, Right(group="", resource="pods", verb="list"), "kube-system")


def test_the_doctor_finds_what_the_chart_left_out(release: Release) -> None:
    """By the account of an observer, for a model that wants more: the rule to apply is printed."""
    labels = [{"op": "add", "path": "/metadata/labels/istio-injection", "value": "enabled"}]
    release.admin.patch(NAMESPACE, "", release.models, labels)
    Installation(release.admin, release.install, own=release.own, models=release.models)
    release.install("act")
    assert {outcome for outcome, _ in of_permissions(release)} == {"ok"}

    release.install("observe")
    lacking = [said for outcome, said in of_permissions(release) if outcome == "missing"]
    assert any("patch virtualservices" in said for said in lacking), lacking


def of_permissions(release: Release) -> list[tuple[str, str]]:
    """(outcome, what) of what `mendloop doctor` finds about permissions."""
    spec = {
        "home": str(release.folder / "home"),
        "kubernetes": {"namespace": release.own, "kubeconfig": str(release.kubeconfig)},
        "models": {"customResources": {"namespaces": [release.models]}},
        "traffic": {"istio": {}},
        "workloads": {"kubernetes": {"template": {"image": "serving:1"}}},
        "pipelines": {"local": {}},
        "registry": {"local": {}},
        "metrics": {"envoy": {}},
        "predictionLog": {"parquet": {}},
        "journal": {},
        "leases": {"kubernetes": {}},
        "killSwitch": {"configMap": "mendloop-stop"},
    }
    head = {"apiVersion": "mendloop.dev/v1alpha1", "kind": "Platform"}
    file = release.folder / "platform.yaml"
    file.write_text(yaml.safe_dump({**head, "metadata": {"name": "test"}, "spec": spec}))
    shown = CliRunner().invoke(cli, ["doctor", "--config", str(file), "--json"])
    findings = json.loads(shown.stdout)["findings"]
    return [(f["outcome"], f["said"]) for f in findings if f["about"] == "permissions"]
