"""The doctor finds what is missing, says how to get it, and changes nothing."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from orchestrator.cli.main import cli
from orchestrator.doctor.check import Check, Finding, examine
from orchestrator.doctor.cluster import Clock
from orchestrator.doctor.report import grants, is_sound
from orchestrator.journal.note import Signer
from tests.stand_in.kubernetes_api import Cluster, Failure, api_server
from tools.custom_resource import managed_model_definition
from tools.errors import Invalid, Unavailable
from tools.kubernetes_api import CONFIG_MAP, KubernetesApi
from tools.kubernetes_kinds import CUSTOM_RESOURCE_DEFINITION, MANAGED_MODEL, NAMESPACE

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load(
    (ROOT / "examples" / "flights" / "model.yaml").read_text(encoding="utf-8")
)


class Place:
    """A cluster as the chart leaves it, with one model, and the document about it."""

    def __init__(self, url: str, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder, self.api = cluster, folder, KubernetesApi.at(url)
        self.api.create(CUSTOM_RESOURCE_DEFINITION, managed_model_definition())
        self.label({"istio-injection": "enabled"})
        self.model()
        self.spec: dict[str, Any] = {
            "home": str(folder / "home"),
            "kubernetes": {"url": url},
            "models": {"customResources": {"namespaces": ["models"]}},
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
        cluster.requests.clear()

    def label(self, labels: dict[str, str]) -> None:
        meta = {"name": "models", "labels": labels}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        self.api.delete(NAMESPACE, "", "models")
        self.api.create(NAMESPACE, body)

    def model(self, name: str = "flights", **changed: Any) -> None:
        body = copy.deepcopy(EXAMPLE)
        body["metadata"] = {"namespace": "models", "name": name}
        body["spec"]["data"]["history"] = "s3://history/flights.parquet"
        body["spec"].update(changed)
        self.api.create(MANAGED_MODEL, body)

    def ask(self, *options: str) -> Result:
        document = {
            "apiVersion": "mendloop.dev/v1alpha1",
            "kind": "Platform",
            "metadata": {"name": "test"},
            "spec": self.spec,
        }
        file = self.folder / "platform.yaml"
        file.write_text(yaml.safe_dump(document), encoding="utf-8")
        return CliRunner().invoke(cli, ["doctor", "--config", str(file), *options])

    def findings(self) -> list[Finding]:
        shown = self.ask("--json")
        return [Finding.model_validate(each) for each in json.loads(shown.stdout)["findings"]]

    def wrong(self, about: str) -> list[str]:
        """What is said to be missing or unknown."""
        found = [f for f in self.findings() if f.outcome in ("missing", "unknown")]
        assert {finding.about for finding in found} <= {about}
        return [finding.said for finding in found]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with api_server() as (url, cluster):
        yield Place(url, cluster, tmp_path)


def test_an_installation_that_lacks_nothing_is_sound(place: Place) -> None:
    """Exit code 0; everything that was looked at is named."""
    shown = place.ask()

    assert shown.exit_code == 0, shown.output
    assert "0 MISSING, 0 UNKNOWN" in shown.output
    for about in ("api server", "clock", "custom resources", "istio injection", "kill switch"):
        assert about in shown.output
    assert "models/flights" in shown.output


def test_looking_changes_nothing(place: Place) -> None:
    """Not an object, and not a file."""
    before = copy.deepcopy(place.cluster.objects)
    place.ask()

    assert place.cluster.objects == before
    assert not (place.folder / "home").exists()
    writes = {path for method, path in place.cluster.requests if method != "GET"}
    assert all("selfsubject" in path for path in writes)


def test_a_missing_right_is_said_with_the_rule_that_grants_it(place: Place) -> None:
    """Whoever applies what is printed has what was missing, and nothing more."""
    granted: set[tuple[str, str, str, str]] = set()
    lacking = {("apps", "deployments", "patch"), ("", "pods", "watch"), ("", "pods", "list")}

    def allowed(attributes: dict[str, Any]) -> bool:
        resource = attributes["resource"]
        right = (attributes.get("group", ""), resource, attributes["verb"])
        return right not in lacking or (attributes.get("namespace", ""), *right) in granted

    place.cluster.allowed = allowed
    assert place.ask().exit_code == 1
    found = [f for f in place.findings() if f.outcome == "missing"]
    assert {finding.about for finding in found} == {"permissions"}
    for body in yaml.safe_load_all(grants(found)):
        for rule in body.get("rules", []):
            where = body["metadata"]["namespace"]
            granted |= {
                (where, group, resource, verb)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
            }

    assert granted == {("models", *right) for right in lacking}
    assert place.ask().exit_code == 0


def test_the_rule_is_bound_to_who_asks(place: Place) -> None:
    """A service account by its kind; the output can be applied as it is."""
    place.cluster.allowed = lambda attributes: attributes["verb"] != "patch"
    place.cluster.user = "system:serviceaccount:mendloop:controller"
    shown = place.ask()
    objects = list(yaml.safe_load_all(shown.stdout.partition("kubectl apply -f):")[2]))

    assert [body["kind"] for body in objects] == ["Role", "RoleBinding"]
    assert objects[1]["subjects"] == [
        {"kind": "ServiceAccount", "namespace": "mendloop", "name": "controller"}
    ]


def test_an_observer_is_asked_for_no_right_to_change(place: Place) -> None:
    """The first rung of the ladder must not need the last one's permissions."""
    place.api.delete(MANAGED_MODEL, "models", "flights")
    place.model(guardrails={"autonomy": "observe"})
    reads = ("get", "list", "watch")
    own = ("leases", "configmaps")
    place.cluster.allowed = lambda a: (
        a["verb"] in reads
        or a["resource"] in ("events", *own)
        or a.get("subresource", "") == "status"
    )

    assert place.wrong("permissions") == []


