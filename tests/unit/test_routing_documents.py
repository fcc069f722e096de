"""Edits of a VirtualService are minimal, and what is not mendloop's never changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tools.errors import Conflict, Refused
from tools.json_patch import apply_patch
from tools.traffic_split import Mirror, TrafficSplit
from tools.virtual_service import (
    ROUTES_ANNOTATION,
    owned_routes,
    read_split,
    split_operations,
)

Body = dict[str, Any]
HOST = "flights"


def destination(version: str, weight: int | None, **more: Any) -> Body:
    entry: Body = {"destination": {"host": HOST, "subset": f"v{version}"}, **more}
    return entry if weight is None else {**entry, "weight": weight}


def document(*routes: Body, annotations: dict[str, str] | None = None) -> Body:
    metadata = {"name": "flights", "namespace": "default", "annotations": annotations or {}}
    return {"kind": "VirtualService", "metadata": metadata, "spec": {"http": list(routes)}}


def shifted(body: Body, split: TrafficSplit) -> Body:
    return apply_patch(body, split_operations(body, HOST, split), name="flights")


FOREIGN = {
    "match": [{"uri": {"prefix": "/hotels"}}],
    "route": [{"destination": {"host": "hotels"}}],
}
OVERRIDE = {
    "match": [{"headers": {"x-version": {"exact": "2"}}}],
    "route": [{"destination": {"host": HOST, "subset": "v2"}}],
}

versions = st.sampled_from(["1", "2", "3", "10", "2024.1"])


@st.composite
def splits(draw: st.DrawFn) -> TrafficSplit:
    """Any split over up to four versions, with or without a mirror."""
    names = draw(st.lists(versions, min_size=1, max_size=4, unique=True))
    cuts = sorted(draw(st.lists(st.integers(0, 100), min_size=len(names) - 1, max_size=3)))
    edges = [0, *cuts[: len(names) - 1], 100]
    shares = {name: b - a for name, a, b in zip(names, edges, edges[1:], strict=False)}
    mirror = draw(st.none() | st.builds(Mirror, version=versions, percent=st.integers(1, 100)))
    return TrafficSplit(shares=shares, mirror=mirror)


@st.composite
def documents(draw: st.DrawFn) -> Body:
    """A document in which one route is plainly the target's, among routes and fields of others."""
    split = draw(splits())
    route: Body = {
        "name": "primary",
        "route": [destination(v, share) for v, share in split.shares.items()],
        "timeout": "5s",
    }
    extra = {"headers": {"response": {"set": {"x-by": "others"}}}}
    if draw(st.booleans()):
        route["route"][0].update(extra)
    if draw(st.booleans()):
        route["retries"] = {"attempts": 3}
    if split.mirror:
        route["mirror"] = {"host": HOST, "subset": f"v{split.mirror.version}"}
        route["mirrorPercentage"] = {"value": split.mirror.percent}
    routes = [route]
    for other in draw(st.permutations([FOREIGN, OVERRIDE]))[: draw(st.integers(0, 2))]:
        routes.insert(draw(st.integers(0, len(routes))), copy.deepcopy(other))
    return document(*routes, annotations={"team": "flights"})


def without_owned(body: Body) -> Body:
    """Everything of a document that mendloop has no business with."""
    rest = copy.deepcopy(body)
    [primary] = [route for route in rest["spec"]["http"] if route.get("name") == "primary"]
    for field in ("mirror", "mirrorPercentage"):
        primary.pop(field, None)
    primary["route"] = [
        {**entry, "weight": 0}
        for entry in primary["route"]
        if set(entry) > {"destination", "weight"}
    ]
    return rest


@given(documents(), splits())
def test_a_shift_makes_the_split_true(body: Body, split: TrafficSplit) -> None:
    """What is read after a shift is what was asked for, from any document."""
    assert read_split(shifted(body, split), HOST) == split


@given(documents(), splits())
def test_weights_always_add_up(body: Body, split: TrafficSplit) -> None:
    """The owned route's weights are 100 in all, whatever was before."""
    after = shifted(body, split)
    [primary] = [route for route in after["spec"]["http"] if route.get("name") == "primary"]

    assert sum(entry.get("weight", 100) for entry in primary["route"]) == 100


@given(documents(), splits())
def test_foreign_routes_and_fields_never_change(body: Body, split: TrafficSplit) -> None:
    """Routes of others, their fields on our route, and other annotations stay as they are."""
    assert without_owned(shifted(body, split)) == without_owned(body)


