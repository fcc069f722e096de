"""What a notification promises, against a real HTTP server: told, signed, in order, never lost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.catalog import all_tools
from orchestrator.journal import kinds
from orchestrator.journal.address import JournalAddress
from orchestrator.journal.event import Event
from orchestrator.journal.interventions import ApprovalRequested
from orchestrator.journal.payloads import IncidentOpened, IncidentResolved, StepOutcome
from orchestrator.notifications.channels import NotificationChannels
from orchestrator.notifications.outbox import open_outbox
from orchestrator.notifications.sender import (
    MOST_BACKOFF_S,
    OVERTAKEN_AFTER,
    POLL_S,
    Sender,
    backoff_s,
)
from orchestrator.notifications.service import Notifier, deliver_backlog, make_senders
from simulations.clock import VirtualClock
from tests.stand_in.receiver import Received, Receiver, receiving
from tools.documents import parse_document
from tools.errors import Unavailable
from tools.http_webhook import HttpWebhook

TOOLS = all_tools()
KEY = b"a key of thirty-two bytes, or so"


class Place:
    """A journal, an outbox and a clock that only moves when told."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.address = JournalAddress(folder, url)
        self.journal = self.address.open()
        self.clock = VirtualClock()

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(timedelta(seconds=seconds))

    def senders(self, *channels: dict[str, Any]) -> list[Sender]:
        document = parse_document(
            {
                "apiVersion": "mendloop.dev/v1alpha1",
                "kind": "NotificationChannels",
                "metadata": {"name": "team"},
                "spec": {"source": "/tests", "channels": list(channels)},
            },
            NotificationChannels,
            source="test",
        )
        return make_senders(
            document,
            self.address,
            webhook=HttpWebhook(),
            clock=self.clock,
            tools=TOOLS,
        )

    def sender(self, receiver: Receiver, **channel: Any) -> Sender:
        return self.senders({"name": "ops", "url": receiver.url, "timeout": "500ms", **channel})[0]

    def happen(self, *targets: str) -> list[Event]:
        """One opened incident per target named."""
        return [
            self.journal.append(
                kinds.INCIDENT_OPENED,
                at=datetime(2026, 1, 1, tzinfo=UTC),
                actor="monitor",
                payload=IncidentOpened(trigger="performance", summary="loss <up> & away"),
                target=f"default/{target}",
                incident=f"inc-{target}",
            )
            for target in targets
        ]

    def backlog(self) -> int:
        outbox = open_outbox(self.address)
        try:
            return sum(s.backlog for s in outbox.status())
        finally:
            outbox.close()