def test_what_is_not_installed_is_said(place: Place) -> None:
    """Istio, a kind that old clusters lack, the namespace's label."""
    place.cluster.groups["policy"] = ("v1beta1",)
    assert place.wrong("custom resources") == ["policy/v1 is not served"]
    place.cluster.groups["policy"] = ("v1",)
    del place.cluster.groups["networking.istio.io"]
    assert place.wrong("custom resources") == ["networking.istio.io is not served"]
    place.cluster.groups["networking.istio.io"] = ("v1",)
    place.label({})

    assert place.wrong("istio injection") == ["namespace models is not labelled for injection"]


def test_a_model_that_is_not_accepted_is_said_with_its_field(place: Place) -> None:
    """And the others are."""
    place.model("bad", rollout={"stepsPercent": [50, 5]})
    [said] = place.wrong("models")

    assert "models/bad" in said
    assert "spec.rollout.stepsPercent" in said


def test_a_pause_is_told_and_no_fault(place: Place) -> None:
    """It works, and somebody should know."""
    meta = {"namespace": "mendloop", "name": "mendloop-stop"}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"STOP": "fair"}}
    place.api.create(CONFIG_MAP, body)
    shown = place.ask()

    assert shown.exit_code == 0
    assert "everything is paused: fair" in shown.output


def test_an_api_server_that_is_down_is_unknown(place: Place) -> None:
    """Each check says so by itself; nothing is called missing that nobody could look at."""
    place.cluster.fault = lambda method, path: Failure(503, "ServiceUnavailable", "starting")
    shown = place.ask()
    outcomes = {f.outcome for f in place.findings() if f.about in ("api server", "permissions")}

    assert shown.exit_code == 1
    assert outcomes == {"unknown"}


def test_a_secret_that_is_not_there_is_a_finding(place: Place) -> None:
    """The rest is looked at all the same; no password is asked for or shown."""
    place.spec["journal"] = {
        "url": "postgresql://mendloop@127.0.0.1:1/mendloop",
        "passwordFrom": {"env": "MENDLOOP_TEST_NOT_SET"},
    }
    [said] = place.wrong("journal")

    assert "MENDLOOP_TEST_NOT_SET is not set" in said


