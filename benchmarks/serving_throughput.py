"""Requests per second of ``/predict``, beside the server that tutorials show.

Both serve the same fitted model (gradient boosting over 12 numbers and 3 categories, synthetic
rows) to the same plain keep-alive clients on the same machine. Because the machine may be busy with
other work, the processor time that a server spends per request is reported beside the wall clock.

    python -m benchmarks.serving_throughput [--requests 5000] [--connections 1 32] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from tools.schema import Column, ColumnType, FeatureSchema
from tools.values import Value

_ROOT = Path(__file__).resolve().parents[1]
_NUMBERS = 12
_CATEGORIES = {"carrier": 16, "origin": 3, "dest": 100}
_ROWS = 20_000
_READY_WITHIN_S = 120.0
_WARM_UP_REQUESTS = 300

SCHEMA = FeatureSchema(
    time_column="departure",
    columns=(
        *(Column(name=f"x{n}", type=ColumnType.NUMBER, nullable=True) for n in range(_NUMBERS)),
        *(Column(name=name, type=ColumnType.CATEGORY) for name in _CATEGORIES),
    ),
)


class Measured(Value):
    """One load on one server."""

    server: str
    connections: int
    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Processor time of the server process per request."""


def make_artifact(folder: Path) -> None:
    """Fit the benchmark's model and save it with its ONNX twin."""
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    from tools.artifact import save_artifact
    from tools.model_inputs import model_frame

    rng = np.random.default_rng(0)
    rows = pd.DataFrame({f"x{n}": rng.normal(size=_ROWS) for n in range(_NUMBERS)})
    for name, count in _CATEGORIES.items():
        rows[name] = rng.integers(0, count, _ROWS).astype(str)
    rows["departure"] = pd.Timestamp("2013-01-01") + pd.to_timedelta(np.arange(_ROWS), unit="min")
    label = (rows["x0"] * rows["x1"] + rows["x2"] + rng.normal(size=_ROWS) > 0).astype(int)
    numbers = list(range(_NUMBERS))
    categories = list(range(_NUMBERS, _NUMBERS + len(_CATEGORIES)))
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    features = ColumnTransformer(
        [("numbers", SimpleImputer(), numbers), ("texts", encoder, categories)]
    )
    classifier = HistGradientBoostingClassifier(max_iter=150, random_state=0)
    model = Pipeline([("features", features), ("classifier", classifier)])
    model.fit(model_frame(rows, SCHEMA), label)
    save_artifact(model, SCHEMA, rows.head(200), folder)
    if not (folder / "model.onnx").is_file():
        raise SystemExit(f"no ONNX twin was made: {(folder / 'parity.json').read_text()}")


def request_body() -> bytes:
    """One row, as clients send it."""
    row: dict[str, Any] = {"departure": "2013-05-01T10:15:00Z"}
    row |= {f"x{n}": 0.125 * n for n in range(_NUMBERS)}
    row |= dict.fromkeys(_CATEGORIES, "1")
    return json.dumps(row).encode()


@contextlib.contextmanager
def running(arguments: Sequence[str], port: int) -> Iterator[int]:
    """A server process on ``port`` that has answered once; gives its process id."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=_ROOT)
    try:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not come up: {' '.join(arguments)}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def measure(server: str, port: int, pid: int, *, connections: int, requests: int) -> Measured:
    """Load a running server with ``connections`` clients that each wait for their answer."""
    process = psutil.Process(pid)
    before, start = _cpu_s(process), time.perf_counter()
    latencies = sorted(asyncio.run(_load(port, connections, requests)))
    wall, cpu = time.perf_counter() - start, _cpu_s(process) - before
    count = len(latencies)
    return Measured(
        server=server,
        connections=connections,
        requests=count,
        per_s=round(count / wall, 1),
        p50_ms=round(1e3 * latencies[count // 2], 3),
        p99_ms=round(1e3 * latencies[int(count * 0.99)], 3),
        cpu_ms=round(1e3 * cpu / count, 4),
    )


async def _load(port: int, connections: int, requests: int) -> list[float]:
    body, latencies = request_body(), list[float]()
    head = f"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    message = f"{head}content-type: application/json\r\n\r\n".encode() + body
    share = requests // connections
    await asyncio.gather(*(_client(port, message, share, latencies) for _ in range(connections)))
    return latencies


async def _client(port: int, message: bytes, count: int, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(count):
        start = time.perf_counter()
        writer.write(message)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = await reader.readexactly(length)
        latencies.append(time.perf_counter() - start)
        if not head.startswith(b"http/1.1 200"):
            raise SystemExit(f"the server refused the benchmark's row: {answer.decode()}")
    writer.close()


def _answers(port: int) -> bool:
    try:
        asyncio.run(_load(port, 1, 1))
    except (OSError, EOFError, SystemExit):
        return False
    return True


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(requests: int, connections: Sequence[int]) -> list[Measured]:
    """Measure both servers, one after the other."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        artifact = Path(scratch) / "model"
        make_artifact(artifact)
        ours = ["serving", "--artifact", str(artifact), "--target", "default/bench"]
        ours += ["--version", "1", "--log", f"{scratch}/log"]
        naive = ["benchmarks.naive_server", "--artifact", str(artifact)]
        for server, arguments, count in (
            ("mendloop", ours, requests),
            ("naive", naive, max(requests // 10, max(connections))),
        ):
            port = _free_port()
            with running([*arguments, "--port", str(port)], port) as pid:
                measure(server, port, pid, connections=4, requests=_WARM_UP_REQUESTS)
                found += [
                    measure(server, port, pid, connections=c, requests=count) for c in connections
                ]
    return found


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving_throughput")
    parser.add_argument("--requests", type=int, default=5_000, help="per load (naive: a tenth)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    found = run(options.requests, options.connections)
    ratios = {
        str(ours.connections): {
            "per_s": round(ours.per_s / naive.per_s, 1),
            "cpu": round(naive.cpu_ms / ours.cpu_ms, 1),
        }
        for ours in found
        for naive in found
        if (ours.server, naive.server) == ("mendloop", "naive")
        and ours.connections == naive.connections
    }
    if options.json:
        loads = [load.model_dump() for load in found]
        print(json.dumps({"loads": loads, "ratios": ratios, "load_average": os.getloadavg()}))
        return
    for load in found:
        print(
            f"{load.server:>9} {load.connections:>4} connections  {load.per_s:>8.0f} requests/s  "
            f"p50 {load.p50_ms:>7.2f} ms  p99 {load.p99_ms:>7.2f} ms  cpu {load.cpu_ms:.3f} ms"
        )
    for connections, ratio in ratios.items():
        print(f"at {connections:>3} connections: {ratio['per_s']} times the requests per second")


if __name__ == "__main__":
    main()
