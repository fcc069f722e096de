"""``mendloop notify``: one message to try a channel, what waits, and delivery by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.main import cli
from orchestrator.journal import kinds
from orchestrator.journal.interventions import TargetPaused
from orchestrator.journal.sqlite import SqliteJournal
from tests.stand_in.receiver import receiving
from tools.errors import Invalid

DOCUMENT = """
apiVersion: mendloop.dev/v1alpha1
kind: NotificationChannels
metadata: {{name: team}}
spec:
  channels:
    - name: ops
      url: {url}
      timeout: 2s
"""


def mendloop(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--home", str(home)])


def write(home: Path, url: str, more: str = "") -> None:
    (home / "notifications.yaml").write_text(DOCUMENT.format(url=url) + more, encoding="utf-8")


def happen(home: Path) -> None:
    journal = SqliteJournal(home / "mendloop.db")
    paused = TargetPaused(by="kim", reason="fair week")
    journal.append(kinds.TARGET_PAUSED, at=datetime.now(UTC), actor="kim", payload=paused)
    journal.close()


def test_a_channel_is_tried_with_one_message(tmp_path: Path) -> None:
    """Before the night in which it is needed."""
    with receiving() as receiver:
        write(tmp_path, receiver.url)
        done = mendloop(tmp_path, "notify", "test", "ops")

    assert done.exit_code == 0
    assert "answered 200" in done.output
    assert json.loads(receiver.received[0].body)["type"] == "dev.mendloop.test"


def test_a_receiver_that_does_not_take_it_is_exit_code_1(tmp_path: Path) -> None:
    """And the answer is said."""
    with receiving(behave=lambda request: 403) as receiver:
        write(tmp_path, receiver.url)
        refused = mendloop(tmp_path, "notify", "test", "ops")
        url = receiver.url
    write(tmp_path, url)
    gone = mendloop(tmp_path, "notify", "test", "ops")

    assert (refused.exit_code, gone.exit_code) == (1, 1)
    assert "answered 403" in refused.output
    assert "no connection to 127.0.0.1" in gone.output


def test_what_waits_is_shown_and_delivered_without_a_controller(tmp_path: Path) -> None:
    """The first call makes the channel known; from then on nothing is missed."""
    SqliteJournal(tmp_path / "mendloop.db").close()
    with receiving(behave=lambda request: 503) as receiver:
        write(tmp_path, receiver.url)
        mendloop(tmp_path, "notify", "deliver")
        happen(tmp_path)
        left = mendloop(tmp_path, "notify", "deliver", "--within", "0.1")
        assert left.exit_code == 1
        (status,) = json.loads(mendloop(tmp_path, "notify", "status", "--json").output)
        assert (status["backlog"], status["error"]) == (1, "event 1: the receiver answered 503")

        receiver.behave = lambda request: 200
        done = mendloop(tmp_path, "notify", "deliver")
        assert "ops: all delivered" in done.output
    assert "ops: 0 waiting, 1 delivered" in mendloop(tmp_path, "notify", "status").output


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("      secretFrom: {env: NOT_SET_ANYWHERE}\n", "NOT_SET_ANYWHERE is not set"),
        ("      events: [everything]\n", "spec.channels[0].events"),
        ("      urlFrom: {env: X}\n", "exactly one of url and urlFrom"),
        ("    - {name: ops, url: 'http://x'}\n", "channels named twice: ops"),
        ("    - {name: b, url: 'ftp://x'}\n", "begins with https:// or http://"),
    ],
)
def test_a_wrong_document_is_refused_with_the_field(tmp_path: Path, more: str, said: str) -> None:
    """Where it is, and what was expected."""
    write(tmp_path, "http://127.0.0.1:9/hook", more)
    done = mendloop(tmp_path, "notify", "test", "ops")

    assert isinstance(done.exception, Invalid)
    assert said in str(done.exception)


def test_an_unknown_channel_is_named_with_those_there_are(tmp_path: Path) -> None:
    """A slip of the pen."""
    write(tmp_path, "http://127.0.0.1:9/hook")
    done = mendloop(tmp_path, "notify", "test", "opps")

    assert "there is no channel 'opps'; one of: ops" in str(done.exception)
