"""``mendloop pipelines`` and ``mendloop release``, as a delivery pipeline calls them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from infra.embedded.home import Home
from orchestrator.assembly import embedded_registry, embedded_traffic
from orchestrator.cli.main import cli
from orchestrator.cli.pipelines import _PIPELINES
from tests.stand_in.kubeflow_api import Pipelines, kubeflow_api
from tools.registry import CHALLENGER, CHAMPION, GateResult, Registration

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights" / "model.yaml"


class Installation:
    """A Platform document whose pipelines run on a Kubeflow stand-in."""

    def __init__(self, folder: Path, url: str, known: Pipelines) -> None:
        self.known, self.home = known, Home(folder / "home").prepare()
        self.config, self.data = folder / "platform.yaml", folder / "rows.csv"
        self.data.write_text("a,b\n1,2\n")
        document = yaml.safe_load((EXAMPLE.parents[1] / "platforms" / "machine.yaml").read_text())
        document["spec"]["home"] = str(self.home.root)
        outputs = str(folder / "runs")
        document["spec"]["pipelines"] = {"kubeflow": {"url": url, "outputs": outputs}}
        self.config.write_text(yaml.safe_dump(document))
        self.registry = embedded_registry(self.home)

    def make(self, key: str, folder: Path) -> str:
        """A version that passed its gates."""
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_text(key)
        registration = Registration(
            model="flights",
            artifact=folder,
            data_digest="d" * 64,
            code_version="abc",
            gates=(GateResult(name="roc_auc", value=0.8, limit=0.7, passed=True),),
            metrics={},
            parameters={},
            reference={},
        )
        return self.registry.register(registration, key=key).version

    def call(self, *arguments: str) -> Result:
        return CliRunner().invoke(
            cli, [*arguments, "--config", str(self.config)], standalone_mode=False
        )


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for all tests, because a database of MLflow takes seconds to make; with a champion."""
    folder = tmp_path_factory.mktemp("installation")
    with kubeflow_api() as (url, known):
        made = Installation(folder, url, known)
        made.registry.set_alias("flights", CHAMPION, made.make("first", folder / "a"), key="k")
        yield made


def test_the_pipelines_that_the_command_line_knows_are_those_there_are() -> None:
    """The list is repeated so that `--help` does not import Kubeflow."""
    from pipelines.catalog import PIPELINES

    assert set(_PIPELINES) == set(PIPELINES)


def test_what_is_compiled_is_what_kubeflow_reads(tmp_path: Path) -> None:
    """kfp itself loads it; the image is the one that was asked for, and no step is cached."""
    from kfp.components import load_component_from_file

    out, image = tmp_path / "retrain.yaml", "registry.example.com/steps@sha256:" + "0" * 64
    asked = ["pipelines", "compile", "retrain", "--out", str(out), "--image", image]
    CliRunner().invoke(cli, asked, standalone_mode=False, catch_exceptions=False)
    loaded = load_component_from_file(str(out))
    spec = yaml.safe_load(out.read_text())

    assert loaded.pipeline_spec.pipeline_info.name == "retrain"
    executors = spec["deploymentSpec"]["executors"].values()
    assert {e["container"]["image"] for e in executors} == {image}
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"].values()
    assert not any(task["cachingOptions"] for task in tasks)


