"""What mendloop tells Prometheus about itself: names that dashboards can rely on."""

from __future__ import annotations

import re

import pytest

from orchestrator.metrics_words import WORDS, Word, series_names


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.name)
def test_a_name_says_what_it_is(word: Word) -> None:
    """The conventions of Prometheus: one prefix, base units, counters end in _total."""
    assert re.fullmatch(r"mendloop_[a-z_]+", word.name)
    assert (word.kind == "counter") == word.name.endswith("_total")
    assert (word.kind == "histogram") == bool(word.buckets)
    assert list(word.buckets) == sorted(set(word.buckets))
    assert word.help.endswith(".")


def test_no_name_is_given_twice() -> None:
    """Two metrics of one name would be one series of nonsense."""
    names = [word.name for word in WORDS]

    assert len(names) == len(set(names))
    assert "mendloop_tick_duration_seconds_bucket" in series_names()
    assert "mendloop_tick_duration_seconds" not in series_names()
