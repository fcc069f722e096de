"""The registry's promises on a real MLflow server: over HTTP, with accounts and its artifact proxy.

One server for all of it: it takes seconds to start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.promises import test_registry as suite
from tests.promises.test_registry import Make, owner
from tests.promises.test_registry import make as make
from tests.stand_in import postgres
from tests.stand_in.mlflow_server import ADMIN, PASSWORD, MlflowServer, mlflow_server
from tests.stand_in.tcp_proxy import BROKEN, Fault, tcp_proxy
from tools.errors import Invalid, Refused, Unavailable, Uncertain
from tools.mlflow_http import MlflowAccess
from tools.mlflow_registry import MlflowRegistry
from tools.registry import CHALLENGER, CHAMPION
from tools.secret_source import SecretFrom

globals().update(
    {
        name: claim
        for name, claim in vars(suite).items()
        if name.startswith("test_") and "stage" in claim.__code__.co_varnames
    }
)
READER = "reader"


class Stage:
    """The registry as its account sees it, and the server's files."""

    def __init__(self, server: MlflowServer) -> None:
        self.server = server
        self.registry = self.reopened()

    def reopened(self) -> MlflowRegistry:
        access = MlflowAccess(
            token_from=SecretFrom(file=str(self.server.tokens.parent / "token")), read_s=60.0
        )
        return MlflowRegistry(self.server.url, "", access=access)

    def damage(self, version: str) -> None:
        for path in self.server.artifacts.rglob("model.onnx"):
            path.write_bytes(path.read_bytes() + b"!")

    def become(self, account: str) -> None:
        """From now on the token is that account's."""
        token = (self.server.tokens / account).read_text()
        (self.server.tokens.parent / "token").write_text(f"{token}\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """On PostgreSQL where its binaries are, else on a file."""
    with ExitStack() as stack:
        database = ""
        if not postgres.missing_reason():
            host = stack.enter_context(postgres.running_postgres(**postgres.QUICK))
            database = host.url(host.make_database()).replace("://", "+psycopg://", 1)
        folder = tmp_path_factory.mktemp("mlflow")
        running = stack.enter_context(mlflow_server(folder, database=database))
        for account in (ADMIN, READER):
            (running.tokens / account).write_text(f"token-of-{account}")
        ask(running, "2.0/mlflow/users/create", username=READER, password="not so long a password")
        yield running


@pytest.fixture
def stage(server: MlflowServer) -> Stage:
    """The registry without the model."""
    stage = Stage(server)
    stage.become(ADMIN)
    ask(server, "2.0/mlflow/registered-models/delete", "DELETE", name="flights")
    return stage


def ask(server: MlflowServer, path: str, method: str = "POST", **body: Any) -> None:
    """Something that only administrators do."""
    url = f"{server.url}/api/{path}"
    answer = httpx.request(method, url, json=body, auth=(ADMIN, PASSWORD), trust_env=False)
    assert answer.status_code in (200, 404), answer.text


def permit(server: MlflowServer, permission: str) -> None:
    """Let the reader do that much with the model."""
    on = {"username": READER, "resource_type": "registered_model", "resource_id": "flights"}
    ask(server, "3.0/mlflow/users/permissions/revoke", **on)
    ask(server, "3.0/mlflow/users/permissions/grant", **on, permission=permission)


def test_a_renewed_token_counts_from_the_next_request_on(stage: Stage, make: Make) -> None:
    """An expired one is refused, says whose it is, and is not told; nothing is opened anew."""
    stage.registry.register(make(), key="run-1")
    (stage.server.tokens.parent / "token").write_text("expired-secret")
    with pytest.raises(Refused, match="renew the token") as refused:
        stage.registry.versions("flights")
    stage.become(ADMIN)

    assert "expired-secret" not in str(refused.value)
    assert [each.version for each in stage.registry.versions("flights")] == ["1"]


def test_a_missing_right_is_refused_with_what_to_grant(stage: Stage, make: Make) -> None:
    """Nothing was changed; asking for rights changes nothing either."""
    stage.registry.register(make(), key="run-1")
    permit(stage.server, "READ")
    stage.become(READER)
    missing = stage.registry.missing_rights("flights")
    with pytest.raises(Refused, match=r"grant the account .* MANAGE"):
        stage.registry.set_alias("flights", CHAMPION, "1", key="k", fence=owner(1))
    permit(stage.server, "EDIT")
    only_removing = stage.registry.missing_rights("flights")
    permit(stage.server, "MANAGE")

    assert [text.split(" aliases")[0].rpartition(" may not ")[2] for text in missing] == [
        "set",
        "remove",
    ]
    assert [" remove " in text for text in only_removing] == [True]
    assert stage.registry.missing_rights("flights") == ()
    assert stage.registry.get("flights", "1").aliases == ()


def test_asking_for_the_rights_on_an_unknown_model_is_invalid(stage: Stage) -> None:
    """Somebody wrote its name wrongly."""
    with pytest.raises(Invalid, match="flights"):
        stage.registry.missing_rights("flights")


def test_a_write_under_way_when_a_newer_owner_appears_is_uncertain(
    stage: Stage, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow cannot refuse it; whoever wrote it learns that it came late, and acts no more."""
    from mlflow.tracking import MlflowClient

    for key in ("run-1", "run-2"):
        stage.registry.register(make(), key=key)
    move = MlflowClient.set_registered_model_alias

    def overtaken(client: MlflowClient, name: str, alias: str, version: str) -> None:
        stage.reopened().claim("flights", owner(2))
        move(client, name, alias, version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", overtaken)
    with pytest.raises(Uncertain, match="newer owner"):
        stage.registry.set_alias("flights", CHAMPION, "2", key="k", fence=owner(1))
    with pytest.raises(Refused, match="came too late"):
        stage.registry.delete_alias("flights", CHALLENGER, key="k", fence=owner(1))


def test_an_account_with_a_password_from_a_file(stage: Stage, tmp_path: Path) -> None:
    """What MLflow's own accounts have; a second account of one process is refused by name."""
    access = MlflowAccess(username=ADMIN, password_from=SecretFrom(file=str(tmp_path / "password")))
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    other_name = stage.server.url.replace("127.0.0.1", "localhost")

    assert MlflowRegistry(other_name, "", access=access).versions("flights") == ()
    with pytest.raises(Invalid, match="one account per server"):
        MlflowRegistry(stage.server.url, "", access=access).versions("flights")


def eventually(call: Callable[[], object]) -> None:
    """Again and again until it succeeds: a server on a busy machine takes its time."""
    deadline = time.monotonic() + 60.0
    while True:
        try:
            call()
            return
        except (Unavailable, Uncertain):
            assert time.monotonic() < deadline


def test_a_connection_that_breaks_half_way_leaves_no_half_made_change(
    stage: Stage, make: Make
) -> None:
    """Refused, hung, cut, reset, lost, answered by somebody else: told as what it is, within
    bounds, without the token; the same write again ends in what was wanted."""
    for key in ("run-1", "run-2"):
        stage.registry.register(make(), key=key)
    stage.registry.set_alias("flights", CHAMPION, "1", key="k")
    port = int(stage.server.url.rpartition(":")[2])
    token = SecretFrom(file=str(stage.server.tokens.parent / "token"))
    with tcp_proxy(port) as proxy:
        access = MlflowAccess(token_from=token, read_s=1.5, attempts=1)
        registry = MlflowRegistry(f"http://127.0.0.1:{proxy.port}", "", access=access)
        eventually(lambda: registry.versions("flights"))
        for number, fault in enumerate(BROKEN):
            wanted = str(1 + number % 2)
            stage.registry.set_alias("flights", CHAMPION, str(2 - number % 2), key=f"b{number}")
            proxy.fault = fault
            with pytest.raises((Unavailable, Uncertain)) as written:
                registry.set_alias("flights", CHAMPION, wanted, key=f"k{number}")
            with pytest.raises(Unavailable) as read:
                registry.by_alias("flights", CHAMPION)
            proxy.fault = Fault.NONE
            again = partial(registry.set_alias, "flights", CHAMPION, wanted, key=f"k{number}")
            eventually(again)
            champion = stage.registry.by_alias("flights", CHAMPION)

            assert champion is not None
            assert champion.version == wanted
            assert "token-of-admin" not in f"{written.value} {read.value}"
        proxy.fault = Fault.EXPIRED
        with pytest.raises(Refused, match="renew the token"):
            registry.versions("flights")


def test_a_write_whose_answer_is_lost_is_uncertain_and_never_repeated(
    stage: Stage, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own client would send it again, and make a version twice."""
    from mlflow.tracking import MlflowClient

    port = int(stage.server.url.rpartition(":")[2])
    token = SecretFrom(file=str(stage.server.tokens.parent / "token"))
    with tcp_proxy(port) as proxy:
        access = MlflowAccess(token_from=token, read_s=30.0, attempts=3)
        registry = MlflowRegistry(f"http://127.0.0.1:{proxy.port}", "", access=access)
        registry.register(make(), key="run-1")
        create = MlflowClient.create_model_version

        def lost(client: MlflowClient, *arguments: Any, **named: Any) -> Any:
            proxy.fault = Fault.LOST
            return create(client, *arguments, **named)

        monkeypatch.setattr(MlflowClient, "create_model_version", lost)
        with pytest.raises(Uncertain, match="look before"):
            registry.register(make(), key="run-2")
        proxy.fault = Fault.NONE
        monkeypatch.setattr(MlflowClient, "create_model_version", create)
        made = registry.register(make(), key="run-2")

    assert made.run_key == "run-2"
    assert [each.run_key for each in stage.registry.versions("flights")] == ["run-1", "run-2"]
