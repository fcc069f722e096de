"""Makes of infra/ what is made: one source, several ways to install.

Definitions, rules and dashboards are copied into the Helm chart, which reads its own folder only;
the kustomize base and its components are what the chart makes.
.venv-infra/bin/python .ci/render_infra.py [FOLDER]; a test makes it again and compares.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import dashboards
import yaml

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
COPIED = {
    "crds": "helm/mendloop/crds",
    "prometheus/rules": "helm/mendloop/files/rules",
    "grafana/dashboards": "helm/mendloop/files/dashboards",
}
SAID = "# Made from infra/helm/mendloop by `make infra-render`; change it there.\n"


def rendered(values: dict[str, Any]) -> list[Any]:
    """The chart's objects."""
    script = str(ROOT / ".ci" / "render_chart.py")
    done = subprocess.run(
        [sys.executable, script, "infra/helm/mendloop", "mendloop", "mendloop", "-"],
        input=yaml.safe_dump(values),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if done.returncode:
        sys.exit(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kustomize(body: Any) -> Any:
    """The same without what only Helm's own releases bear."""
    for labels in (
        body["metadata"]["labels"],
        body.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {}),
    ):
        labels.pop("helm.sh/chart", None)
        if "app.kubernetes.io/managed-by" in labels:
            labels["app.kubernetes.io/managed-by"] = "kustomize"
    return body


def main(infra: Path) -> None:
    dashboards.write(infra / "grafana" / "dashboards")
    for source, copy in COPIED.items():
        shutil.rmtree(infra / copy, ignore_errors=True)
        made = infra / source
        shutil.copytree(made if made.exists() else INFRA / source, infra / copy)
    folder = infra / "kustomize"
    base = [of_kustomize(each) for each in rendered({})]
    config = next(each for each in base if each["metadata"]["name"] == "mendloop-config")
    deployment = next(each for each in base if each["kind"] == "Deployment")
    # Kustomize puts a digest into the name of the ConfigMap: a changed one is a new rollout.
    del deployment["spec"]["template"]["metadata"]["annotations"]
    acting = rendered({"access": {"level": "act"}})
    role = next(each for each in acting if each["metadata"]["name"] == "mendloop-models")
    del role["metadata"]["labels"]
    monitoring = rendered(
        {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
    )
    write(folder / "base" / "mendloop.yaml", [each for each in base if each is not config])
    write(folder / "base" / "platform.yaml", [yaml.safe_load(config["data"]["platform.yaml"])])
    write(folder / "components" / "act" / "role.yaml", [role])
    write(
        folder / "components" / "monitoring" / "monitoring.yaml",
        [of_kustomize(each) for each in monitoring if "coreos.com" in each["apiVersion"]],
    )
    shutil.copytree(INFRA / "crds", folder / "base" / "crds", dirs_exist_ok=True)


def write(path: Path, bodies: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "---\n".join(yaml.safe_dump(body, sort_keys=False, width=100) for body in bodies)
    path.write_text(SAID + text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else INFRA)
