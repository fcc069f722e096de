"""A thread for calls that may take long or never return, asked from an event loop.

The standard library's executors are joined when the interpreter ends, so that a hung model would
keep a server from ending after SIGTERM. This thread is a daemon.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


class Worker:
    """Makes calls one after the other."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """The outcome of ``call``, whatever it returns or raises."""
        outcome: Future[T] = Future()
        self._calls.put((call, outcome))
        return asyncio.wrap_future(outcome)

    def close(self) -> None:
        """End after the calls that were submitted."""
        self._calls.put(None)

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            call, outcome = asked
            if not outcome.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for it
                outcome.set_exception(error)
            else:
                outcome.set_result(result)
