"""Stored weights are believed when the counted requests show them."""

from __future__ import annotations

from tools.metrics import NoReading, Reading, VersionCounters
from tools.observed_share import ObservedShare
from tools.traffic_split import Mirror, TrafficSplit

TARGET = "default/flights"
SPLIT = TrafficSplit(shares={"1": 90, "2": 10})


class Counters:
    """Metrics whose counts a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.counts: dict[str, int] = {"1": 1000, "2": 0}
        self.epoch = "a"
        self.is_dark = False

    def monotonic_s(self) -> float:
        return self.now_s

    def read(self, target: str) -> Reading | NoReading:
        if self.is_dark:
            return NoReading(at_s=self.now_s, reason="dark")
        versions = tuple(
            VersionCounters(version=v, requests=n, errors=0, slow=0) for v, n in self.counts.items()
        )
        return Reading(at_s=self.now_s, versions=versions, epoch=self.epoch)

    def count(self, one: int, two: int) -> None:
        self.counts = {"1": self.counts["1"] + one, "2": self.counts["2"] + two}
        self.now_s += 5.0


def observed() -> tuple[ObservedShare, Counters]:
    counters = Counters()
    share = ObservedShare(counters, counters.monotonic_s)
    assert share.follows(TARGET, "7", SPLIT) is None, "the first look begins the stretch"
    return share, counters


def test_the_share_that_the_weights_say_is_believed() -> None:
    """Ninety to ten out of a thousand."""
    share, counters = observed()
    counters.count(898, 102)

    assert share.follows(TARGET, "7", SPLIT) is True


def test_few_requests_say_nothing_yet() -> None:
    """Ten requests agree with nearly everything."""
    share, counters = observed()
    counters.count(9, 1)

    assert share.follows(TARGET, "7", SPLIT) is None


def test_proxies_that_did_not_follow_are_noticed_until_they_do() -> None:
    """All requests still go to the old version; then a new stretch shows the new weights."""
    share, counters = observed()
    counters.count(400, 0)
    assert share.follows(TARGET, "7", SPLIT) is False
    counters.count(362, 38)

    assert share.follows(TARGET, "7", SPLIT) is True


def test_one_request_to_a_version_without_weight_is_one_too_many() -> None:
    """Going back is done when nothing reaches the version that was left."""
    share, counters = observed()
    back = TrafficSplit.all_to("1")
    assert share.follows(TARGET, "8", back) is None
    counters.count(500, 1)
    assert share.follows(TARGET, "8", back) is False
    counters.count(500, 0)

    assert share.follows(TARGET, "8", back) is True


def test_without_any_request_there_is_nothing_to_move() -> None:
    """A service that nobody calls must not keep an undo waiting for ever."""
    share, counters = observed()
    counters.now_s += 29.0
    assert share.follows(TARGET, "7", SPLIT) is None
    counters.now_s += 2.0

    assert share.follows(TARGET, "7", SPLIT) is True


def test_silence_and_restarted_counters_are_unknown() -> None:
    """Neither is a zero."""
    share, counters = observed()
    counters.is_dark = True
    assert share.follows(TARGET, "7", SPLIT) is None
    counters.is_dark, counters.epoch = False, "b"

    assert share.follows(TARGET, "7", SPLIT) is None


def test_copies_that_servers_count_are_no_requests_that_went_astray() -> None:
    """A shadow has no share, and its servers' proxies count what they got all the same."""
    counters = Counters()
    share = ObservedShare(counters, counters.monotonic_s)
    shadow = TrafficSplit(shares={"1": 100}, mirror=Mirror(version="2"))
    share.follows(TARGET, "7", shadow)
    counters.count(500, 500)

    assert share.follows(TARGET, "7", shadow) is True
