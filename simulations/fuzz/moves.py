"""What the world, its people and its platform do in a fuzz case; a move that finds nothing to do
does nothing, so that any part of a case can be left out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from orchestrator import approvals
from orchestrator.journal import kinds
from orchestrator.journal.interventions import TargetHandedBack
from orchestrator.kill_switch import KillSwitch, Pause
from orchestrator.take_over import holder_of
from simulations.fuzz.case import Move
from simulations.population import CHANGED, USUAL
from simulations.releases import Release
from tools.errors import Refused

if TYPE_CHECKING:
    from simulations.fuzz.world import FuzzWorld

RELEASES = {
    "good": Release(),
    "bad": Release(error_rate=0.2, slow_rate=0.1),
    "slow": Release(slow_rate=0.15),
    "worse": Release(model=CHANGED),
    "fitting": Release(model=CHANGED),
    "skewed": Release(skew=0.05),
    "dead": Release(starts=False),
    "ungated": Release(passes_gates=False),
}
"""``fitting`` is what ``worse`` becomes once the world has drifted."""


def make(world: FuzzWorld, move: Move) -> None:
    """Let it happen."""
    with world.own():
        _MOVES[move.do](world, move)
    world.settle()


def _release(world: FuzzWorld, move: Move) -> None:
    world.releases += 1
    world.foundry.submit_challenger(RELEASES[move.what], key=f"somebody-else-{world.releases}")
    world.mark_broken()


def _train(world: FuzzWorld, move: Move) -> None:
    world.foundry.coming.append(RELEASES[move.what])


def _drift(world: FuzzWorld, move: Move) -> None:
    world.become(CHANGED)


def _drift_back(world: FuzzWorld, move: Move) -> None:
    world.become(USUAL)


def _freeze(world: FuzzWorld, move: Move) -> None:
    world.freeze()


def _thaw(world: FuzzWorld, move: Move) -> None:
    world.thaw()


def _metrics_dark(world: FuzzWorld, move: Move) -> None:
    world.metrics.dark = "connection refused"


def _metrics_light(world: FuzzWorld, move: Move) -> None:
    world.metrics.dark = ""


def _counters_restart(world: FuzzWorld, move: Move) -> None:
    world.metrics.start_anew()


def _labels_stop(world: FuzzWorld, move: Move) -> None:
    world.users.labels_arrive = False


def _labels_resume(world: FuzzWorld, move: Move) -> None:
    world.users.labels_arrive = True


def _pause(world: FuzzWorld, move: Move) -> None:
    """``what``: ``all`` or ``target``, with ``+return`` where going back stays allowed."""
    scope, _, allowed = move.what.partition("+")
    pause = Pause(by="somebody", reason="a fuzz case", allows_safe_return=bool(allowed))
    KillSwitch(world.kill_switch).pause(None if scope == "all" else world.target, pause)


def _resume(world: FuzzWorld, move: Move) -> None:
    KillSwitch(world.kill_switch).resume(None)
    KillSwitch(world.kill_switch).resume(world.target)


def _edit_weights(world: FuzzWorld, move: Move) -> None:
    """Somebody gives ``amount`` percent to the newest version that has a server."""
    servers = sorted(world.standing().servers, key=int)
    if len(servers) < 2 or not 0 < move.amount < 100:
        world.edit_route({servers[-1]: 100})
        return
    world.edit_route({servers[0]: 100 - move.amount, servers[-1]: move.amount})


def _hand_back(world: FuzzWorld, move: Move) -> None:
    """Whoever has the target in hand gives everything to the champion, and it back to mendloop."""
    if holder_of(world.journal, world.target) != "person":
        return
    champion = world.standing().aliases.get("champion", "")
    if champion in world.standing().servable:
        world.edit_route({champion: 100})
    world.journal.append(
        kinds.TARGET_HANDED_BACK,
        at=world.clock.now(),
        actor="somebody",
        target=world.target,
        payload=TargetHandedBack(by="somebody"),
    )


def _edit_elsewhere(world: FuzzWorld, move: Move) -> None:
    """Somebody changes a field of the document that is not mendloop's."""
    world.foreign += 1
    world.patch_route([{"op": "add", "path": "/spec/http/0/timeout", "value": f"{world.foreign}s"}])


def _move_alias(world: FuzzWorld, move: Move) -> None:
    """Somebody puts the alias ``what`` on version number ``amount`` counted from the newest."""
    versions = [v.version for v in world.registry.versions(world.document.spec.model)]
    chosen = versions[-1 - move.amount % len(versions)]
    world.hand_moved = True
    world.registry.set_alias(world.document.spec.model, move.what, chosen, key="by-hand")


def _drop_alias(world: FuzzWorld, move: Move) -> None:
    world.hand_moved = True
    world.registry.delete_alias(world.document.spec.model, move.what, key="by-hand")


def _crash_server(world: FuzzWorld, move: Move) -> None:
    """``what``: the version with the alias ``champion``, ``challenger`` or ``former``."""
    version = world.standing().aliases.get(move.what, "")
    if version in world.standing().servers:
        world.workloads.crash(world.target, version)


def _approve(world: FuzzWorld, move: Move) -> None:
    answer_all(world, approve=True)


def _reject(world: FuzzWorld, move: Move) -> None:
    answer_all(world, approve=False)


def _jump_clock(world: FuzzWorld, move: Move) -> None:
    world.clock.jump(timedelta(hours=move.amount))


def _lose_run(world: FuzzWorld, move: Move) -> None:
    for event in world.journal.events(kinds=[kinds.STEP_INTENDED]):
        world.runs.lose(event.payload["key"])


def _disk_full(world: FuzzWorld, move: Move) -> None:
    world.is_disk_full = True


def _disk_free(world: FuzzWorld, move: Move) -> None:
    world.is_disk_full = False


def _nothing(world: FuzzWorld, move: Move) -> None:
    """``sleep`` and ``stand-by`` concern the controllers, see play.py."""


def answer_all(world: FuzzWorld, *, approve: bool) -> None:
    """Somebody answers every request that is still open."""
    for asked in world.journal.events(kinds=[kinds.APPROVAL_REQUESTED]):
        try:
            approvals.answer(
                world.journal,
                world.clock,
                asked.payload["approval"],
                by="somebody",
                approve=approve,
                reason="" if approve else "not today",
            )
        except Refused:
            continue  # answered, or expired


_MOVES: dict[str, Callable[[FuzzWorld, Move], None]] = {
    "release": _release,
    "train": _train,
    "drift": _drift,
    "drift-back": _drift_back,
    "freeze-feed": _freeze,
    "thaw-feed": _thaw,
    "metrics-dark": _metrics_dark,
    "metrics-light": _metrics_light,
    "counters-restart": _counters_restart,
    "labels-stop": _labels_stop,
    "labels-resume": _labels_resume,
    "pause": _pause,
    "resume": _resume,
    "edit-weights": _edit_weights,
    "hand-back": _hand_back,
    "edit-elsewhere": _edit_elsewhere,
    "move-alias": _move_alias,
    "drop-alias": _drop_alias,
    "crash-server": _crash_server,
    "approve": _approve,
    "reject": _reject,
    "jump-clock": _jump_clock,
    "lose-run": _lose_run,
    "sleep": _nothing,
    "stand-by": _nothing,
    "disk-full": _disk_full,
    "disk-free": _disk_free,
}