def test_a_key_that_is_kept_elsewhere_is_looked_at_and_put_nowhere(place: Place) -> None:
    """A Secret that is not mounted, one that holds something else; and the home stays empty."""
    place.spec["journal"] = {"keyFrom": {"env": "MENDLOOP_TEST_NOT_SET"}}
    assert "is not set" in place.wrong("signing key")[0]
    file = place.folder / "key"
    file.write_text("no key", encoding="utf-8")
    place.spec["journal"] = {"keyFrom": {"file": str(file)}}
    assert place.wrong("signing key")
    file.write_text(Signer("tests", bytes(32)).secret_text(), encoding="utf-8")
    place.spec["journal"]["url"] = "postgresql://mendloop@127.0.0.1:1/mendloop"

    found = {f.about: f.outcome for f in place.findings()}
    assert (found["signing key"], found["journal"]) == ("ok", "unknown")
    assert not (place.folder / "home").exists()


def test_servers_that_do_not_answer_are_unknown(place: Place) -> None:
    """PostgreSQL, Kubeflow, Prometheus: each by its own words."""
    place.spec["journal"] = {"url": "postgresql://mendloop@127.0.0.1:1/mendloop"}
    place.spec["pipelines"] = {"kubeflow": {"url": "http://127.0.0.1:1", "outputs": "s3://runs"}}
    place.spec["metrics"] = {"prometheus": {"url": "http://127.0.0.1:1"}}
    found = {f.about: f.outcome for f in place.findings() if f.outcome not in ("ok", "warning")}

    assert found == {"journal": "unknown", "pipelines": "unknown", "metrics": "missing"}


def test_rules_and_channels_that_are_broken_are_said(place: Place) -> None:
    """With file and field."""
    folder = place.folder / "rules"
    folder.mkdir()
    (folder / "bad.yaml").write_text("kind: GuardrailPolicy\n", encoding="utf-8")
    place.spec["policies"] = {"folders": [str(folder)]}
    [said] = place.wrong("rules")

    assert "bad.yaml" in said


def test_a_document_that_is_wrong_is_no_examination(tmp_path: Path) -> None:
    """Exit code by the errors' kind: the input is wrong."""
    (tmp_path / "platform.yaml").write_text("kind: Platform\n", encoding="utf-8")
    shown = CliRunner().invoke(cli, ["doctor", "--config", str(tmp_path / "platform.yaml")])

    assert isinstance(shown.exception, Invalid)


def test_a_home_is_looked_at_without_a_document(tmp_path: Path) -> None:
    """What one machine needs."""
    shown = CliRunner().invoke(cli, ["doctor", "--home", str(tmp_path)])

    assert shown.exit_code == 0, shown.output
    assert "Envoy" in shown.output
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_others_may_read_is_missing_its_secrecy(tmp_path: Path) -> None:
    """The command says what to do."""
    (tmp_path / "keys").mkdir()
    key = tmp_path / "keys" / "journal.key"
    key.write_text("key", encoding="utf-8")
    key.chmod(0o644)
    shown = CliRunner().invoke(cli, ["doctor", "--home", str(tmp_path)])

    assert shown.exit_code == 1
    assert "chmod 600" in shown.output


class _Odd(Check):
    about = "odd"

    def __init__(self, raises: BaseException | None = None) -> None:
        self._raises = raises

    def findings(self) -> Iterable[Finding]:
        if self._raises is not None:
            raise self._raises
        threading.Event().wait()
        yield self.ok("never")


def test_a_check_that_hangs_is_unknown_and_holds_up_no_other() -> None:
    """Both are told, in order."""
    found = examine([_Odd(), _Odd(Unavailable("away"))], timeout_s=0.2)

    assert [f.outcome for f in found] == ["unknown", "unknown"]
    assert "no answer within 0.2 s" in found[0].said
    assert found[1].said == "away"
    assert not is_sound(found)


@pytest.mark.parametrize(
    ("skew_s", "outcome"),
    [(0, "ok"), (-3, "ok"), (20, "warning"), (-20, "warning"), (90, "missing")],
)
def test_a_clock_that_is_wrong_is_told(place: Place, skew_s: float, outcome: str) -> None:
    """Against the Date of the API server's own answer."""
    skew = timedelta(seconds=skew_s)
    [found] = Clock(place.api, lambda: datetime.now(UTC) + skew).findings()

    assert found.outcome == outcome
