"""A TCP proxy that a test puts before a server to break the connection in a chosen way."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

_CHUNK = 65_536
_PAUSE_S = 0.01


class Fault(StrEnum):
    """What becomes of an exchange."""

    NONE = "none"
    REFUSE = "refuse"
    """Nobody listens."""
    HANG = "hang"
    """The connection comes about, and nothing comes of it."""
    MUTE = "mute"
    """The request arrives; the answer never does."""
    LOST = "lost"
    """The request arrives; the connection ends instead of an answer."""
    RESET = "reset"
    """The request arrives; the connection is reset in the middle of the answer."""
    CUT = "cut"
    """The request arrives; the connection ends in the middle of the answer, in good order."""
    HEADLESS = "headless"
    """The same within the first lines: HTTP's status came, how long the answer is did not."""
    SLOW = "slow"
    """The answer comes in small pieces: whole, only later."""
    PAGE = "page"
    """Somebody else answers: a proxy's login page, with status 200."""
    EXPIRED = "expired"
    """Somebody answers that the token is not valid any more."""


DELIVERED = frozenset({Fault.MUTE, Fault.LOST, Fault.RESET, Fault.CUT, Fault.HEADLESS})
"""Faults in which the request arrives and its answer does not."""
BROKEN = (Fault.REFUSE, Fault.HANG, *sorted(DELIVERED), Fault.PAGE)
"""Faults after which no whole answer of the server came."""
_PAGES = {
    Fault.PAGE: ("200 OK", b"<html><body>Please log in</body></html>"),
    Fault.EXPIRED: ("401 Unauthorized", b'{"message": "token expired", "code": 401}'),
}


class TcpProxy:
    """Passes everything on to ``upstream`` but for the ``fault`` of the moment."""

    def __init__(self, upstream: int) -> None:
        """``upstream``: a port of this machine."""
        self._upstream = ("127.0.0.1", upstream)
        self._fault = Fault.NONE
        self._listening: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self.port = 0
        self._listen()

    @property
    def fault(self) -> Fault:
        """What happens now."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault) -> None:
        """From now on; connections that stand are ended, so that none slips through."""
        self._fault = fault
        self._changed.set()
        self._changed = threading.Event()
        self._end_all()
        if fault is Fault.REFUSE:
            self._deafen()
        elif self._listening is None:
            self._listen()

    def close(self) -> None:
        """End it."""
        self._changed.set()
        self._deafen()
        self._end_all()

    def _listen(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def _deafen(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            if self._listening is not listening:
                client.close()
                return
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        changed = self._changed
        try:
            if self._fault in _PAGES:
                self._answer(client, *_PAGES[self._fault])
            elif self._fault is Fault.HANG:
                changed.wait()
            else:
                self._pass_on(client, changed)
        except OSError:
            pass
        finally:
            with self._lock:
                self._open.discard(client)
            _end(client)

    def _answer(self, client: socket.socket, status: str, body: bytes) -> None:
        client.recv(_CHUNK)
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        while client.recv(_CHUNK):  # else what was not read would reset the answer
            pass

    def _pass_on(self, client: socket.socket, changed: threading.Event) -> None:
        with socket.create_connection(self._upstream) as server:
            forth = threading.Thread(target=_copy, args=(client, server), daemon=True)
            forth.start()
            while answer := server.recv(_CHUNK):
                match self._fault:
                    case Fault.MUTE:
                        changed.wait()
                        return
                    case Fault.LOST:
                        return
                    case Fault.RESET | Fault.CUT:
                        client.sendall(answer[: len(answer) // 2])
                        if self._fault is Fault.RESET:
                            _reset_at_close(client)
                        return
                    case Fault.HEADLESS:
                        client.sendall(answer[: answer.find(b"\r\n") + 2])
                        return
                    case Fault.SLOW:
                        for start in range(0, len(answer), max(1, len(answer) // 8)):
                            client.sendall(answer[start : start + max(1, len(answer) // 8)])
                            changed.wait(_PAUSE_S)
                    case _:
                        client.sendall(answer)

    def _end_all(self) -> None:
        with self._lock:
            for client in self._open:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _end(connection: socket.socket) -> None:
    """Now: a close alone waits for the thread that still reads from it, which is woken here."""
    resets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER) != 0
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RD if resets else socket.SHUT_RDWR)
    connection.close()


def _reset_at_close(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def tcp_proxy(upstream: int) -> Iterator[TcpProxy]:
    """A proxy before a port of this machine, closed at the end."""
    proxy = TcpProxy(upstream)
    try:
        yield proxy
    finally:
        proxy.close()
