"""The result of a rehearsal as JUnit XML, for the test pages of CI systems."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from simulations.reports.figures import replay_command
from simulations.sweep import Played


def write_junit(path: Path, played: Sequence[Played]) -> None:
    """One test case per run; the reasons and the command that replays it in each failure."""
    failed = [each for each in played if not each.mendloop.score.has_passed]
    suite = ElementTree.Element(
        "testsuite",
        name="mendloop simulate",
        tests=str(len(played)),
        failures=str(len(failed)),
        errors="0",
        time=f"{sum(each.mendloop.wall_s for each in played):.3f}",
    )
    for each in played:
        score = each.mendloop.score
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"simulate.{score.kind}",
            name=f"{score.name} seed {score.seed}",
            time=f"{each.mendloop.wall_s:.3f}",
        )
        if score.failures:
            failure = ElementTree.SubElement(case, "failure", message="; ".join(score.failures))
            failure.text = f"replay: {replay_command(each)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
