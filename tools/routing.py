"""Moves the traffic of a target: reads and shifts the split in its VirtualService, safely.

The same code for every adapter of the Traffic port. Each write stamps on the document who wrote
what (the annotations below), in the same patch as the weights: so a write is never done twice, a
superseded owner is refused, and an edit by somebody else is noticed before the next move.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tools.arm_routes import AbTest, begin_operations, end_operations
from tools.errors import Conflict, Invalid, Refused, Uncertain
from tools.route_state import (
    PREVIOUS,
    RECEIPT,
    SPLIT,
    TOKEN,
    WRITTEN,
    RouteState,
    read_state,
    stamp_operations,
    stamped,
)
from tools.traffic import RouteDocument, Traffic
from tools.traffic_split import Mirror, TrafficSplit
from tools.values import Value

__all__ = [
    "PREVIOUS",
    "RECEIPT",
    "SPLIT",
    "TOKEN",
    "WRITTEN",
    "AbTest",
    "Mirror",
    "RouteState",
    "Router",
    "TrafficSplit",
    "ab_operations",
    "read_state",
    "shift_operations",
]

_ATTEMPTS = 5


def shift_operations(
    document: RouteDocument, host: str, split: TrafficSplit, *, key: str, token: int
) -> list[dict[str, Any]]:
    """The patch that makes ``split`` true and stamps it; no rule is checked here.

    It ends an A/B test: whoever goes back takes everybody along.
    """
    return stamped(document, host, end_operations(document.body, host, split), key=key, token=token)


def ab_operations(
    document: RouteDocument, host: str, test: AbTest, *, key: str, token: int
) -> list[dict[str, Any]]:
    """The patch that begins an A/B test and stamps it; no rule is checked here."""
    operations = begin_operations(document.body, host, test)
    return stamped(document, host, operations, key=key, token=token)


class _Aim(Value):
    """What one write is to come to."""

    key: str
    token: int
    split: TrafficSplit
    expect: TrafficSplit | None = None
    is_ab_test: bool = False

    def is_reached(self, state: RouteState) -> bool:
        """Whether this very write stands."""
        is_same = state.split == self.split and state.is_ab_test == self.is_ab_test
        return state.receipt == self.key and is_same


class Router:
    """Reads and shifts splits through a Traffic port."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def split(self, namespace: str, name: str, host: str) -> RouteState:
        """The split of ``host`` in the document, with mendloop's stamps on it."""
        return read_state(self._traffic.read(namespace, name), host)

    def shift(
        self,
        namespace: str,
        name: str,
        host: str,
        split: TrafficSplit,
        *,
        key: str,
        token: int,
        expect: TrafficSplit | None = None,
    ) -> RouteDocument:
        """Make ``split`` true, once per ``key``; the document as it then is.

        ``expect`` is the split that the decision rested on. Raises Conflict when another one is in
        force or others keep writing; Refused on a stale token, on somebody else's edit, and on a
        document that cannot be edited safely; Invalid when the key stands for another split;
        Uncertain when reading back could not tell whether the write arrived.
        """
        return self._write(
            namespace,
            name,
            host,
            lambda document: shift_operations(document, host, split, key=key, token=token),
            _Aim(key=key, token=token, split=split, expect=expect),
        )

    def ab_test(
        self, namespace: str, name: str, host: str, test: AbTest, *, key: str, token: int
    ) -> RouteDocument:
        """Begin an A/B test, once per ``key``; ``shift`` ends it. Raises like ``shift``."""
        split = TrafficSplit(shares=test.shares)
        return self._write(
            namespace,
            name,
            host,
            lambda document: ab_operations(document, host, test, key=key, token=token),
            _Aim(key=key, token=token, split=split, is_ab_test=True),
        )

    def claim(self, namespace: str, name: str, host: str, *, token: int) -> RouteDocument:
        """Stamp a new owner's token, so that the former owner's late writes are refused.

        Changes no route. Idempotent. Raises like ``shift``, except on somebody else's edit.
        """
        where = f"VirtualService {namespace}/{name}"
        for _ in range(_ATTEMPTS):
            document = self._traffic.read(namespace, name)
            state = read_state(document, host)
            _check_owner(where, state, token)
            try:
                return self._claimed(document, state, token)
            except (Conflict, Uncertain):
                continue
        raise Conflict(f"{where} was written by others {_ATTEMPTS} times in a row; try again")

    def adopt(self, namespace: str, name: str, host: str, *, key: str, token: int) -> RouteDocument:
        """Stamp the split that is in force as mendloop's own, after a person handed it back.

        Changes no route. Idempotent. Raises like ``claim``.
        """
        where = f"VirtualService {namespace}/{name}"
        for _ in range(_ATTEMPTS):
            document = self._traffic.read(namespace, name)
            state = read_state(document, host)
            _check_owner(where, state, token)
            try:
                if not state.edited:
                    return self._claimed(document, state, token)
                operations = stamped(document, host, [], key=key, token=token)
                return self._patch(document, operations)
            except (Conflict, Uncertain):
                continue
        raise Conflict(f"{where} was written by others {_ATTEMPTS} times in a row; try again")

    def applied(self, namespace: str, name: str, *, resource_version: str) -> bool | None:
        """Whether the data plane routes by this version or a later one; None: it does not say."""
        return self._traffic.applied(namespace, name, resource_version=resource_version)

    def _write(
        self,
        namespace: str,
        name: str,
        host: str,
        operations: Callable[[RouteDocument], list[dict[str, Any]]],
        aim: _Aim,
    ) -> RouteDocument:
        lost: Uncertain | None = None
        where = f"VirtualService {namespace}/{name}"
        for _ in range(_ATTEMPTS):
            document = self._traffic.read(namespace, name)
            state = read_state(document, host)
            _check_owner(where, state, aim.token)
            is_done = aim.is_reached(state)
            if not is_done:
                _check_move(where, state, aim)
            try:
                if is_done:
                    return self._claimed(document, state, aim.token)
                return self._patch(document, operations(document))
            except Uncertain as error:
                lost = error
            except Conflict:
                continue
        if lost:
            raise Uncertain(f"{where}: {aim.split} may or may not be in force: {lost}") from lost
        raise Conflict(f"{where} was written by others {_ATTEMPTS} times in a row; try again")

    def _claimed(self, document: RouteDocument, state: RouteState, token: int) -> RouteDocument:
        if token == state.token:
            return document
        return self._patch(document, stamp_operations(document, {TOKEN: str(token)}))

    def _patch(self, document: RouteDocument, operations: list[dict[str, Any]]) -> RouteDocument:
        return self._traffic.patch(
            document.namespace,
            document.name,
            operations,
            resource_version=document.resource_version,
        )


def _check_owner(where: str, state: RouteState, token: int) -> None:
    if token < state.token:
        raise Refused(
            f"{where} belongs to the owner with fencing token {state.token}; a write with token "
            f"{token} came too late. Take the lease anew before acting"
        )


def _check_move(where: str, state: RouteState, aim: _Aim) -> None:
    if state.edited:
        raise Refused(
            f"{where} was edited by somebody else: {state.edited}. mendloop stands down until "
            "`mendloop hand-back` gives the target back"
        )
    if state.receipt == aim.key:
        raise Invalid(
            f"{where}: the key {aim.key} already stands for {state.split}, not {aim.split}",
            field="key",
        )
    if aim.expect is not None and state.split != aim.expect:
        raise Conflict(
            f"{where} has {state.split}, expected {aim.expect}: read again, decide again"
        )
