"""``mendloop simulate``: finds scenarios, writes templates, reports, ends with the right code."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from simulations.cli.simulate import simulate
from simulations.scenario import Scenario
from simulations.shipped import find, shipped
from simulations.template import write_template
from tools.documents import load_document
from tools.errors import Invalid, Refused

QUIET = """
apiVersion: mendloop.dev/v1alpha1
kind: Scenario
metadata: {name: quiet}
spec:
  description: Nothing happens.
  world: {duration: 1d, history: 4d}
  truth: {kind: nothing}
"""
UNSEEN = QUIET.replace("name: quiet", "name: unseen").replace(
    "truth: {kind: nothing}",
    "faults: [{kind: label_drift, onset: 23h}]\n  truth: {kind: fault, expect: [detected]}",
)


def test_what_is_shipped_can_be_read_and_its_documents_are_valid() -> None:
    names = [scenario.name for scenario in shipped()]
    assert len(names) == len(set(names))
    assert [s.name for _, s in find((), is_all=True)] == sorted(names)


def test_the_template_is_a_scenario_and_is_never_written_over(tmp_path: Path) -> None:
    path = write_template("my-incident", tmp_path)
    assert load_document(path, Scenario).name == "my-incident"
    with pytest.raises(Refused, match="exists already"):
        write_template("my-incident", tmp_path)
    with pytest.raises(Invalid, match="NAME"):
        write_template("My incident", tmp_path)


def test_an_unknown_name_is_refused_with_what_is_near() -> None:
    with pytest.raises(Invalid, match=r"no shipped scenario .*did you mean .*frozen-feed"):
        find(("frozen",))
    with pytest.raises(Invalid, match="name a scenario"):
        find(())


def test_a_run_prints_its_score_writes_its_reports_and_fails_with_its_replay(
    tmp_path: Path,
) -> None:
    """One scenario passes and one cannot: exit code 1, and every report says which and how."""
    documents = tmp_path / "scenarios"
    documents.mkdir()
    (documents / "quiet.yaml").write_text(QUIET, encoding="utf-8")
    (documents / "unseen.yaml").write_text(UNSEEN, encoding="utf-8")
    report, junit = tmp_path / "report", tmp_path / "junit.xml"
    asked = [str(documents), "--json", "--report", str(report), "--junit", str(junit)]
    done = CliRunner().invoke(simulate, asked)

    assert done.exit_code == 1, done.output
    told = json.loads(done.stdout)
    quiet, unseen = told["scenarios"]
    assert set(quiet) == {
        "name", "seed", "kind", "detected", "diagnosed", "mitigated", "false_actions",
        "collateral", "harm", "harm_by_baseline", "time_to_detect_s", "time_to_repair_s",
        "violations",
    }  # fmt: skip
    assert (quiet["name"], quiet["harm"], quiet["violations"]) == ("quiet", 0.0, 0)
    assert (unseen["detected"], unseen["time_to_detect_s"]) == (False, None)
    (failed,) = told["totals"]["failed"]
    assert failed["replay"] == f"mendloop simulate {documents / 'unseen.yaml'} --seed 0"
    assert json.loads((report / "report.json").read_text(encoding="utf-8")) == told
    assert "unseen-0.html" in (report / "index.html").read_text(encoding="utf-8")
    (failure,) = ElementTree.parse(junit).findall(".//failure")
    assert "not detected" in failure.get("message", "")


def test_a_page_embeds_no_markup_from_a_document(tmp_path: Path) -> None:
    """Names and descriptions come from files: they are text, never markup or script."""
    document = QUIET.replace("Nothing happens.", "'</script><script>alert(1)</script>'")
    (tmp_path / "quiet.yaml").write_text(document, encoding="utf-8")
    asked = [str(tmp_path / "quiet.yaml"), "--report", str(tmp_path / "report")]
    assert CliRunner().invoke(simulate, asked).exit_code == 0
    page = (tmp_path / "report" / "quiet-0.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
