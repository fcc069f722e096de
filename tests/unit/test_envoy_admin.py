"""Whoever answers at Envoy's port, the reader gets an answer or Unavailable."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.envoy_admin import EnvoyAdmin, NotRunning
from tools.errors import Unavailable

CALLS: list[Callable[[EnvoyAdmin], object]] = [
    lambda admin: admin.routes_revision(),
    lambda admin: admin.document_revision("default/flights"),
    lambda admin: admin.clusters(),
    lambda admin: admin.listener_port(),
]
OTHERS = [
    b"[]",
    b'"LIVE"',
    b"<html>",
    b'{"configs": [{"route_config": {"virtual_hosts": [{}]}}], "cluster_statuses": [{}],'
    b' "listener_statuses": [{}]}',
    b'{"configs": 3, "cluster_statuses": 3, "listener_statuses": 3}',
]


def answering(listening: socket.socket, body: bytes) -> threading.Thread:
    """One answer, then nothing more."""

    def serve() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            head = f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", OTHERS)
def test_an_answer_that_is_not_envoys_is_no_answer(
    tmp_path: Path, call: Callable[[EnvoyAdmin], object], body: bytes
) -> None:
    """Never an exception of the parser, and never a made-up answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (tmp_path / "ports.json").write_text(f'{{"admin": {listening.getsockname()[1]}}}')
        server = answering(listening, body)
        try:
            outcome = call(EnvoyAdmin(tmp_path / "ports.json"))
        except Unavailable:
            outcome = None
        server.join()

    assert outcome is None


def test_nobody_there_is_told_from_somebody_silent(tmp_path: Path) -> None:
    """Without a listener there is no data plane; with a silent one there may be."""
    ports = tmp_path / "ports.json"
    with pytest.raises(NotRunning, match="start the platform"):
        EnvoyAdmin(ports).clusters()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ports.write_text(f'{{"admin": {listening.getsockname()[1]}}}')
        with pytest.raises(Unavailable, match="did not answer") as silence:
            EnvoyAdmin(ports, timeout_s=0.1).clusters()
    assert not isinstance(silence.value, NotRunning)
    with pytest.raises(NotRunning, match="no Envoy listens"):
        EnvoyAdmin(ports).clusters()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"admin": "x"}'])
def test_a_broken_port_file_is_said(tmp_path: Path, text: str) -> None:
    """With its path."""
    (tmp_path / "ports.json").write_text(text)

    with pytest.raises(Unavailable, match=r"ports\.json does not name Envoy's ports"):
        EnvoyAdmin(tmp_path / "ports.json").clusters()
