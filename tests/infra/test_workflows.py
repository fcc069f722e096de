"""The workflows: pinned, least rights, nothing interpolated into scripts, commands that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stand_in.command_lines import mendloop_lines, problem

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
IDS = [path.stem for path in WORKFLOWS]


def steps(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every step with the name of its job."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [(name, step) for name, job in jobs.items() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    """A tag can be moved; the comment says which release the commit is. One release per action."""
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"^\s*(?:- )?uses: (\S+)(.*)$", text, re.MULTILINE)

    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    pins = {action.partition("@")[0]: set() for action, _ in uses}  # type: dict[str, set[str]]
    for workflow in WORKFLOWS:
        for name, commit in re.findall(r"uses: (\S+)@(\S+)", workflow.read_text(encoding="utf-8")):
            pins.setdefault(name, set()).add(commit)
    assert all(len(commits) == 1 for commits in pins.values())


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_jobs_get_the_rights_that_they_name(path: Path) -> None:
    """Reading the repository, unless a job says more; every job ends by itself."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))

    assert workflow["permissions"] == {"contents": "read"}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] > 0, name
        written = {k for k, v in job.get("permissions", {}).items() if v == "write"}
        assert written <= {"packages", "id-token", "attestations"}, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_nothing_from_outside_becomes_part_of_a_script(path: Path) -> None:
    """Inputs reach scripts as environment variables; what is inserted into text is run."""
    for job, step in steps(path):
        assert "${{" not in step.get("run", ""), f"{job}: {step.get('name')}"
        if "checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False, job


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_scripts_are_shell(path: Path) -> None:
    """As far as bash tells without running them."""
    for job, step in steps(path):
        if "run" in step:
            done = subprocess.run(["bash", "-n"], input=step["run"], text=True, capture_output=True)
            assert done.returncode == 0, f"{job}: {done.stderr}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=IDS)
def test_mendloop_understands_what_it_is_told(path: Path) -> None:
    """Subcommands and options exist, and none that is needed is missing."""
    lines = [line for _, step in steps(path) for line in mendloop_lines(step.get("run", ""))]

    assert lines
    assert not [found for line in lines if (found := problem(line))]


def test_what_ci_runs_is_what_a_change_must_pass() -> None:
    """The workflow and `.ci/run` name the same checks and the same rehearsal."""
    local = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    hosted = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    scenarios = [
        re.findall(r"simulate ((?:[\w-]+[ \\\n]+)+?)--jobs", text)[0] for text in (local, hosted)
    ]

    assert len({tuple(re.findall(r"[a-z][\w-]+", found)) for found in scenarios}) == 1
    for word in ("make setup", "make check", "make test", ".ci/check_report.py"):
        assert word in local
        assert word in hosted


def test_the_images_that_are_built_are_those_there_are() -> None:
    """Targets of the Dockerfile."""
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    targets = workflow["jobs"]["image"]["strategy"]["matrix"]["target"]
    dockerfile = (ROOT / "infra" / "docker" / "Dockerfile").read_text(encoding="utf-8")

    assert set(targets) <= set(re.findall(r"^FROM \S+ AS (\w+)", dockerfile, re.MULTILINE))


def test_delivery_goes_from_tests_to_promotion_in_order() -> None:
    """No job can be reached around the one before it."""
    path = ROOT / ".github" / "workflows" / "deliver-model.yml"
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]

    assert list(jobs) == ["code", "data", "train", "staging", "canary", "promote"]
    assert jobs["train"]["needs"] == ["code", "data"]
    assert jobs["staging"]["needs"] == "train"
    assert "staging" in jobs["canary"]["needs"]
    assert jobs["promote"]["needs"] == "canary"
    assert not [name for name, job in jobs.items() if "if" in job]


@pytest.mark.skipif(shutil.which("actionlint") is None, reason="actionlint is not on the PATH")
def test_actionlint_has_nothing_to_say() -> None:
    """Types of expressions, contexts, shells."""
    done = subprocess.run(
        ["actionlint", *map(str, WORKFLOWS)], capture_output=True, text=True, cwd=ROOT
    )

    assert done.returncode == 0, done.stdout


def test_both_ways_to_run_checkov_run_the_same_one() -> None:
    """A rule that one version has and the other has not would fail for some only."""
    named = {
        place: re.findall(r"checkov==([\d.]+)", (ROOT / place).read_text(encoding="utf-8"))
        for place in ("Makefile", ".github/workflows/ci.yml")
    }

    assert len({version for found in named.values() for version in found}) == 1
    assert all(named.values())
