"""What Envoy is told is what the document says; what it could not be told is refused."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.envoy import EnvoyTraffic
from tools.envoy_bootstrap import binary, bootstrap
from tools.envoy_config import cluster_name, clusters, routes, version_of, virtual_host
from tools.errors import Conflict, Invalid, Refused, Unavailable
from tools.route_store import shape_error
from tools.virtual_service import virtual_service

Body = dict[str, Any]


def document(**route: Any) -> Body:
    body = virtual_service("default", "flights", host="flights", version="1", hosts=["flights"])
    body["spec"]["http"][0].update(route)
    return body


def rendered(**route: Any) -> Body:
    [found] = virtual_host(document(**route))["routes"]
    return dict(found)


def test_a_whole_configuration_is_accepted_by_envoy(tmp_path: Path) -> None:
    """Everything that can be rendered, checked by Envoy itself in validation mode."""
    endpoints = {"default/flights": {"1": "127.0.0.1:80", "2": "127.0.0.1:81"}}
    body = document(
        match=[
            {"uri": {"exact": "/predict"}},
            {"uri": {"regex": "/v[0-9]+/.*"}, "headers": {"x": {}}},
        ],
        route=[
            {"destination": {"host": "flights", "subset": "v1"}, "weight": 95},
            {"destination": {"host": "flights", "subset": "v2"}, "weight": 5},
        ],
        mirror={"host": "flights", "subset": "v2"},
        mirrorPercentage={"value": 12.5},
        retries={"attempts": 1, "perTryTimeout": "500ms"},
    )
    configuration = bootstrap(tmp_path, epoch="test", port=0, objectives_ms=[123])
    # In validation mode Envoy reads no files: the same resources, stated in place.
    [route_configuration] = routes([virtual_host(body)], 7)["resources"]
    route_configuration.pop("@type")
    resources = clusters(endpoints)["resources"]
    for resource in resources:
        resource.pop("@type")
    static = configuration["static_resources"]
    manager = static["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager.pop("rds")
    manager["route_config"] = route_configuration
    static["clusters"] = resources
    configuration.pop("dynamic_resources")
    (tmp_path / "bootstrap.json").write_text(json.dumps(configuration))
    command = [binary(), "--mode", "validate", "-c", tmp_path / "bootstrap.json"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)

    assert outcome.returncode == 0, outcome.stderr[-2000:]


def test_rendering_is_a_function_of_its_inputs() -> None:
    """The order of documents does not matter, the revision does."""
    one = virtual_host(document())
    other = {**one, "name": "default/other", "domains": ["other"]}

    assert routes([one, other], 3) == routes([other, one], 3)
    assert routes([one], 3) != routes([one], 4)


def test_weights_of_zero_get_no_requests() -> None:
    """A destination without a share needs no server."""
    entries = [
        {"destination": {"host": "flights", "subset": "v1"}, "weight": 100},
        {"destination": {"host": "flights", "subset": "v2"}, "weight": 0},
    ]

    assert rendered(route=entries)["route"]["cluster"] == "default/flights/v1"


def test_durations_and_retries_are_translated() -> None:
    """Istio's spelling in, Envoy's out."""
    action = rendered(timeout="1500ms", retries={"attempts": 0, "perTryTimeout": "1m"})["route"]

    assert action["timeout"] == "1.500s"
    assert action["retry_policy"]["num_retries"] == 0
    assert action["retry_policy"]["per_try_timeout"] == "60.000s"


def test_nothing_that_may_have_reached_a_server_is_sent_again_by_default() -> None:
    """Retries must not hide what a version answers, nor predict twice."""
    policy = rendered()["route"]["retry_policy"]

    assert policy["retry_on"] == "connect-failure,refused-stream,reset-before-request"
    assert policy["num_retries"] == 2


def test_a_short_host_has_its_cluster_names() -> None:
    """Clients may use any of the names that Kubernetes would resolve."""
    assert virtual_host(document())["domains"] == [
        "flights",
        "flights.default",
        "flights.default.svc",
        "flights.default.svc.cluster.local",
    ]


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ({"fault": {"abort": {}}}, r"http\[0\].fault"),
        ({"rewrite": {"uri": "/"}}, r"http\[0\].rewrite"),
        ({"timeout": "soon"}, r"http\[0\].timeout"),
        ({"timeout": 5}, r"http\[0\].timeout"),
        ({"match": [{"sourceLabels": {"a": "b"}}]}, r"http\[0\].match.sourceLabels"),
        ({"match": [{"uri": {"exact": "/a", "prefix": "/b"}}]}, r"http\[0\].match.uri"),
        ({"retries": {"backoff": "1s"}}, r"http\[0\].retries.backoff"),
        ({"route": []}, r"http\[0\].route"),
    ],
)
def test_what_envoy_cannot_be_told_is_refused_by_field(route: Body, field: str) -> None:
    """Never left out silently."""
    with pytest.raises(Refused, match=rf"default/flights, spec\.{field}"):
        virtual_host(document(**route))


def test_one_host_belongs_to_one_document() -> None:
    """Envoy would refuse all routes together; the second document is refused instead."""
    one = virtual_host(document())

    with pytest.raises(Refused, match="belongs to default/flights already"):
        routes([one, {**one, "name": "default/copy"}], 1)


@pytest.mark.parametrize("version", ["1", "12", "2024-01", "v1"])
def test_a_cluster_name_tells_target_and_version(version: str) -> None:
    """Metrics find their way back."""
    assert version_of(cluster_name("default/flights", version)) == ("default/flights", version)
    assert version_of("xds_cluster") is None


@pytest.fixture
def traffic(tmp_path: Path) -> EnvoyTraffic:
    """The adapter while no Envoy runs: documents are kept, and rendered for the next start."""
    traffic = EnvoyTraffic(tmp_path / "routes", tmp_path / "envoy", follow_within_s=0.2)
    for target in ("default/flights", "default/hotels"):
        traffic.publish(target, "1", "127.0.0.1:80")
        traffic.publish(target, "2", "127.0.0.1:81")
    traffic.create(document())
    return traffic


def rendered_hosts(tmp_path: Path) -> list[str]:
    rds = json.loads((tmp_path / "envoy" / "rds.json").read_text())
    return [host["name"] for host in rds["resources"][0]["virtual_hosts"]]


def test_without_envoy_documents_are_written_and_nothing_is_said_of_it(
    traffic: EnvoyTraffic, tmp_path: Path
) -> None:
    """The next Envoy starts with them; whether they are in force is unknown."""
    read = traffic.read("default", "flights")

    version = read.resource_version
    assert traffic.applied("default", "flights", resource_version=version) is None
    assert rendered_hosts(tmp_path) == ["default/flights"]


def test_a_broken_file_is_a_matter_for_people_and_keeps_its_routes(
    traffic: EnvoyTraffic, tmp_path: Path
) -> None:
    """It is refused by name, the others go on, and the requests of both are routed as before."""
    (tmp_path / "routes" / "default.flights.json").write_text("{ half")
    hotels = virtual_service("default", "hotels", host="hotels", version="1", hosts=["hotels"])
    traffic.create(hotels)

    with pytest.raises(Refused, match=r"default\.flights\.json is not JSON"):
        traffic.read("default", "flights")
    assert rendered_hosts(tmp_path) == ["default/flights", "default/hotels"]
    with pytest.raises(Refused, match="still gets requests"):
        traffic.withdraw("default/flights", "1")


def test_a_removed_document_takes_its_routes_along(traffic: EnvoyTraffic, tmp_path: Path) -> None:
    """And its revision is not used again by the document that comes after it."""
    before = traffic.read("default", "flights")
    (tmp_path / "routes" / "default.flights.json").unlink()

    with pytest.raises(Invalid, match="there is no VirtualService default/flights"):
        traffic.read("default", "flights")
    assert rendered_hosts(tmp_path) == []
    after = traffic.create(document())
    assert int(after.resource_version) > int(before.resource_version)


def test_a_lost_ledger_costs_a_revision_and_no_more(traffic: EnvoyTraffic, tmp_path: Path) -> None:
    """Without it every document counts as edited: decisions made before are sent back."""
    before = traffic.read("default", "flights")
    (tmp_path / "routes" / ".revisions.json").write_text("garbage")
    after = traffic.read("default", "flights")

    assert int(after.resource_version) > int(before.resource_version)
    with pytest.raises(Conflict):
        traffic.patch("default", "flights", [], resource_version=before.resource_version)


def test_a_hand_edit_to_a_version_without_a_server_is_not_followed(
    traffic: EnvoyTraffic, tmp_path: Path
) -> None:
    """The requests stay where they were; the document is shown as it is."""
    path = tmp_path / "routes" / "default.flights.json"
    path.write_text(path.read_text().replace('"v1"', '"v9"'))
    read = traffic.read("default", "flights")

    assert "v9" in json.dumps(read.body)
    assert "v9" not in (tmp_path / "envoy" / "rds.json").read_text()


def test_a_full_disk_changes_nothing(traffic: EnvoyTraffic, tmp_path: Path) -> None:
    """A write that cannot be stored is Unavailable, and the document stands."""
    before = traffic.read("default", "flights")
    # No room for the new file: its name is taken by a folder.
    (tmp_path / "routes" / f".default.flights.json.{os.getpid()}.new").mkdir()
    operations = [{"op": "replace", "path": "/spec/http/0/timeout", "value": "9s"}]

    with pytest.raises(Unavailable, match="cannot write"):
        traffic.patch("default", "flights", operations, resource_version=before.resource_version)
    assert traffic.read("default", "flights") == before


@pytest.mark.parametrize("name", ["", "../x", "a b", "UPPER"])
def test_a_document_needs_a_proper_name(traffic: EnvoyTraffic, name: str) -> None:
    """It becomes a file name."""
    body = document()
    body["metadata"]["name"] = name

    with pytest.raises(Invalid, match=r"metadata\.name"):
        traffic.create(body)


def test_a_delegate_can_be_kept_and_has_no_route_of_its_own() -> None:
    """Istio gives it hosts by its root; on one machine there is nobody to do that."""
    body = document()
    body["spec"].pop("hosts")

    assert shape_error(body, "default/flights") == ""
    with pytest.raises(Refused, match="delegate"):
        virtual_host(body)
