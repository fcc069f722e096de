"""The Compose stack, as far as it can be checked where no Docker runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.platform.document import Platform
from tests.infra.programs import INFRA, ROOT, checked, program
from tests.infra.standards import is_pinned
from tests.infra.test_infra_images import TEXT as DOCKERFILE
from tools.documents import load_document

COMPOSE = INFRA / "compose"
FILE = COMPOSE / "compose.yaml"
STACK = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
ROOTS = {"volumes-owner"}
"""Who is root, for a moment and without a network, to give volumes their owners."""
_WANTED = re.compile(r"\$\{(\w+):\?[^}]+\}")


def test_it_is_a_compose_file() -> None:
    """By the schema of https://github.com/compose-spec/compose-spec."""
    checked([program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(FILE)])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_restricted(name: str) -> None:
    """No root, no capabilities, a read-only disk, bounded memory, one well-known image."""
    service = SERVICES[name]
    user = str(service.get("user", "of the image"))
    is_ours = service["image"].startswith("mendloop-")

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert is_pinned(service["image"])
    assert is_ours == ("build" in service)
    assert is_ours or "@sha256:" in service["image"]
    assert (user.startswith("0:")) == (name in ROOTS)
    assert is_ours or re.fullmatch(r"\d+:\d+", user)
    assert name not in ROOTS or service["network_mode"] == "none"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_whether_it_is_well(name: str) -> None:
    """Those that others wait for; ours have it in the image, and those that end need none."""
    service = SERVICES[name]
    own, built = service.get("healthcheck", {}), service.get("build", {}).get("target", "")
    waits = [
        (other, how["condition"])
        for other, each in SERVICES.items()
        for needed, how in each.get("depends_on", {}).items()
        if needed == name
    ]

    if own.get("disable"):
        assert all(condition == "service_completed_successfully" for _, condition in waits)
    else:
        assert own.get("test") or re.search(rf"AS {built}\n(?:.*\n)*?HEALTHCHECK", DOCKERFILE)


def test_every_target_that_is_built_exists() -> None:
    """And from the repository's root, where .dockerignore lies."""
    for service in SERVICES.values():
        if "build" in service:
            build = service["build"]
            assert f" AS {build['target']}\n" in DOCKERFILE
            assert (COMPOSE / build["context"]).resolve() == ROOT
            assert (ROOT / build["dockerfile"]).is_file()


def test_nothing_secret_stands_in_a_file() -> None:
    """Every secret comes from .env, and nothing starts while one is missing."""
    wanted = set(_WANTED.findall(FILE.read_text(encoding="utf-8")))
    lines = (COMPOSE / ".env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert wanted == set(given)
    assert set(given.values()) == {""}
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            is_secret = re.search(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY", variable)
            assert not is_secret or _WANTED.fullmatch(value), f"{name}: {variable}"


def test_no_port_is_open_to_others() -> None:
    """A laptop in a café is not a production."""
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_everything_that_is_mounted_is_there() -> None:
    """Docker would make an empty folder of what is missing, and start."""
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).exists(), mount
                assert mount.endswith(":ro"), mount
            else:
                assert source in STACK["volumes"], mount


def test_mendloop_takes_its_document_and_has_time_to_stop() -> None:
    """The same check as at the start of `mendloop run`."""
    spec = load_document(COMPOSE / "mendloop" / "platform.yaml", Platform).spec
    mendloop = SERVICES["mendloop"]
    stop_s = int(mendloop["stop_grace_period"].removesuffix("s"))

    assert spec.grace.total_seconds() + 5 <= stop_s
    assert spec.journal.password_from is not None
    assert spec.journal.password_from.env in mendloop["environment"]
    assert spec.models.folder == Path("/etc/mendloop/models")
    assert f"127.0.0.1:8080:{spec.http.port}" in mendloop["ports"]


def test_prometheus_and_grafana_find_what_they_are_given(tmp_path: Path) -> None:
    """Rules, targets by the names of services, dashboards where the provider looks."""
    text = (COMPOSE / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8")
    local = tmp_path / "prometheus.yaml"
    local.write_text(text.replace("/etc/prometheus/rules", str(INFRA / "prometheus" / "rules")))
    checked([program("promtool"), "check", "config", str(local)])

    jobs = yaml.safe_load(text)["scrape_configs"]
    hosts = {t.split(":")[0] for job in jobs for c in job["static_configs"] for t in c["targets"]}
    provider = yaml.safe_load(
        (COMPOSE / "grafana/provisioning/dashboards/mendloop.yaml").read_text(encoding="utf-8")
    )["providers"][0]

    assert hosts <= {*SERVICES, "localhost"}
    assert (
        f"../grafana/dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    )
