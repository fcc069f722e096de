"""The whole production path against a real API server, by the account that the chart makes.

A kubelet, Kubeflow's steps and users are played; Prometheus is real.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import test_cluster_loop as suite
from tests.stand_in.chart_release import Release
from tests.stand_in.cluster_stage import Place, Stage, staged

globals().update(
    {
        name: claim
        for name, claim in vars(suite).items()
        if name.startswith("test_") and "stage" in claim.__code__.co_varnames[:1]
    }
)


@pytest.fixture
def stage(release: Release, tmp_path: Path) -> Iterator[Stage]:
    release.install("act")
    access = {"kubeconfig": str(release.kubeconfig)}
    place = Place(release.admin, access, models=release.models, own=release.own)
    with staged(tmp_path, place) as found:
        yield found
