"""What the Helm chart makes of its values, rendered by Helm itself."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infra.programs import CHART, INFRA, Document, RenderingRefused, helm
from tests.infra.standards import complaints, of_kind, pod_templates
from tests.stand_in.command_lines import problem
from tools.managed_model import ManagedModel

BATCH: Document = {
    "name": "delays-nightly",
    "schedule": "30 2 * * *",
    "timeZone": "Europe/Berlin",
    "model": yaml.safe_load((INFRA.parent / "examples" / "flights" / "model.yaml").read_text()),
    "input": "s3://rows/delays.parquet",
    "output": "s3://scored/delays.csv.gz",
    "log": True,
    "mask": ["temp"],
    "secretKeys": ["postgres-password"],
    "resources": {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"memory": "1Gi"},
    },
}

EVERYTHING: Document = {
    "batchScoring": [BATCH],
    "access": {"level": "act", "namespaces": ["fraud", "flights"]},
    "autoscaling": {"enabled": True},
    "serviceMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
    "prometheusRule": {"enabled": True},
    "dashboards": {"enabled": True},
    "secrets": {"environment": "mendloop-passwords", "files": "mendloop-keys"},
    "policies": {"freeze.yaml": "kind: ChangeCalendar\n"},
    "environment": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318"},
    "image": {"digest": "sha256:" + "a" * 64, "pullSecrets": ["registry"]},
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/m"}},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "priorityClassName": "high",
    "networkPolicy": {"ingressNamespaces": [{"kubernetes.io/metadata.name": "monitoring"}]},
}
"""Every branch of every template."""


@pytest.fixture(scope="module", params=["as it comes", "everything", "all namespaces"])
def objects(request: pytest.FixtureRequest) -> list[Document]:
    chosen = {
        "as it comes": {},
        "everything": EVERYTHING,
        "all namespaces": {"access": {"level": "act", "allNamespaces": True}},
    }
    return helm(chosen[request.param])


@pytest.fixture(scope="module")
def plain() -> list[Document]:
    return helm()


def test_everything_meets_the_standards(objects: list[Document]) -> None:
    """Restricted pods, requests and limits, recommended labels, no image called latest."""
    assert complaints(objects) == []


def test_no_object_is_made_twice(objects: list[Document]) -> None:
    """The second of two with one name would replace the first."""
    names = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in objects
    ]

    assert len(names) == len(set(names))


def test_observing_is_the_beginning(plain: list[Document]) -> None:
    """Whoever installs without a word gets a mendloop that cannot change a model."""
    [role] = [r for r in of_kind(plain, "Role") if r["metadata"]["name"] == "mendloop-models"]
    writes = {
        (resource, verb)
        for rule in role["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if verb not in ("get", "list", "watch")
    }

    assert writes == {("managedmodels/status", "patch"), ("events", "create")}


def test_permissions_name_every_verb_and_resource(objects: list[Document]) -> None:
    """A star grants what nobody looked at."""
    for role in of_kind(objects, "Role", "ClusterRole"):
        for rule in role["rules"]:
            said = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert "*" not in said, role["metadata"]["name"]
            assert "secrets" not in rule["resources"]


def test_each_namespace_has_its_own_role() -> None:
    """mendloop may touch the namespaces that were named, and no others."""
    made = helm({"access": {"namespaces": ["fraud", "flights"]}})
    roles = of_kind(made, "Role")

    assert {each["metadata"]["namespace"] for each in roles} == {"mendloop", "fraud", "flights"}
    assert of_kind(made, "ClusterRole", "ClusterRoleBinding") == []


def test_bindings_lead_to_the_account_that_runs(objects: list[Document]) -> None:
    """A role that is bound to somebody else grants nothing to mendloop."""
    [account] = of_kind(objects, "ServiceAccount")
    [deployment] = of_kind(objects, "Deployment")
    name, namespace = account["metadata"]["name"], account["metadata"]["namespace"]

    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == name
    for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        [subject] = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (name, namespace)


def test_the_kill_switch_is_nobodys_but_the_operators(objects: list[Document]) -> None:
    """An upgrade that wrote its content would switch mendloop on again in an emergency."""
    [switch] = [e for e in objects if e["metadata"]["name"] == "mendloop-stop"]

    assert "data" not in switch
    assert switch["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_selectors_find_the_pods(objects: list[Document]) -> None:
    """Service, budget, network policy and spread all mean the controller's pods."""
    labels = _controller(objects)["metadata"]["labels"]
    policies = {each["metadata"]["name"]: each for each in of_kind(objects, "NetworkPolicy")}
    selectors: list[dict[str, str]] = [
        of_kind(objects, "Service")[0]["spec"]["selector"],
        of_kind(objects, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"],
        policies["mendloop"]["spec"]["podSelector"]["matchLabels"],
        of_kind(objects, "Deployment")[0]["spec"]["selector"]["matchLabels"],
    ]

    for selector in selectors:
        assert selector.items() <= labels.items()


def test_probes_ask_what_the_controller_answers(objects: list[Document]) -> None:
    """Liveness is about ticking, readiness about being able to act."""
    [container] = _controller(objects)["spec"]["containers"]

    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_every_secret_is_a_reference(objects: list[Document]) -> None:
    """Values end up in Helm's history, in the objects of a release and in people's repositories."""
    assert of_kind(objects, "Secret") == []
    containers = [c for _, each in pod_templates(objects) for c in each["spec"]["containers"]]
    for container in containers:
        for variable in container["env"]:
            assert not re.search(r"PASSWORD|TOKEN|SECRET", variable["name"]), variable


def test_an_autoscaler_is_left_the_number_of_replicas() -> None:
    """Two who write one field take it from each other for ever."""
    with_one, without = helm({"autoscaling": {"enabled": True}}), helm()

    assert "replicas" not in of_kind(with_one, "Deployment")[0]["spec"]
    assert of_kind(without, "Deployment")[0]["spec"]["replicas"] == 2


def test_a_digest_wins_over_a_tag() -> None:
    """Who pins bytes means these bytes."""
    digest = "sha256:" + "b" * 64
    [deployment] = of_kind(
        helm({"image": {"repository": "r.example/m", "tag": "1", "digest": digest}}), "Deployment"
    )
    [container] = deployment["spec"]["template"]["spec"]["containers"]

    assert container["image"] == f"r.example/m@{digest}"


@pytest.mark.parametrize(
    "values",
    [
        {"imagee": {"tag": "1"}},
        {"image": {"tag": "latest"}},
        {"image": {"digest": "sha256:short"}},
        {"access": {"level": "everything"}},
        {"access": {"namespaces": ["Not A Namespace"]}},
        {"replicas": 0},
        {"resources": {"limits": {"memory": "much"}}},
        {"environment": {"MENDLOOP_POSTGRES_PASSWORD": "hunter2"}},
        {"policies": {"freeze": "a file without its ending is not read"}},
        {"networkPolicy": {"apiServerPorts": []}},
        {"terminationGracePeriodSeconds": "60s"},
        {"batchScoring": [BATCH | {"schedule": "nightly"}]},
        {"batchScoring": [BATCH | {"resources": {"requests": {"cpu": 1, "memory": "1Gi"}}}]},
        {"batchScoring": [BATCH | {"input": "s3://key:secret@rows/delays.parquet"}]},
        {"batchScoring": [BATCH | {"output": "/nowhere-that-lasts.csv"}]},
        {"batchScoring": [BATCH | {"model": {"kind": "Deployment"}}]},
        {"batchScoring": [BATCH], "secrets": {"files": ""}},
    ],
    ids=str,
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    """A typo is not a default, and a password not a variable."""
    with pytest.raises(RenderingRefused):
        helm(values)


def test_nothing_is_scored_unasked(plain: list[Document]) -> None:
    """A list that is empty makes no object."""
    assert of_kind(plain, "CronJob") == []
    assert not [each for each in plain if "batch" in each["metadata"]["name"]]


def test_a_job_scores_with_a_command_that_exists() -> None:
    """The arguments are those of mendloop, and the document it names is a model that loads."""
    made = helm(EVERYTHING)
    [job] = of_kind(made, "CronJob")
    template = job["spec"]["jobTemplate"]["spec"]["template"]
    [container] = template["spec"]["containers"]
    [documents] = [e for e in made if e["metadata"]["name"] == "mendloop-batch" and "data" in e]
    [(name, text)] = documents["data"].items()
    mounted = {each["mountPath"] for each in container["volumeMounts"]}

    assert problem("mendloop " + shlex.join(container["args"])) == ""
    assert container["args"][1] == f"/etc/mendloop/batch/{name}"
    assert ManagedModel.model_validate(yaml.safe_load(text)).spec.model == "flights"
    assert {"/etc/mendloop/batch", "/etc/mendloop/platform", "/tmp"} <= mounted
    assert "--log" in container["args"]


def test_a_document_may_come_as_the_text_of_its_file() -> None:
    """`--set-file` gives it so."""
    text = yaml.safe_dump(BATCH["model"])
    made = helm({"batchScoring": [BATCH | {"model": text}]})
    [documents] = [e for e in made if e["metadata"]["name"] == "mendloop-batch" and "data" in e]

    assert documents["data"] == {"delays-nightly.yaml": text}


def test_a_job_is_alone_ends_and_gets_no_more_than_it_needs() -> None:
    """One at a time, within a deadline; no token, no journal key, no requests of a Service."""
    made = helm(EVERYTHING)
    [job] = of_kind(made, "CronJob")
    spec = job["spec"]["jobTemplate"]["spec"]
    pod = spec["template"]["spec"]
    [secret] = [each["secret"] for each in pod["volumes"] if "secret" in each]
    selectors = [each["spec"]["selector"] for each in of_kind(made, "Service")]
    policies = [
        each["spec"]["podSelector"]["matchLabels"] for each in of_kind(made, "NetworkPolicy")
    ]
    labels = spec["template"]["metadata"]["labels"]

    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["startingDeadlineSeconds"] > 0
    assert job["spec"]["failedJobsHistoryLimit"] > 0
    assert spec["activeDeadlineSeconds"] > 0
    assert pod["restartPolicy"] == "Never"
    assert pod["automountServiceAccountToken"] is False
    assert [each["key"] for each in secret["items"]] == ["postgres-password"]
    assert not [each for each in selectors if each.items() <= labels.items()]
    assert len([each for each in policies if each.items() <= labels.items()]) == 1


def test_names_follow_the_release() -> None:
    """Two releases stand side by side."""
    names = {each["metadata"]["name"] for each in helm(name="blue", namespace="two")}

    assert {"blue-mendloop", "blue-mendloop-config", "blue-mendloop-own"} <= names
    assert "mendloop" not in names


def test_what_is_copied_into_the_chart_is_what_stands_in_infra() -> None:
    """Helm reads its own folder only; `make infra-render` copies."""
    pairs = {
        INFRA / "crds": CHART / "crds",
        INFRA / "prometheus" / "rules": CHART / "files" / "rules",
        INFRA / "grafana" / "dashboards": CHART / "files" / "dashboards",
    }
    for source, copy in pairs.items():
        assert _texts(source) == _texts(copy)


def test_the_chart_has_the_version_of_the_project() -> None:
    """The image's default tag is the chart's appVersion."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    project = (INFRA.parent / "pyproject.toml").read_text(encoding="utf-8")

    assert f'version = "{chart["appVersion"]}"' in project


def _controller(objects: list[Document]) -> Document:
    """The pods of the controller."""
    [deployment] = of_kind(objects, "Deployment")
    template: Document = deployment["spec"]["template"]
    return template


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
