"""The router moves a target's traffic once per key, for the newest owner, and nobody else's."""

from __future__ import annotations

import pytest

from simulations.clock import VirtualClock
from simulations.traffic import MemoryTraffic
from tools.errors import Conflict, Invalid, Refused, Unavailable, Uncertain
from tools.routing import (
    PREVIOUS,
    RECEIPT,
    TOKEN,
    WRITTEN,
    Mirror,
    Router,
    TrafficSplit,
)
from tools.virtual_service import annotations_of, virtual_service

NAME = ("default", "flights")
ROUTE = (*NAME, "flights")
STABLE = TrafficSplit.all_to("1")
CANARY = TrafficSplit(shares={"1": 95, "2": 5})
WIDER = TrafficSplit(shares={"1": 75, "2": 25})


class Faults:
    """Raises each planned error once, at its call and moment; remembers every call."""

    def __init__(self) -> None:
        self.planned: dict[str, list[BaseException]] = {}
        self.calls: list[str] = []

    def __call__(self, call: str) -> None:
        self.calls.append(call)
        if self.planned.get(call):
            raise self.planned[call].pop(0)


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def traffic(faults: Faults) -> MemoryTraffic:
    traffic = MemoryTraffic(VirtualClock(), fault=faults)
    for version in ("1", "2"):
        traffic.publish("default/flights", version, f"server-{version}:80")
    traffic.create(virtual_service(*NAME, host="flights", version="1", hosts=["flights"]))
    return traffic


@pytest.fixture
def router(traffic: MemoryTraffic) -> Router:
    return Router(traffic)


def weights_by_hand(router: Router, traffic: MemoryTraffic, *shares: int) -> None:
    """What ``kubectl edit`` would do to a document with two destinations."""
    traffic.edit(
        *NAME,
        [
            {"op": "replace", "path": f"/spec/http/0/route/{i}/weight", "value": share}
            for i, share in enumerate(shares)
        ],
    )


def test_a_first_shift_needs_no_stamps_and_leaves_them(router: Router) -> None:
    """A document that mendloop never wrote to is taken over, and then says who wrote what."""
    document = router.shift(*ROUTE, CANARY, key="k1", token=3)

    state = router.split(*ROUTE)
    assert state.split == CANARY
    assert (state.receipt, state.token, state.previous, state.edited) == ("k1", 3, STABLE, "")
    assert {TOKEN, RECEIPT, WRITTEN, PREVIOUS} <= set(annotations_of(document.body))


def test_a_key_acts_once(router: Router, faults: Faults) -> None:
    """The second call with a key writes nothing and returns the document as it is."""
    first = router.shift(*ROUTE, CANARY, key="k1", token=1)
    writes = faults.calls.count("traffic.patch:before")
    second = router.shift(*ROUTE, CANARY, key="k1", token=1, expect=STABLE)

    assert second == first
    assert faults.calls.count("traffic.patch:before") == writes


def test_a_key_stands_for_one_split(router: Router) -> None:
    """A key that comes back with other arguments is a mistake of the caller."""
    router.shift(*ROUTE, CANARY, key="k1", token=1)

    with pytest.raises(Invalid, match="k1 already stands for 95 % to v1, 5 % to v2"):
        router.shift(*ROUTE, WIDER, key="k1", token=1)


def test_a_superseded_owner_is_refused(router: Router) -> None:
    """A lower token than the one on the document came too late; nothing changes."""
    router.shift(*ROUTE, CANARY, key="k1", token=7)

    with pytest.raises(Refused, match="fencing token 7"):
        router.shift(*ROUTE, WIDER, key="k2", token=6)
    assert router.split(*ROUTE).split == CANARY


def test_a_claim_shuts_out_the_former_owner_before_the_first_move(router: Router) -> None:
    """The new owner's token counts from its claim, and the claim moves no traffic."""
    router.shift(*ROUTE, CANARY, key="k1", token=1)
    router.claim(*ROUTE, token=2)

    with pytest.raises(Refused, match="fencing token 2"):
        router.shift(*ROUTE, WIDER, key="k2", token=1)
    state = router.split(*ROUTE)
    assert (state.split, state.receipt, state.edited) == (CANARY, "k1", "")


def test_a_new_owner_that_finds_its_key_done_still_shuts_out_the_old_one(router: Router) -> None:
    """Idempotence does not weaken fencing."""
    router.shift(*ROUTE, CANARY, key="k1", token=1)
    router.shift(*ROUTE, CANARY, key="k1", token=2)

    with pytest.raises(Refused):
        router.shift(*ROUTE, WIDER, key="k2", token=1)


def test_somebody_elses_edit_makes_mendloop_stand_down(
    router: Router, traffic: MemoryTraffic
) -> None:
    """The refusal says what is there and what mendloop had written."""
    router.shift(*ROUTE, CANARY, key="k1", token=1)
    weights_by_hand(router, traffic, 60, 40)

    with pytest.raises(Refused) as refusal:
        router.shift(*ROUTE, STABLE, key="k2", token=1)
    assert "it has 60 % to v1, 40 % to v2, mendloop wrote 95 % to v1, 5 % to v2" in str(
        refusal.value
    )
    assert "60 %" in router.split(*ROUTE).edited
    assert router.split(*ROUTE).split.share("2") == 40


def test_an_edit_elsewhere_in_the_document_is_nobodys_business(
    router: Router, traffic: MemoryTraffic
) -> None:
    """Only the owned part counts."""
    router.shift(*ROUTE, CANARY, key="k1", token=1)
    traffic.edit(*NAME, [{"op": "replace", "path": "/spec/http/0/timeout", "value": "9s"}])
    document = router.shift(*ROUTE, WIDER, key="k2", token=1)

    assert document.body["spec"]["http"][0]["timeout"] == "9s"
    assert router.split(*ROUTE).split == WIDER