def test_training_is_submitted_once_and_its_version_reported(
    installation: Installation, tmp_path: Path
) -> None:
    """From submit to the challenger, then offered again, waited for, and promoted by the loop."""
    asked = ("pipelines", "submit", str(EXAMPLE), "--data", str(installation.data), "--json")
    first, second = installation.call(*asked), installation.call(*asked)
    key = json.loads(first.output)["key"]
    assert first.output == second.output
    assert [run.display_name for run in installation.known.runs] == [key]

    installation.make(key, tmp_path / "b")
    installation.registry.set_alias("flights", CHALLENGER, "2", key=key)
    folder = next((installation.home.root.parent / "runs").glob(f"{key}*"))
    (folder / "outputs.json").write_text(json.dumps({"passed": True}))
    installation.known.tell(installation.known.run(key), "SUCCEEDED", ("register", "SUCCEEDED", ""))
    done = installation.call(*asked, "--wait", "1m")
    assert json.loads(done.output)["version"] == "2"

    route = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "flights", "namespace": "default"},
        "spec": {
            "hosts": ["flights"],
            "http": [
                {
                    "route": [
                        {"destination": {"host": "flights", "subset": "v1"}, "weight": 90},
                        {"destination": {"host": "flights", "subset": "v2"}, "weight": 10},
                    ]
                }
            ],
        },
    }
    traffic = embedded_traffic(installation.home)
    for version in ("1", "2"):
        traffic.publish("default/flights", version, "127.0.0.1:9")
    traffic.create(route)
    wait = ("release", "wait", str(EXAMPLE), "--version", "2", "--timeout", "1s")
    shared = installation.call(*wait, "--share", "10")
    assert shared.return_value in (None, 0)
    assert "canary, 10 % of the traffic" in shared.output
    late = installation.call(*wait)
    assert late.return_value == 1
    assert "not decided within 1s" in late.stderr


def test_a_failed_run_and_a_withdrawn_version_are_exit_code_1(
    installation: Installation, tmp_path: Path
) -> None:
    """A delivery pipeline stops there."""
    asked = ("pipelines", "submit", str(EXAMPLE), "--data", str(installation.data), "--key", "k")
    installation.call(*asked)
    installation.known.tell(installation.known.run("k"), "FAILED", ("train", "FAILED", "no memory"))
    failed = installation.call(*asked, "--wait", "1m")
    version = installation.make("k9", tmp_path / "b")
    withdrawn = installation.call("release", "wait", str(EXAMPLE), "--version", version)

    assert failed.return_value == 1
    assert "no memory" in failed.output
    assert withdrawn.return_value == 1
    assert f"version {version} of flights: registered" in withdrawn.output


def test_a_wrong_duration_is_named(installation: Installation) -> None:
    """Before anything is asked of anybody."""
    found = CliRunner().invoke(
        cli,
        ["release", "wait", str(EXAMPLE), "--version", "1", "--timeout", "soon", "--config", "x"],
        standalone_mode=False,
    )

    assert "expected a duration such as 30m or 6h, got 'soon'" in str(found.exception)


def test_a_check_of_the_data_runs_by_kubeflows_clock(installation: Installation) -> None:
    """Set once however often it is asked for; shown as it is; removed; it trains nothing."""
    place = ["pipelines", "schedule"]
    asked = [str(EXAMPLE), "--data", str(installation.data), "--cron", "0 4 * * 1"]
    said = [installation.call(*place, "set", *asked).output for _ in range(2)]
    shown = installation.call(*place, "show", *asked, "--json")
    [made] = installation.known.recurring
    other = installation.call(*place, "show", *asked[:-1], "0 5 * * 1")
    gone = installation.call(*place, "remove", str(EXAMPLE))

    assert said == [
        "default/flights/check-data: set\n",
        "default/flights/check-data: in force already\n",
    ]
    assert json.loads(shown.output)["standing"] == "in force"
    assert made.trigger["cron_schedule"]["cron"] == "0 0 4 * * 1"
    assert made.runtime_config["parameters"]["data_uri"] == str(installation.data)
    assert other.output == "default/flights/check-data: not in force\n"
    assert gone.output == "default/flights/check-data: removed\n"
    assert installation.known.recurring == []


def test_a_schedule_that_says_no_time_or_two_is_refused(installation: Installation) -> None:
    place = ["pipelines", "schedule", "set", str(EXAMPLE), "--data", str(installation.data)]
    for wrong in ([], ["--cron", "0 4 * * 1", "--every", "6h"], ["--cron", "whenever"]):
        assert installation.call(*place, *wrong).exception is not None
    assert installation.known.recurring == []
