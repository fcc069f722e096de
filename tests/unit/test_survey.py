"""One question per port and tick: who is asked, about whom, and what a silent port costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.memory import TargetMemory
from agents.monitor.observe import observe
from agents.survey import Glance, survey
from simulations.healthy_fleet import HealthyFleet
from tools.errors import Unavailable
from tools.metrics import NoReading


class Asked:
    """Stands for a port that answers for many, and notes what it was asked."""

    def __init__(self, port: Any, *, is_silent: bool = False) -> None:
        self._port, self._is_silent = port, is_silent
        self.questions: list[list[str]] = []

    def _answer(self, names: Collection[str], verb: str) -> dict[str, Any]:
        self.questions.append(sorted(names))
        if self._is_silent:
            raise Unavailable("it does not answer")
        return {name: getattr(self._port, verb)(name) for name in names}

    def read_many(self, targets: Collection[str]) -> Mapping[str, Any]:
        return self._answer(targets, "read")

    def extents(self, targets: Collection[str]) -> Mapping[str, Any]:
        return self._answer(targets, "extent")

    def aliased(self, models: Collection[str]) -> Mapping[str, Any]:
        found = self._answer(models, "versions")
        return {m: {a: v for v in found[m] for a in v.aliases} for m in found}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


@pytest.fixture
def fleet(tmp_path: Path) -> HealthyFleet:
    world = HealthyFleet(tmp_path, 3)
    world.next_window()
    return world


def asked(fleet: HealthyFleet, *, is_silent: bool = False) -> tuple[Asked, Asked, Asked]:
    """The three ports."""
    return (
        Asked(fleet.metrics, is_silent=is_silent),
        Asked(fleet.log, is_silent=is_silent),
        Asked(fleet.registry, is_silent=is_silent),
    )


def test_each_port_is_asked_once_about_all(fleet: HealthyFleet) -> None:
    """And the look that follows finds the same as if it had asked by itself."""
    metrics, log, registry = asked(fleet)
    seats = [
        (each.model, replace(each.desk, metrics=metrics, log=log, registry=registry))
        for each in fleet.targets()
    ]
    found = survey(seats)
    targets = [model.target for model, _ in seats]

    assert metrics.questions == log.questions == [targets]
    assert registry.questions == [[model.spec.model for model, _ in seats]]
    for model, desk in seats:
        before = observe(desk, model, TargetMemory(), "")
        assert observe(desk, model, TargetMemory(), "", None, found[model.target]) == before


def test_what_was_told_is_not_asked_again(fleet: HealthyFleet) -> None:
    """An idle model costs no question of its own, but for the route and its servers."""
    target = fleet.targets()[0]
    (glance,) = survey([(target.model, replace(target.desk, **ports(asked(fleet))))]).values()

    class Silent:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

    silent = replace(target.desk, metrics=Silent(), registry=Silent())
    observed = observe(silent, target.model, TargetMemory(), "", None, glance)

    assert observed.missing == ""
    assert observed.served.champion is not None


def test_a_silent_port_leaves_the_question_to_each_look(fleet: HealthyFleet) -> None:
    """The survey concludes nothing from silence."""
    target = fleet.targets()[0]
    silent = replace(target.desk, **ports(asked(fleet, is_silent=True)))

    assert survey([(target.model, silent)]) == {target.model.target: Glance()}


def test_no_reading_is_an_answer(fleet: HealthyFleet) -> None:
    """It is not asked for once more."""
    target = fleet.targets()[0]
    metrics = Asked(fleet.metrics)
    unknown = Glance(reading=NoReading(at_s=0.0, reason="Prometheus is down"))
    observe(replace(target.desk, metrics=metrics), target.model, TargetMemory(), "", None, unknown)

    assert metrics.questions == []


def ports(three: tuple[Asked, Asked, Asked]) -> dict[str, Any]:
    """By their names at the desk."""
    return dict(zip(("metrics", "log", "registry"), three, strict=True))