def test_a_removed_stamp_hands_the_route_back(router: Router, traffic: MemoryTraffic) -> None:
    """The way out that the refusal names works."""
    router.shift(*ROUTE, CANARY, key="k1", token=1)
    weights_by_hand(router, traffic, 60, 40)
    path = f"/metadata/annotations/{WRITTEN.replace('/', '~1')}"
    traffic.edit(*NAME, [{"op": "remove", "path": path}])
    router.shift(*ROUTE, STABLE, key="k2", token=1)

    assert router.split(*ROUTE).split == STABLE


def test_a_decision_that_rested_on_another_split_is_sent_back(router: Router) -> None:
    """``expect`` is compared with what is in force at the moment of the write."""
    router.shift(*ROUTE, CANARY, key="k1", token=1)

    with pytest.raises(Conflict, match="expected 100 % to v1"):
        router.shift(*ROUTE, WIDER, key="k2", token=1, expect=STABLE)
    assert router.split(*ROUTE).split == CANARY


def test_conflicts_are_read_again_and_retried(router: Router, faults: Faults) -> None:
    """Another writer in between costs a round, not the move."""
    faults.planned["traffic.patch:before"] = [Conflict("first"), Conflict("second")]
    router.shift(*ROUTE, CANARY, key="k1", token=1)

    assert router.split(*ROUTE).split == CANARY
    assert faults.calls.count("traffic.patch:after") == 1


def test_endless_conflicts_are_given_up(router: Router, faults: Faults) -> None:
    """The retries are bounded, and nothing was changed."""
    faults.planned["traffic.patch:before"] = [Conflict("again")] * 100

    with pytest.raises(Conflict, match="5 times in a row"):
        router.shift(*ROUTE, CANARY, key="k1", token=1)
    assert len(faults.planned["traffic.patch:before"]) == 95
    assert router.split(*ROUTE).split == STABLE


def test_a_lost_answer_is_looked_up_and_the_move_made_once(
    router: Router, faults: Faults, traffic: MemoryTraffic
) -> None:
    """The write arrived and its answer did not: the receipt on the document tells."""
    before = traffic.read(*NAME)
    faults.planned["traffic.patch:after"] = [Uncertain("the answer was lost")]
    document = router.shift(*ROUTE, CANARY, key="k1", token=1)

    assert router.split(*ROUTE).receipt == "k1"
    assert int(document.resource_version) == int(before.resource_version) + 1


def test_a_lost_request_is_made_again(router: Router, faults: Faults) -> None:
    """The write did not arrive: it is safe to repeat."""
    faults.planned["traffic.patch:before"] = [Uncertain("the request was lost")]
    router.shift(*ROUTE, CANARY, key="k1", token=1)

    assert router.split(*ROUTE).split == CANARY


def test_when_nothing_can_be_told_the_move_stays_uncertain(router: Router, faults: Faults) -> None:
    """Bounded, and never reported as done or as not done."""
    faults.planned["traffic.patch:before"] = [Uncertain("lost")] * 100

    with pytest.raises(Uncertain, match="may or may not be in force"):
        router.shift(*ROUTE, CANARY, key="k1", token=1)


class Killed(BaseException):
    """The controller dies here."""


@pytest.mark.parametrize("moment", ["read:before", "read:after", "patch:before", "patch:after"])
def test_a_controller_that_dies_anywhere_moves_the_traffic_once(
    router: Router, faults: Faults, traffic: MemoryTraffic, moment: str
) -> None:
    """The next owner repeats the call: one write in all, under the receipt of the first."""
    before = traffic.read(*NAME)
    faults.planned[f"traffic.{moment}"] = [Killed()]
    with pytest.raises(Killed):
        router.shift(*ROUTE, CANARY, key="k1", token=1, expect=STABLE)
    document = router.shift(*ROUTE, CANARY, key="k1", token=1, expect=STABLE)

    assert router.split(*ROUTE).split == CANARY
    assert int(document.resource_version) == int(before.resource_version) + 1


def test_a_store_that_is_down_changes_nothing(router: Router, faults: Faults) -> None:
    """Unavailable goes to the caller, who may try again."""
    faults.planned["traffic.read:before"] = [Unavailable("down")]

    with pytest.raises(Unavailable):
        router.shift(*ROUTE, CANARY, key="k1", token=1)
    assert router.split(*ROUTE).split == STABLE


def test_a_broken_token_is_refused(router: Router, traffic: MemoryTraffic) -> None:
    """Fencing fails closed."""
    router.shift(*ROUTE, CANARY, key="k1", token=1)
    path = f"/metadata/annotations/{TOKEN.replace('/', '~1')}"
    traffic.edit(*NAME, [{"op": "replace", "path": path, "value": "seven"}])

    with pytest.raises(Refused, match="expected a whole number"):
        router.shift(*ROUTE, WIDER, key="k2", token=9)


def test_a_mirror_is_part_of_the_split(router: Router) -> None:
    """Shadowing is set and taken back like a weight."""
    shadow = TrafficSplit(shares={"1": 100}, mirror=Mirror(version="2", percent=50))
    router.shift(*ROUTE, shadow, key="k1", token=1)
    assert router.split(*ROUTE).split == shadow

    router.shift(*ROUTE, CANARY, key="k2", token=1)
    assert router.split(*ROUTE).split == CANARY
