"""Measures how long weights take to be restored and read back once harm is proved.

The adapter for Istio and the router over an API server (the tests' stand-in, over HTTP): healthy,
and with 30 % of its answers 409 or 500. What fails is tried again at the next tick, half a second
later, as the controller does. The judging before it is not measured. Targets: at most 2 s and 10 s.

Run it as ``python -m benchmarks.restore [--runs 60] [--quick] [--json]``.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.promises.test_traffic import serve
from tests.stand_in.kubernetes_api import api_server
from tests.stand_in.kubernetes_cluster import Cluster, Failure
from tools.errors import Unavailable, Uncertain
from tools.istio import IstioTraffic
from tools.kubernetes_api import KubernetesApi
from tools.routing import Router
from tools.traffic_split import TrafficSplit
from tools.virtual_service import virtual_service

TICK_S = 0.5
LIMIT_S = {"responsive": 2.0, "faulty": 10.0}
FAULTY = 0.3
CANARY, RESTORED = TrafficSplit(shares={"1": 75, "2": 25}), TrafficSplit(shares={"1": 100})


def restore_s(router: Router, name: str, number: int) -> float:
    """Seconds until the weights are read back as they were before the canary."""
    began_s = time.perf_counter()
    while True:
        try:
            router.shift("default", name, name, RESTORED, key=f"back-{number}", token=1)
            found = router.split("default", name, name).split
            if found.share("1") == 100:
                return time.perf_counter() - began_s
        except (Unavailable, Uncertain):
            time.sleep(TICK_S)


def measure(runs: int, seed: int) -> dict[str, Any]:
    """The figures of one run, in seconds."""
    found: dict[str, Any] = {"runs": runs, "holds": True}
    with api_server() as (url, cluster):
        api = KubernetesApi.at(url)
        router = Router(IstioTraffic(api))
        for kind in LIMIT_S:
            taken = sorted(
                _one(api, router, cluster, f"{kind}-{run}", run, random.Random(seed + run))
                for run in range(runs)
            )
            found[kind] = {
                "median_s": statistics.median(taken),
                "p90_s": taken[int(0.9 * (len(taken) - 1))],
                "max_s": taken[-1],
            }
            found["holds"] &= taken[-1] <= LIMIT_S[kind]
    return found


def _one(
    api: KubernetesApi,
    router: Router,
    cluster: Cluster,
    name: str,
    number: int,
    chance: random.Random,
) -> float:
    for version in ("1", "2"):
        serve(api, f"default/{name}", version)
    router_body = virtual_service("default", name, host=name, version="1", hosts=[name])
    IstioTraffic(api).create(router_body)
    router.shift("default", name, name, CANARY, key=f"canary-{number}", token=1)

    def fault(method: str, path: str) -> Failure | None:
        if chance.random() >= FAULTY:
            return None
        code = chance.choice((409, 500))
        return Failure(code, "Conflict" if code == 409 else "InternalError", "made to fail")

    before = cluster.fault
    if name.startswith("faulty"):
        cluster.fault = fault
    try:
        return restore_s(router, name, number)
    finally:
        cluster.fault = before


def main() -> None:
    """Print the table or the JSON; exit code 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="12 runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(12 if options.quick else options.runs, options.seed)
    if options.json:
        print(json.dumps(found))
    else:
        table = Table(title=f"Weights restored and read back, {found['runs']} runs each")
        for column in ("API server", "median", "p90", "worst", "limit"):
            table.add_column(column)
        for kind, limit_s in LIMIT_S.items():
            of = found[kind]
            figures = [f"{of[n]:.2f} s" for n in ("median_s", "p90_s", "max_s")]
            table.add_row(kind, *figures, f"{limit_s:g} s")
        Console().print(table)
    sys.exit(0 if found["holds"] else 1)


if __name__ == "__main__":
    main()