@pytest.fixture(params=["file", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The outbox beside the journal, in both places where that can be."""
    url = request.getfixturevalue("fresh_postgres")() if request.param == "postgres" else ""
    made = Place(tmp_path, url)
    yield made
    made.journal.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def run_dry(place: Place, sender: Sender, *, steps: int = 200) -> None:
    """Step until nothing waits; time passes as the sender asks for it."""
    for _ in range(steps):
        wait_s = sender.step()
        if wait_s and not place.backlog():
            return
        place.wait(max(wait_s, 0.01))
    raise AssertionError(f"{place.backlog()} messages are left after {steps} steps")


def test_what_happens_is_told_once_in_order(place: Place, receiver: Receiver) -> None:
    """The journal's order per target; an event is one message."""
    sender = place.sender(receiver)
    told = [e.id for e in place.happen("a", "b", "a", "a", "b")]
    run_dry(place, sender)
    sender.step()

    assert sorted(receiver.ids) == sorted(told)
    by_target = {
        target: [r.id for r in receiver.received if json.loads(r.body)["subject"] == target]
        for target in ("default/a", "default/b")
    }
    assert by_target == {"default/a": [told[0], told[2], told[3]], "default/b": [told[1], told[4]]}


def test_a_channel_begins_where_it_is_first_named(place: Place, receiver: Receiver) -> None:
    """Nobody is told a year of history; what comes later is never skipped."""
    place.happen("old")
    place.sender(receiver)
    (new,) = place.happen("new")
    run_dry(place, place.sender(receiver))

    assert receiver.ids == [new.id]


def test_a_message_is_a_cloud_event_in_structured_mode(place: Place, receiver: Receiver) -> None:
    """CloudEvents 1.0: required attributes, a type with a reverse domain, an RFC 3339 time."""
    sender = place.sender(receiver)
    (event,) = place.happen("a")
    run_dry(place, sender)
    (got,) = receiver.received
    body = json.loads(got.body)

    assert got.headers["content-type"].startswith("application/cloudevents+json")
    assert body["specversion"] == "1.0"
    assert (body["id"], body["source"], body["subject"]) == (event.id, "/tests", "default/a")
    assert body["type"] == "dev.mendloop.incident.opened"
    assert datetime.fromisoformat(body["time"]).tzinfo is not None
    assert body["datacontenttype"] == "application/json"
    assert all(name.isalnum() and name.islower() for name in body)
    assert body["data"]["what"] == "incident opened: performance"
    assert body["data"]["hash"] == event.hash


def test_a_message_for_slack_mentions_nobody_by_accident(place: Place, receiver: Receiver) -> None:
    """``text`` and blocks; what Slack reads as markup is escaped; the commands are there."""
    sender = place.sender(receiver, format="slack", events=["opened", "needs_approval"])
    place.happen("a")
    place.journal.append(
        kinds.APPROVAL_REQUESTED,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        actor="policies",
        target="default/a",
        incident="inc-a",
        payload=ApprovalRequested(
            approval="promote-1", tool="promote", arguments={}, reasons=("<!channel>",), digest="0"
        ),
    )
    run_dry(place, sender)
    first, second = (json.loads(r.body) for r in receiver.received)

    assert set(first) == {"text", "blocks"}
    assert "loss &lt;up&gt; &amp; away" in first["blocks"][0]["text"]["text"]
    assert "<!channel>" not in json.dumps(second)
    assert "mendloop approve promote-1" in second["blocks"][0]["text"]["text"]


def test_every_attempt_is_signed_as_standard_webhooks_says(
    place: Place, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HMAC-SHA256 over id, timestamp and body; the id stays, the timestamp is the attempt's."""
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + base64.b64encode(KEY).decode())
    answers = iter([500, 200])
    receiver.behave = lambda request: next(answers)
    sender = place.sender(receiver, secretFrom={"env": "HOOK_SECRET"})
    place.happen("a")
    run_dry(place, sender)

    first, second = receiver.received
    assert first.id == second.id
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    for got in receiver.received:
        signed = f"{got.id}.{got.headers['webhook-timestamp']}.{got.body}".encode()
        expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert got.headers["webhook-signature"] == f"v1,{expected}"


def test_a_secret_is_nowhere_in_what_is_kept(
    place: Place, receiver: Receiver, tmp_path: Path
) -> None:
    """Neither the signing key nor an address that is a secret reaches journal or outbox."""
    (tmp_path / "key").write_text("planted-signing-key\n")
    (tmp_path / "url").write_text(f"{receiver.url}/planted-path\n")
    receiver.behave = lambda request: 500
    (sender,) = place.senders(
        {
            "name": "ops",
            "urlFrom": {"file": str(tmp_path / "url")},
            "secretFrom": {"file": str(tmp_path / "key")},
        }
    )
    place.happen("a")
    sender.step()
    assert receiver.received

    kept = b"".join(p.read_bytes() for p in tmp_path.glob("*.db*"))
    assert b"planted" not in kept


Fail = Callable[[Receiver], None]


def refuse(status: int) -> Fail:
    def fail(receiver: Receiver) -> None:
        answers = iter([status] * 3)
        receiver.behave = lambda request: next(answers, 200)

    return fail


def hang(receiver: Receiver) -> None:
    answers = iter([None, None])
    receiver.behave = lambda request: next(answers, 200)


@pytest.mark.parametrize("fail", [refuse(500), refuse(429), refuse(404), hang])
def test_a_receiver_in_trouble_loses_nothing(place: Place, receiver: Receiver, fail: Fail) -> None:
    """Every message arrives in the end, in order, whatever was answered before."""
    fail(receiver)
    sender = place.sender(receiver, timeout="100ms")
    told = [e.id for e in place.happen("a", "a", "a")]
    run_dry(place, sender)

    assert list(dict.fromkeys(receiver.ids)) == told
    assert sender.outbox.status()[0].delivered == 3


def test_a_receiver_that_is_down_gets_everything_when_it_is_back(place: Place) -> None:
    """Connections refused meanwhile; the backlog says so, with the reason."""
    with receiving() as gone:
        port = gone.port
        sender = place.sender(gone)
    told = [e.id for e in place.happen("a", "b", "a")]
    for _ in range(5):
        place.wait(max(0.01, sender.step()))
    (status,) = sender.outbox.status()
    assert status.backlog == 3
    assert "no connection to 127.0.0.1" in status.error

    with receiving() as back:
        sender.address = sender.address.replace(str(port), str(back.port))
        run_dry(place, sender)
        assert sorted(back.ids) == sorted(told)


def test_the_receivers_own_wish_is_kept(place: Place, receiver: Receiver) -> None:
    """``Retry-After`` of a receiver that has too much to do."""
    receiver.behave = lambda request: 429
    receiver.answer_headers = {"retry-after": "120"}
    sender = place.sender(receiver)
    place.happen("a", "b")
    sender.step()
    place.wait(119)
    sender.step()
    assert len(receiver.received) == 1

    place.wait(2)
    sender.step()
    assert len(receiver.received) == 2


def test_a_message_that_is_never_taken_is_overtaken_and_stays(
    place: Place, receiver: Receiver
) -> None:
    """One that the receiver chokes on holds up its target for a while, others not at all."""
    sender = place.sender(receiver)
    bad, later, elsewhere = place.happen("a", "a", "b")
    receiver.behave = lambda request: 400 if request.id == bad.id else 200
    sender.step()
    assert elsewhere.id in receiver.ids
    assert later.id not in receiver.ids

    for _ in range(OVERTAKEN_AFTER + 1):
        place.wait(MOST_BACKOFF_S)
        sender.step()
    sender.step()
    assert later.id in receiver.ids
    assert [w.seq for w in sender.outbox.heads("ops", overtaken_after=1)] == [bad.seq]


def test_a_repeat_after_a_lost_answer_has_the_same_id(place: Place, receiver: Receiver) -> None:
    """It was taken and nobody heard so: at least once, with an id to drop repeats by."""
    answers = iter([None])
    receiver.behave = lambda request: next(answers, 200)
    sender = place.sender(receiver, timeout="100ms")
    (event,) = place.happen("a")
    run_dry(place, sender)

    assert receiver.ids == [event.id, event.id]


def test_channels_are_told_what_they_asked_for(place: Place, receiver: Receiver) -> None:
    """By name of the event and by target; a question for the contact of its name always comes."""
    sender = place.sender(receiver, name="ml-oncall", events=["closed"], targets=["default/a"])
    place.happen("a")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    wanted = []
    for target in ("default/a", "default/b"):
        closed = IncidentResolved(outcome="promoted")
        event = place.journal.append(
            kinds.INCIDENT_RESOLVED, at=at, actor="x", payload=closed, target=target
        )
        wanted += [event.id] if target == "default/a" else []
    asked = ApprovalRequested(
        approval="p", tool="promote", arguments={}, reasons=(), digest="0", contact="ml-oncall"
    )
    event = place.journal.append(
        kinds.APPROVAL_REQUESTED, at=at, actor="x", payload=asked, target="default/b"
    )
    run_dry(place, sender)

    assert receiver.ids == [*wanted, event.id]


@pytest.mark.parametrize(
    ("tool", "result", "name"),
    [
        ("promote", "applied", "acted"),
        ("roll_back", "applied", "undone"),
        ("promote", "already", "acted"),
        ("judge_canary", "applied", ""),
        ("roll_back", "refused", ""),
    ],
)
def test_acted_and_undone_are_changes_of_production(
    place: Place, receiver: Receiver, tool: str, result: Any, name: str
) -> None:
    """What only looked, or did nothing, is no news."""
    sender = place.sender(receiver)
    outcome = StepOutcome(key="k", tool=tool, result=result)
    place.journal.append(
        kinds.STEP_OUTCOME, at=datetime(2026, 1, 1, tzinfo=UTC), actor="deployer", payload=outcome
    )
    sender.step()

    assert [json.loads(r.body)["data"]["name"] for r in receiver.received] == [name][: bool(name)]


def test_a_hanging_receiver_delays_neither_the_others_nor_the_end(
    place: Place, receiver: Receiver
) -> None:
    """Each channel has a thread and a bounded wait; the controller's end does not wait for it."""

    def stuck(request: Received) -> None:
        return None

    with receiving(behave=stuck) as hanging:
        senders = place.senders(
            {"name": "stuck", "url": hanging.url, "timeout": "30s"},
            {"name": "ops", "url": receiver.url},
        )
        with Notifier(senders):
            (event,) = place.happen("a")
            assert hanging.wait_for(lambda r: bool(r.received))
            assert receiver.wait_for(lambda r: bool(r.received))
        assert receiver.ids == [event.id]
        assert place.backlog() == 1
    for thread in threading.enumerate():
        if thread.name == "notify-stuck":
            thread.join(timeout=30)


def test_backing_off_grows_to_a_bound_and_is_not_the_same_for_all() -> None:
    """Doubling with jitter, the same for the same message."""
    first = [backoff_s(n, "a") for n in range(1, 40)]

    assert 0.5 <= first[0] <= 1.0
    assert max(first) <= MOST_BACKOFF_S
    assert min(first[12:]) >= MOST_BACKOFF_S / 2
    assert first == [backoff_s(n, "a") for n in range(1, 40)]
    assert first != [backoff_s(n, "b") for n in range(1, 40)]
    assert POLL_S < 1.0


def test_only_one_process_delivers_for_a_channel(place: Place, receiver: Receiver) -> None:
    """The other waits; when the first has ended, it goes on from there."""
    sender = place.sender(receiver)
    first, second = open_outbox(place.address), open_outbox(place.address)
    with first.turn("ops") as confirm, second.turn("audit"):
        confirm()
        with pytest.raises(Unavailable), second.turn("ops"):
            pass
    place.happen("a")
    assert deliver_backlog(sender, wait=threading.Event(), limit_s=30)

    assert len(receiver.received) == 1
    for outbox in (first, second, sender.outbox):
        outbox.close()
