"""The other ways to look after a model do what they stand for, in the same worlds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agents.ports import Desk
from simulations.baselines import BASELINES
from simulations.baselines.always_roll_back import AlwaysRollBack
from simulations.baselines.calendar import Calendar
from simulations.baselines.operator import Operator
from simulations.baselines.textbook import Textbook
from simulations.baselines.threshold_canary import CHECKS, INTERVAL_S, ThresholdCanary
from simulations.effects import Standing
from simulations.population import CHANGED
from simulations.releases import Release
from simulations.world import World
from tools.errors import Unavailable
from tools.managed_model import ManagedModel


def _run(
    world: World,
    operator: Operator,
    *,
    ticks: int,
    hours: int = 6,
    seconds: float = 10.0,
    until: Callable[[Standing], bool] = lambda standing: False,
) -> Standing:
    for _ in range(ticks):
        world.step(hours=hours, seconds=seconds)
        with world.own():
            operator.tick()
        if until(world.standing()):
            break
    return world.standing()


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_every_baseline_leaves_a_target_served(tmp_path: Path, name: str) -> None:
    """Whatever it does, all traffic goes to a champion whose server answers."""
    world = World(tmp_path)
    standing = _run(world, BASELINES[name](world.document, world.desk()), ticks=12)

    assert dict(standing.shares) == {standing.aliases["champion"]: 100}
    assert standing.shares.keys() <= standing.servable
    assert world.users.failed.get("", 0) == 0


def test_the_calendar_retrains_by_the_clock_and_releases_at_once(tmp_path: Path) -> None:
    """Nothing is wrong, and still there is a new champion for each period."""
    world = World(tmp_path)
    operator = Calendar(world.document, world.desk(), every=timedelta(days=1))
    standing = _run(world, operator, ticks=16)

    assert int(standing.aliases["champion"]) >= 3
    assert "challenger" not in standing.aliases


def test_the_textbook_rule_retrains_without_any_drift(tmp_path: Path) -> None:
    """KS p < 0.05 on any of four features of each window: false alarms come by themselves."""
    world = World(tmp_path, rows_per_hour=80)
    standing = _run(world, Textbook(world.document, world.desk()), ticks=24)

    assert int(standing.aliases["champion"]) > 1


@pytest.mark.parametrize(
    ("release", "champion"),
    [
        (Release(), "2"),
        (Release(error_rate=0.05), "1"),
        (Release(slow_rate=0.05), "1"),
        (Release(starts=False), "1"),
        (Release(model=CHANGED), "2"),
    ],
)
def test_the_threshold_canary_judges_ratios_and_nothing_else(
    tmp_path: Path, release: Release, champion: str
) -> None:
    """Errors and slow answers send a version back; worse predictions go through."""
    world = World(tmp_path)
    operator = ThresholdCanary(world.document, world.desk())
    world.submit_challenger(release)
    standing = _run(
        world,
        operator,
        ticks=30,
        hours=1,
        seconds=INTERVAL_S,
        until=lambda standing: "challenger" not in standing.aliases,
    )

    assert standing.aliases["champion"] == champion
    assert "challenger" not in standing.aliases
    assert dict(standing.shares) == {champion: 100}


def test_the_threshold_canary_counts_missing_figures_as_failures(tmp_path: Path) -> None:
    """A good version is sent back because nobody could measure it."""
    world = World(tmp_path)
    world.metrics.dark = "connection refused"
    world.submit_challenger(Release())
    operator = ThresholdCanary(world.document, world.desk())
    standing = _run(world, operator, ticks=3 * CHECKS, hours=1, seconds=INTERVAL_S)

    assert dict(standing.aliases) == {"champion": "1"}


@pytest.mark.parametrize("release", [Release(error_rate=0.05), Release(model=CHANGED)])
def test_whoever_always_rolls_back_returns_to_the_version_before(
    tmp_path: Path, release: Release
) -> None:
    """The release takes all traffic unexamined, gets worse in use, and goes."""
    world = World(tmp_path)
    operator = AlwaysRollBack(world.document, world.desk())
    version = world.submit_challenger(release)
    met = _run(
        world,
        operator,
        ticks=10,
        seconds=60.0,
        until=lambda standing: standing.aliases["champion"] == version,
    )
    standing = _run(world, operator, ticks=20, seconds=60.0)

    assert met.aliases["champion"] == version
    assert standing.aliases["champion"] == "1"
    assert dict(standing.shares) == {"1": 100}


def test_a_port_that_fails_is_met_again(tmp_path: Path) -> None:
    """An outage in the middle of a release delays it."""
    world = World(tmp_path)
    failing = {"left": 3}

    def registry_down(call: str) -> None:
        if call == "registry.set_alias:before" and failing["left"]:
            failing["left"] -= 1
            raise Unavailable("the registry does not answer")

    world.submit_challenger(Release())
    operator: Callable[[ManagedModel, Desk], Operator] = Calendar
    acting = operator(world.document, world.desk())
    world.fault = registry_down
    for _ in range(12):
        world.step()
        acting.tick()

    assert failing["left"] == 0
    assert world.standing().aliases["champion"] == "2"
