"""``mendloop plan``: what would be done, under the rules of the home, without doing it."""

from __future__ import annotations

from pathlib import Path

from stage import Play

from orchestrator.preview import preview
from simulations.population import CHANGED
from simulations.world import World


def test_a_preview_plans_as_the_controller_would_and_writes_nothing(tmp_path: Path) -> None:
    """Same first step; the rule that closes a way is named; a stop closes all of them."""
    play = Play.begin(tmp_path)
    play.world.become(CHANGED)
    (tmp_path / "STOP").write_text("fair week")
    play.until(lambda world: bool(world.journal.events(kinds=["incident.opened"])))
    (tmp_path / "STOP").unlink()
    open_now = _previewed(play.world)
    (tmp_path / "STOP").write_text("fair week")
    stopped = _previewed(play.world)

    assert open_now[0].steps[0].startswith("pin_training_data")
    assert stopped[0].steps == ()
    assert "kill-switch" in stopped[0].rejected["retrain_full"]


def _previewed(world: World) -> list:
    before = world.journal.head()
    found = preview(world.desk(), world.document, world.journal, home=world.folder)

    assert world.journal.head() == before
    return [p for p in found.plans if p.goal == "the served model meets its objectives"]
