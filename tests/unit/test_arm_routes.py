"""A/B tests add routes of mendloop's own, and leave nothing of them behind."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simulations.clock import VirtualClock
from simulations.traffic import MemoryTraffic
from tests.unit.test_routing_documents import (
    HOST,
    Body,
    destination,
    document,
    documents,
    splits,
    without_owned,
)
from tools.arm_routes import AbTest, arms_of, begin_operations, end_operations
from tools.errors import Invalid, Refused
from tools.json_patch import apply_patch
from tools.routing import Router, TrafficSplit
from tools.virtual_service import owned_routes, read_split, split_operations, virtual_service

HALVES = AbTest(shares={"1": 50, "2": 50})


def begun(body: Body, test: AbTest = HALVES) -> Body:
    return apply_patch(body, begin_operations(body, HOST, test), name="flights")


def ended(body: Body, split: TrafficSplit) -> Body:
    return apply_patch(body, end_operations(body, HOST, split), name="flights")


def without_arms(body: Body) -> Body:
    """The document as if there were no test; cookies included."""
    rest = copy.deepcopy(body)
    arms = arms_of(rest, HOST)
    rest["spec"]["http"] = [route for route in rest["spec"]["http"] if route not in arms]
    for route in rest["spec"]["http"]:
        for entry in route.get("route", []):
            added = entry.get("headers", {}).get("response", {}).get("add", {})
            if added.pop("set-cookie", "").startswith("mendloop-arm="):
                if not added:
                    del entry["headers"]["response"]["add"]
                if not entry["headers"]["response"]:
                    del entry["headers"]["response"]
                if not entry["headers"]:
                    del entry["headers"]
    return rest


tests = st.builds(
    AbTest, shares=splits().map(lambda split: split.shares).filter(lambda found: len(found) > 1)
)


@given(documents(), tests)
def test_a_test_divides_new_callers_and_catches_the_known_ones(body: Body, test: AbTest) -> None:
    """The weighted route says the shares; two arms per version stand before it."""
    after = begun(body, test)
    [primary] = owned_routes(after, HOST)
    arms = arms_of(after, HOST)

    assert read_split(after, HOST) == TrafficSplit(shares=test.shares)
    assert [arm["route"][0]["destination"]["subset"] for arm in arms] == [
        f"v{version}" for version in sorted(test.shares)
    ] * 2
    assert all(after["spec"]["http"].index(arm) < primary for arm in arms)


@given(documents(), tests)
def test_what_is_not_mendloops_stays_as_it_is(body: Body, test: AbTest) -> None:
    """Routes of others keep their order and their content, during the test too."""
    assert without_owned(without_arms(begun(body, test))) == without_owned(body)


@given(documents(), tests, splits())
def test_going_back_takes_everybody_along(body: Body, test: AbTest, split: TrafficSplit) -> None:
    """Ending a test leaves what the same shift would have left without it."""
    there = apply_patch(body, split_operations(body, HOST, split), name="flights")
    back = ended(begun(body, test), split)

    assert arms_of(back, HOST) == []
    assert read_split(back, HOST) == split
    assert without_owned(back) == without_owned(there)


@given(documents(), tests, tests)
def test_one_test_takes_the_place_of_another(body: Body, first: AbTest, second: AbTest) -> None:
    """Nothing of the first is left."""
    again = begun(begun(body, first), second)

    assert len(arms_of(again, HOST)) == 2 * len(second.shares)
    assert read_split(again, HOST) == TrafficSplit(shares=second.shares)


def test_an_arm_matches_what_the_route_matches() -> None:
    """Spelled out: with the header, which comes first, or with the cookie; else as the route."""
    body = document(
        {
            "match": [{"uri": {"prefix": "/predict"}}],
            "route": [destination("1", 100)],
            "timeout": "5s",
        }
    )
    arms = arms_of(begun(body), HOST)
    ways: list[Body] = [
        {"x-mendloop-version": {"exact": "2"}},
        {"cookie": {"regex": r"(.*;\s*)?mendloop\-arm=2(;.*)?"}},
    ]

    assert [arms[1], arms[3]] == [
        {
            "name": f"mendloop-arm.flights.v2.{by}",
            "match": [{"uri": {"prefix": "/predict"}, "headers": headers}],
            "route": [{"destination": {"host": HOST, "subset": "v2"}}],
            "timeout": "5s",
        }
        for by, headers in zip(("header", "cookie"), ways, strict=True)
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            document(
                {
                    "match": [{"headers": {"cookie": {"regex": ".*"}}}, {"uri": {"prefix": "/"}}],
                    "route": [destination("1", 50), destination("2", 50)],
                }
            ),
            "already looks at the header 'cookie'",
        ),
        (
            document(
                {
                    "route": [
                        destination("1", 100, headers={"response": {"add": {"Set-Cookie": "a=b"}}})
                    ]
                }
            ),
            "already sets a cookie",
        ),
        (
            document(
                {"name": "a", "route": [destination("1", 100)]},
                {"name": "b", "route": [destination("1", 100)]},
                annotations={"mendloop.dev/routes": "a,b"},
            ),
            "an A/B test needs one",
        ),
    ],
)
def test_a_document_without_room_for_a_test_is_refused(body: Body, reason: str) -> None:
    """And says why."""
    with pytest.raises(Refused, match=reason):
        begin_operations(body, HOST, HALVES)


@pytest.mark.parametrize(
    "settings",
    [
        {"shares": {"1": 100}},
        {"shares": {"1": 50, "2": 49}},
        {"shares": {"1": 50, "2": 50}, "cookie": "a=b;"},
        {"shares": {"1": 50, "2": 50}, "header": "X Version"},
    ],
)
def test_a_test_that_is_none_is_invalid(settings: dict[str, Any]) -> None:
    """One version, shares that do not add up, names that HTTP does not know."""
    with pytest.raises(ValidationError):
        AbTest(**settings)


NAME = ("default", HOST)
ROUTE = (*NAME, HOST)


@pytest.fixture
def router() -> Router:
    traffic = MemoryTraffic(VirtualClock())
    for version in ("1", "2"):
        traffic.publish("default/flights", version, f"server-{version}:80")
    body = virtual_service(*NAME, host=HOST, version="1", hosts=[HOST])
    traffic.create(body)
    return Router(traffic)


def test_a_test_begins_once_per_key_and_a_shift_ends_it(router: Router) -> None:
    """The same key changes nothing; another one is another write; an old owner does none."""
    first = router.ab_test(*ROUTE, HALVES, key="k1", token=2)
    again = router.ab_test(*ROUTE, HALVES, key="k1", token=2)
    during = router.split(*ROUTE)
    with pytest.raises(Refused, match="too late"):
        router.ab_test(*ROUTE, HALVES, key="k2", token=1)
    with pytest.raises(Invalid, match="already stands"):
        router.shift(*ROUTE, TrafficSplit.all_to("1"), key="k1", token=2)
    router.shift(*ROUTE, TrafficSplit.all_to("1"), key="k3", token=2)
    after = router.split(*ROUTE)

    assert first == again
    assert (during.is_ab_test, during.edited) == (True, "")
    assert (after.is_ab_test, after.edited) == (False, "")
    assert after.previous == TrafficSplit(shares=HALVES.shares)


def test_somebody_elses_edit_of_an_arm_is_noticed(router: Router) -> None:
    """mendloop stands down; handed back, the test goes on as it was found."""
    document = router.ab_test(*ROUTE, HALVES, key="k1", token=1)
    traffic = router._traffic
    assert isinstance(traffic, MemoryTraffic)
    path = "/spec/http/0/route/0/destination/subset"
    assert document.body["spec"]["http"][0]["name"].startswith("mendloop-arm.")
    traffic.edit("default", HOST, [{"op": "replace", "path": path, "value": "v2"}])
    with pytest.raises(Refused, match="A/B test are not as mendloop wrote"):
        router.shift(*ROUTE, TrafficSplit.all_to("1"), key="k2", token=1)
    router.adopt(*ROUTE, key="k3", token=1)

    assert router.split(*ROUTE).is_ab_test
    assert router.split(*ROUTE).edited == ""