@given(documents(), splits(), splits())
def test_shifts_compose_and_undo(body: Body, first: TrafficSplit, second: TrafficSplit) -> None:
    """Going somewhere and back is read as never having left; the same split is an empty patch."""
    before = read_split(body, HOST)
    there = shifted(shifted(body, first), second)

    assert read_split(shifted(there, before), HOST) == before
    assert split_operations(there, HOST, second) == []


@given(documents(), splits())
def test_a_patch_does_not_fit_a_document_that_moved_on(body: Body, split: TrafficSplit) -> None:
    """Every change tests first that its route is as it was read."""
    operations = split_operations(body, HOST, split)
    moved_on = copy.deepcopy(body)
    moved_on["spec"]["http"].insert(0, {"name": "new", **copy.deepcopy(FOREIGN)})
    if not operations:
        return

    with pytest.raises(Conflict):
        apply_patch(moved_on, operations, name="flights")


def test_a_step_replaces_two_weights_and_nothing_else() -> None:
    """The patch of an ordinary canary step, spelled out."""
    body = document({"route": [destination("1", 95), destination("2", 5)]})
    operations = split_operations(body, HOST, TrafficSplit(shares={"1": 75, "2": 25}))

    assert operations == [
        {"op": "test", "path": "/spec/http/0", "value": body["spec"]["http"][0]},
        {"op": "replace", "path": "/spec/http/0/route/0/weight", "value": 75},
        {"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 25},
    ]


def test_an_only_destination_needs_no_weight() -> None:
    """Istio takes it for 100, and so does mendloop, which adds none while it is alone."""
    body = document({"route": [destination("1", None)]})

    assert read_split(body, HOST) == TrafficSplit.all_to("1")
    assert split_operations(body, HOST, TrafficSplit.all_to("1")) == []
    assert read_split(shifted(body, TrafficSplit(shares={"1": 90, "2": 10})), HOST).share("2") == 10


def test_a_new_destination_goes_to_the_same_port() -> None:
    """What the old destination says of the service holds for the new version, too."""
    entry = {"destination": {"host": HOST, "subset": "v1", "port": {"number": 80}}}
    after = shifted(document({"route": [entry]}), TrafficSplit(shares={"1": 90, "2": 10}))

    assert after["spec"]["http"][0]["route"][1]["destination"] == {
        "host": HOST,
        "subset": "v2",
        "port": {"number": 80},
    }


@pytest.mark.parametrize("host", ["flights.default", "flights.default.svc.cluster.local"])
def test_a_host_may_be_written_out(host: str) -> None:
    """Short and full names of a service are one host."""
    body = document({"route": [{"destination": {"host": host, "subset": "v1"}}]})

    assert read_split(body, HOST) == TrafficSplit.all_to("1")


def test_named_routes_move_together() -> None:
    """People say which routes are meant where it is not plain."""
    rows = {"name": "rows", "route": [destination("1", 100)]}
    batch = {
        "name": "batch",
        "match": [{"uri": {"prefix": "/predict/batch"}}],
        "route": [destination("1", 100)],
    }
    body = document(batch, rows, annotations={ROUTES_ANNOTATION: "rows, batch"})
    after = shifted(body, TrafficSplit(shares={"1": 95, "2": 5}))

    assert [[e["weight"] for e in r["route"]] for r in after["spec"]["http"]] == [[95, 5]] * 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (document(), "has no http routes"),
        ({**document({}), "kind": "Gateway"}, "expected a VirtualService"),
        (document(FOREIGN), "no http route leads to flights"),
        (document({"delegate": {"name": "other"}}), "delegates to default/other"),
        (document(*[{"route": [destination("1", 100)]}] * 2), "2 http routes lead to flights"),
        (document({"route": [destination("1", 60), destination("2", 30)]}), "add up to 90"),
        (document({"route": [destination("1", 50), destination("1", 50)]}), "each once"),
        (
            document(
                {"route": [destination("1", 90), {"destination": {"host": "x"}, "weight": 10}]}
            ),
            "expected subsets",
        ),
        (
            document({"route": [{"destination": {"host": HOST, "subset": "blue"}}]}),
            "expected subset",
        ),
        (document({"route": [{"destination": {"host": HOST}, "weight": "100"}]}), "malformed"),
        (
            document(
                {"name": "a", "route": [destination("1", 100)]},
                {"name": "b", "route": [destination("2", 100)]},
                annotations={ROUTES_ANNOTATION: "a,b"},
            ),
            "divide traffic differently",
        ),
        (
            document({"route": [destination("1", 100)]}, annotations={ROUTES_ANNOTATION: "x"}),
            "names 'x'",
        ),
        (
            document({"route": [destination("1", 100)], "mirrors": [destination("2", None)]}),
            "use mirror instead",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_refused(body: Body, reason: str) -> None:
    """A document that mendloop does not understand is left alone, with the reason."""
    with pytest.raises(Refused, match=reason):
        read_split(body, HOST)


def test_somebody_elses_mirror_is_not_replaced() -> None:
    """Their copies go on, whatever the split; a mirror of ours is refused."""
    theirs = {"host": "audit"}
    body = document({"route": [destination("1", 100)], "mirror": theirs})
    after = shifted(body, TrafficSplit(shares={"1": 95, "2": 5}))
    assert after["spec"]["http"][0]["mirror"] == theirs

    with pytest.raises(Refused, match="already copies"):
        shifted(body, TrafficSplit(shares={"1": 100}, mirror=Mirror(version="2")))


@pytest.mark.parametrize("shares", [{}, {"1": 99}, {"1": 101, "2": -1}])
def test_a_split_adds_up_to_100(shares: dict[str, int]) -> None:
    """No other split can be expressed."""
    with pytest.raises(ValidationError, match="add up to 100"):
        TrafficSplit(shares=shares)


TARGETS = st.sampled_from([HOST, f"{HOST}.default.svc.cluster.local", "hotels", f"{HOST}.other"])
SUBSETS = st.sampled_from(["v1", "v2", "v3", "canary", ""])


@st.composite
def anything(draw: st.DrawFn) -> Body:
    """A VirtualService such as people write them: most of these cannot be edited safely."""
    entry = st.fixed_dictionaries(
        {"destination": st.fixed_dictionaries({"host": TARGETS, "subset": SUBSETS})},
        optional={
            "weight": st.sampled_from([0, 5, 50, 95, 100]),
            "headers": st.just({"request": {"set": {"x": "y"}}}),
        },
    )
    copies = st.fixed_dictionaries({"host": TARGETS, "subset": SUBSETS})
    matches = st.sampled_from(
        [{"uri": {"prefix": "/a"}}, {"headers": {"x": {"exact": "1"}}}, {"port": 8080}, {}]
    )
    route = st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["primary", "a", "b"]),
            "match": st.lists(matches, max_size=2),
            "route": st.lists(entry, max_size=3),
            "mirror": copies,
            "mirrorPercentage": st.fixed_dictionaries({"value": st.sampled_from([0, 0.5, 100])}),
            "mirrors": st.lists(st.fixed_dictionaries({"destination": copies}), max_size=2),
            "delegate": st.just({"name": "other"}),
            "redirect": st.just({"uri": "/gone"}),
            "retries": st.just({"attempts": 3}),
            "corsPolicy": st.just({"allowOrigins": [{"exact": "*"}]}),
        },
    )
    plain = st.builds(
        lambda one: {"name": "primary", "route": [destination(v, s) for v, s in one.items()]},
        splits().map(lambda split: split.shares),
    )
    routes = draw(st.lists(route, max_size=3)) + draw(st.lists(plain, max_size=1))
    named = draw(st.sampled_from([None, "primary", "a,b", "nobody"]))
    return document(*routes, annotations={ROUTES_ANNOTATION: named} if named else {"a": "b"})


@given(anything(), splits())
def test_whatever_people_wrote_is_edited_surgically_or_refused(
    body: Body, split: TrafficSplit
) -> None:
    """Routes that are not the target's, and all that is not weight, destination or mirror of
    those that are, stay; or nothing is done."""
    try:
        owned = owned_routes(body, HOST)
        after = shifted(body, split)
    except Refused:
        return
    before_routes, after_routes = body["spec"]["http"], after["spec"]["http"]

    assert read_split(after, HOST) == split
    assert {**after, "spec": {}} == {**body, "spec": {}}
    assert len(after_routes) == len(before_routes)
    for index, (was, now) in enumerate(zip(before_routes, after_routes, strict=True)):
        ours = {"route", "mirror", "mirrorPercentage"} if index in owned else set()
        assert {k: v for k, v in was.items() if k not in ours} == {
            k: v for k, v in now.items() if k not in ours
        }
