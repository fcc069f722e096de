"""One recurring run per schedule, whatever the Kubeflow API does in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.stand_in.kubeflow_api import Pipelines, kubeflow_api
from tools.errors import Invalid, Unavailable, Uncertain
from tools.kubeflow_api import KubeflowApi
from tools.kubeflow_schedules import KubeflowSchedules
from tools.pipeline_schedules import Schedule

STAND_INS = Path(__file__).parent.parent / "stand_in"
RECURRING = "/apis/v2beta1/recurringruns"
NIGHTLY = Schedule(
    name="default/flights/score", pipeline="toy", arguments={"log": "a"}, cron="30 2 * * *"
)


class World:
    """The adapter, and the server it talks to."""

    def __init__(self, url: str, known: Pipelines) -> None:
        self.known, self.url = known, url
        self.schedules = self.adapter()

    def adapter(self, definition: str = "toy_pipeline:toy") -> KubeflowSchedules:
        return KubeflowSchedules(KubeflowApi(self.url), {"toy": definition})

    def fail(self, method: str, moment: str, code: int) -> None:
        """The next such request about schedules fails, those after it do not."""
        left = [code]

        def fault(asked: str, at: str, when: str) -> int:
            hit = left and (asked, when) == (method, moment) and at.startswith(RECURRING)
            return left.pop() if hit else 0

        self.known.fault = fault

    @property
    def only(self) -> Any:
        """The one recurring run that there is."""
        [found] = self.known.recurring
        return found


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.syspath_prepend(str(STAND_INS))
    with kubeflow_api() as (url, known):
        yield World(url, known)


def test_a_schedule_is_made_once_however_often_it_is_ensured(world: World) -> None:
    """Also by another process; one run at a time, none made up for."""
    changed = [world.schedules.ensure(NIGHTLY), world.adapter().ensure(NIGHTLY)]
    made = world.only

    assert changed == [True, False]
    assert world.schedules.is_kept(NIGHTLY)
    assert made.trigger["cron_schedule"]["cron"] == "0 30 2 * * *"
    assert (made.max_concurrency, made.no_catchup) == ("1", True)
    assert made.runtime_config["parameters"] == {"log": "a"}


@pytest.mark.parametrize(
    "change",
    [{"cron": "", "every_s": 3600}, {"cron": "0 3 * * *"}, {"arguments": {"log": "b"}}],
)
def test_another_content_takes_the_place_of_the_first(world: World, change: dict[str, Any]) -> None:
    """The API cannot change one: the old one ends first, and only one is left."""
    world.schedules.ensure(NIGHTLY)
    before, changed = world.only, NIGHTLY.model_copy(update=change)

    assert not world.schedules.is_kept(changed)
    assert world.schedules.ensure(changed)
    assert world.only.recurring_run_id != before.recurring_run_id
    assert world.schedules.is_kept(changed)
    assert not world.schedules.is_kept(NIGHTLY)


def test_a_new_definition_of_the_pipeline_is_scheduled_anew(world: World) -> None:
    """Else the old one would run for ever."""
    world.schedules.ensure(NIGHTLY)
    other = world.adapter("pipelines.retrain:retrain")

    assert not other.is_kept(NIGHTLY)
    assert other.ensure(NIGHTLY)
    assert world.only.recurring_run_id


def test_one_that_others_switched_off_is_on_again(world: World) -> None:
    """What is ensured is in force."""
    world.schedules.ensure(NIGHTLY)
    world.only.status = "DISABLED"

    assert not world.schedules.is_kept(NIGHTLY)
    assert world.schedules.ensure(NIGHTLY)
    assert world.only.status == "ENABLED"


@pytest.mark.parametrize("code", [-1, 500])
def test_an_answer_lost_after_it_was_made_makes_no_second(world: World, code: int) -> None:
    """Uncertain says so; whoever ensures it again finds the first."""
    world.fail("POST", "after", code)
    with pytest.raises(Uncertain):
        world.schedules.ensure(NIGHTLY)

    assert world.adapter().ensure(NIGHTLY) is False
    assert world.only.display_name == NIGHTLY.name


def test_of_two_with_one_name_the_older_stands(world: World) -> None:
    """A creation that came late is ended."""
    world.schedules.ensure(NIGHTLY)
    first = world.only
    late = type(first)(**{**first.to_dict(), "recurring_run_id": "late"})
    world.known.recurring.append(late)

    assert world.schedules.ensure(NIGHTLY)
    assert world.only.recurring_run_id == first.recurring_run_id


def test_a_list_that_cannot_be_read_makes_nothing(world: World) -> None:
    """Neither an error nor a page of a proxy means that there is none."""
    world.schedules.ensure(NIGHTLY)
    world.fail("GET", "before", 503)
    with pytest.raises(Unavailable):
        world.schedules.ensure(NIGHTLY)
    for page in ("<html>log in</html>", "[]", '{"recurring_runs": 7}'):
        world.known.page_instead = page
        with pytest.raises((Unavailable, Uncertain)):
            world.schedules.ensure(NIGHTLY)
    world.known.page_instead = ""

    assert len(world.known.recurring) == 1


def test_removing_takes_every_one_of_the_name(world: World) -> None:
    """And nothing of others; removing it again is no error."""
    other = NIGHTLY.model_copy(update={"name": "default/hotels/score"})
    for schedule in (NIGHTLY, other):
        world.schedules.ensure(schedule)

    assert world.schedules.remove(NIGHTLY.name)
    assert not world.schedules.remove(NIGHTLY.name)
    assert world.only.display_name == other.name


@pytest.mark.parametrize(
    "settings",
    [{}, {"cron": "1 2 3 4 5", "every_s": 5}, {"cron": "daily"}, {"cron": "0 1 2 3 4 5"}],
)
def test_a_schedule_without_one_clock_is_invalid(settings: dict[str, Any]) -> None:
    """Neither, both, or one that nobody understands."""
    with pytest.raises(ValidationError):
        Schedule(name="a", pipeline="toy", arguments={}, **settings)


def test_an_unknown_pipeline_is_invalid(world: World) -> None:
    """Nothing is made."""
    with pytest.raises(Invalid, match="no pipeline 'polish'"):
        world.schedules.ensure(NIGHTLY.model_copy(update={"pipeline": "polish"}))
    assert world.known.recurring == []
