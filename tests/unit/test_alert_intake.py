"""Webhooks can make mendloop look, and nothing else: whoever sends, whatever they send."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from simulations.clock import VirtualClock
from tools.alert_intake import AlertIntake, Answer
from tools.errors import Unavailable

TARGET = "default/flights"
EXPIRES_S = 6 * 3600


class World:
    """An intake, its clock, and which targets were looked at."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.woken = VirtualClock(), list[str]()
        defaults: dict[str, Any] = {
            "token": lambda: "s3cret",
            "targets": lambda: {TARGET, "default/hotels"},
            "clock": self.clock,
            "wake": self.woken.append,
        }
        self.intake = AlertIntake(**defaults | settings)

    def send(self, body: bytes, *, given: str = "Bearer s3cret", length: str = "") -> Answer:
        return self.intake.receive(given, length or str(len(body)), lambda size: body[:size])

    def tell(self, *alerts: dict[str, Any]) -> Answer:
        return self.send(json.dumps({"version": "4", "alerts": alerts}).encode())

    @property
    def firing(self) -> list[str]:
        return [alert.name for alert in self.intake.of(TARGET)]


def alert(name: str, status: str = "firing", **labels: str) -> dict[str, Any]:
    named = {"alertname": name, "mendloop_target": TARGET, **labels}
    return {"status": status, "labels": named, "fingerprint": f"{name}-{labels}"}


def must_not_be_read(size: int) -> bytes:
    raise AssertionError("the body was read")


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer other", "Basic s3cret", "Bearer s3crét"])
def test_nobody_is_heard_without_the_token(given: str) -> None:
    """Not even the body is read, and the answer does not tell the token."""
    world = World()
    answer = world.intake.receive(given, "10", must_not_be_read)

    assert answer.status == 401
    assert "s3cret" not in answer.text
    assert world.intake.taken.refused == 1


def test_a_token_that_cannot_be_read_lets_nobody_in() -> None:
    """Its file is being replaced: the sender tries again."""

    def gone() -> str:
        raise Unavailable("no such file")

    assert World(token=gone).tell(alert("Slow")).status == 503


@pytest.mark.parametrize(
    ("length", "status"), [("", 411), ("many", 411), ("-1", 411), ("1001", 413), ("9" * 400, 413)]
)
def test_a_body_of_unknown_or_unbearable_size_is_not_read(length: str, status: int) -> None:
    """However long it says that it is."""
    world = World(most_bytes=1000)

    assert world.intake.receive("Bearer s3cret", length, must_not_be_read).status == status


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        (b"[" * 100_000, "body"),
        (b"[]", "body"),
        (b'{"version": "3", "alerts": []}', "version"),
        (b'{"version": "4"}', "alerts"),
        (b'{"version": "4", "alerts": [{"labels": {}}]}', "alerts.0.status"),
        (b'{"version": "4", "alerts": [{"status": "firing", "labels": 7}]}', "alerts.0.labels"),
        (
            b'{"version": "4", "alerts": [{"status": "on", "labels": {"a": "b"}}]}',
            "alerts.0.status",
        ),
        (
            b'{"version": "4", "alerts": [{"status": "firing", "labels": {"a": 1}}]}',
            "alerts.0.labels.a",
        ),
    ],
)
def test_a_malformed_body_is_answered_with_the_field(body: bytes, field: str) -> None:
    """And nothing of it is taken."""
    world = World()
    answer = world.send(body)

    assert (answer.status, answer.text.partition(":")[0]) == (400, field)
    assert world.intake.taken.refused == 1
    assert world.firing == []


def test_a_body_of_which_one_alert_is_malformed_is_not_taken_in_part() -> None:
    """Its sender would never learn what was left out."""
    world = World()

    assert world.tell(alert("Slow"), {"status": "firing"}).status == 400
    assert world.firing == []


def test_a_new_alert_makes_mendloop_look_once() -> None:
    """Repeating it does not, nor does its end; when it comes back, it does again."""
    world = World()
    for told in (alert("Slow"), alert("Slow"), alert("Slow", "resolved"), alert("Slow")):
        world.tell(told)

    assert world.woken == [TARGET, TARGET]
    assert world.intake.taken.fired == 2
    assert (world.intake.taken.repeated, world.intake.taken.resolved) == (1, 1)


def test_an_alert_that_nobody_repeats_expires() -> None:
    """Its end may have been lost with the one who should have told it."""
    world = World()
    world.tell(alert("Slow"), alert("Failing"))
    world.clock.advance(timedelta(seconds=EXPIRES_S * 0.9))
    world.tell(alert("Failing"))
    world.clock.advance(timedelta(seconds=EXPIRES_S * 0.2))

    assert world.firing == ["Failing"]


def test_what_is_about_nobodys_model_is_let_go() -> None:
    """It takes no room."""
    world = World(most=1)
    for number in range(50):
        world.tell(alert(f"Disk{number}", mendloop_target="default/unknown"))
    world.tell(alert("Slow"))

    assert world.firing == ["Slow"]
    assert world.intake.taken.unrelated == 50


@pytest.mark.parametrize("per_body", [1, 10_000])
def test_a_storm_is_bounded_and_hides_no_other_model(per_body: int) -> None:
    """Ten thousand alerts about one model: a few are kept, mendloop looks at it a few times."""
    world = World()
    storm = [alert(f"Slow{number}", pod=f"p{number}") for number in range(10_000)]
    for start in range(0, len(storm), per_body):
        assert world.tell(*storm[start : start + per_body]).status == 200
    world.tell(alert("Failing", mendloop_target="default/hotels"))

    assert len(world.firing) == 20
    assert len(world.woken) <= 21
    assert world.intake.taken.dropped == 9_980
    assert [each.name for each in world.intake.of("default/hotels")] == ["Failing"]


def test_the_whole_is_bounded_too() -> None:
    """And what ends makes room."""
    names = {f"default/m{number}" for number in range(30)}
    world = World(targets=lambda: names, most=10)
    for name in sorted(names):
        world.tell(alert("Slow", mendloop_target=name))
    kept = [name for name in sorted(names) if world.intake.of(name)]
    world.tell(alert("Slow", "resolved", mendloop_target=kept[0]))
    world.tell(alert("Slow", mendloop_target="default/m29"))

    assert len(kept) == 10
    assert world.intake.of("default/m29")


def test_long_texts_are_cut() -> None:
    """Annotations are written by others and end in the journal."""
    world = World()
    told = alert("Slow")
    told["annotations"] = {"summary": "x" * 100_000}
    world.tell(told)
    [kept] = world.intake.of(TARGET)

    assert len(kept.summary) == 500
