"""Alert rules and dashboards: valid PromQL, tested alarms, and no series that nobody exposes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.metrics_words import WORDS
from serving.instruments import Instruments
from serving.log_writer import LogStatus
from tests.infra.programs import INFRA, ROOT, checked, helm, program
from tests.infra.promql import grouped, selected, series

RULES = sorted((INFRA / "prometheus" / "rules").glob("*.yaml"))
TESTS = sorted((INFRA / "prometheus" / "tests").glob("*.yaml"))
DASHBOARDS = sorted((INFRA / "grafana" / "dashboards").glob("*.json"))
ISTIO = {
    "istio_requests_total",
    "istio_request_duration_milliseconds_bucket",
    "istio_request_duration_milliseconds_count",
}
"""https://istio.io/latest/docs/reference/config/metrics/ (the names as Prometheus shows them)."""
ISTIO_LABELS = {
    "reporter",
    "destination_service_name",
    "destination_service_namespace",
    "destination_version",
    "response_code",
}
SCRAPED = {"instance", "job", "namespace", "pod", "le"}
"""What Prometheus adds while scraping in Kubernetes, and the bounds of histograms."""
PROMETHEUS = {"ALERTS"}


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def panels() -> Iterator[tuple[str, str]]:
    """(dashboard and panel, query)."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def recorded() -> dict[str, str]:
    """Recorded series and what they are made of."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def of_serving() -> dict[str, set[str]]:
    """The series of a model server and their labels, as it exposes them."""
    instruments = Instruments()
    instruments.observe("/predict", 200, 0.01)
    instruments.watch_log(lambda: LogStatus(queued=0, written=1, lost=0, problem=""))
    instruments.watch_info(lambda: {"version": "1"})
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(instruments.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def of_mendloop() -> dict[str, set[str]]:
    """mendloop's own series and their labels."""
    return {name: set(word.labels) for word in WORDS for name in word.series}


def exposed() -> dict[str, set[str]]:
    """Everything that somebody exposes, with its labels."""
    istio = dict.fromkeys(ISTIO, ISTIO_LABELS)
    return {**istio, **of_serving(), **of_mendloop()}


def expressions() -> list[tuple[str, str]]:
    """Every expression with where it stands."""
    return [(str(rule.get("alert") or rule["record"]), rule["expr"]) for rule in rules()] + list(
        panels()
    )


def test_promtool_takes_the_rules() -> None:
    """`promtool check rules`."""
    checked([program("promtool"), "check", "rules", *map(str, RULES)])


def test_the_alarms_go_off_when_they_should_and_only_then() -> None:
    """`promtool test rules`: time series go in, alarms come out."""
    checked([program("promtool"), "test", "rules", *map(str, TESTS)])


def test_every_alarm_has_a_test() -> None:
    """Including that it keeps still: the healthy cases expect no alarm at all."""
    tested = "\n".join(path.read_text(encoding="utf-8") for path in TESTS)

    for rule in rules():
        if "alert" in rule:
            assert rule["alert"] in tested, rule["alert"]


def test_every_alarm_says_how_bad_it_is_and_what_to_do() -> None:
    """Who is woken by it reads nothing else."""
    for rule in rules():
        if "alert" not in rule:
            continue
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert {"summary", "description"} <= set(rule["annotations"]), rule["alert"]
        runbook = rule["annotations"].get("runbook", "")
        assert runbook or rule["labels"]["severity"] != "critical" or "Look at" in str(rule)
        page, _, anchor = runbook.partition("#")
        if page:
            assert anchor in _anchors(ROOT / page), f"{rule['alert']}: {runbook}"


def test_no_expression_reads_what_nobody_exposes() -> None:
    """A renamed metric would leave a dashboard empty and an alarm silent for ever."""
    known = set(exposed()) | set(recorded()) | PROMETHEUS
    wrong = {where: series(each) - known for where, each in expressions() if series(each) - known}

    assert wrong == {}


def test_no_expression_asks_for_labels_that_a_series_lacks() -> None:
    """The same, one level down."""
    labels = exposed()
    of_all = SCRAPED.union(*labels.values())
    for where, expression in expressions():
        assert grouped(expression) <= of_all, where
        for name, asked in selected(expression):
            assert name not in labels or asked <= labels[name] | SCRAPED, f"{where}: {name}"


def test_promtool_takes_every_query_of_the_dashboards(tmp_path: Path) -> None:
    """As rules, with Grafana's variables filled in."""
    variables = {"$__rate_interval": "5m", "$namespace": "default", "$model": "flights"}
    written = []
    for number, (_, expression) in enumerate(panels()):
        for name, value in variables.items():
            expression = expression.replace(name, value)
        assert "$" not in expression
        written.append({"record": f"panel:number_{number}", "expr": expression})
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": written}]}))

    checked([program("promtool"), "check", "rules", "--lint=none", str(file)])


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_whole(path: Path) -> None:
    """Panels lie beside each other, each is explained, and none is tied to one Prometheus."""
    board = json.loads(path.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert place["x"] + place["w"] <= 24
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"

    assert board["uid"] == path.stem
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_operators_object_has_all_rules() -> None:
    """The Prometheus Operator gets what promtool checked."""
    [made] = [
        e for e in helm({"prometheusRule": {"enabled": True}}) if e["kind"] == "PrometheusRule"
    ]
    groups = [yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for path in RULES]

    assert made["spec"]["groups"] == [group for each in groups for group in each]


def test_the_reader_of_expressions_finds_series_and_labels() -> None:
    """A check that overlooks a name proves nothing."""
    text = 'sum by (a, le) (rate(x_total{b="c{d}", e!~"f"}[5m] offset 1h)) / on (g) y:z > bool 1e3'

    assert series(text) == {"x_total", "y:z"}
    assert selected(text) == [("x_total", frozenset({"b", "e"}))]
    assert grouped(text) == {"a", "le", "g"}


def _anchors(page: Path) -> set[str]:
    """The headings of a document, as links name them; and none, for the page itself."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {""} | {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
