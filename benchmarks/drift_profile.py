"""Profile of 10 million rows x 25 columns in Parquet beside a bare DuckDB histogram query.

Each measurement runs in its own process, so that its peak memory is its own.
Run: python -m benchmarks.drift_profile [--quick] [--seed N] [--json]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.canary_report import Row, run

NUMBERS = tuple(f"x{i}" for i in range(20))
CATEGORIES = tuple(f"c{i}" for i in range(5))
MOST_SLOWER, MOST_MB = 1.5, 2048


def measure(quick: bool, seed: int) -> list[Row]:
    """At a tenth of the rows and at all of them, to see what grows."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in (300_000, 3_000_000) if quick else (1_000_000, 10_000_000):
            path = Path(folder) / f"{count}.parquet"
            _write(path, count, seed)
            rows += _compare(path, count)
            path.unlink()
    rows[1]["holds"] = None  # the claim is about the large file: building the query takes a second
    return rows


def _write(path: Path, count: int, seed: int) -> None:
    import duckdb

    columns = [f"random() + random() + random() AS {name}" for name in NUMBERS]
    columns += [
        f"'value ' || floor(random() * random() * {20 * (i + 1)})::int AS {name}"
        for i, name in enumerate(CATEGORIES)
    ]
    with duckdb.connect() as connection:
        connection.execute(f"SELECT setseed({(seed % 1000) / 1000})")
        connection.execute(f"COPY (SELECT {', '.join(columns)} FROM range({count})) TO '{path}'")


def _compare(path: Path, count: int) -> list[Row]:
    found: dict[str, dict[str, float]] = {}
    for what in ("histogram", "profile", "histogram", "profile"):
        answer = _in_own_process(what, path)
        best = found.get(what)
        found[what] = answer if best is None or answer["s"] < best["s"] else best
    ratio = found["profile"]["s"] / found["histogram"]["s"]
    return [
        _row("bare DuckDB histograms", count, found["histogram"], None, None),
        _row(
            "mendloop's profile query",
            count,
            found["profile"],
            ratio,
            ratio <= MOST_SLOWER and found["profile"]["mb"] <= MOST_MB,
        ),
    ]


def _row(
    what: str, count: int, answer: dict[str, float], ratio: float | None, holds: bool | None
) -> Row:
    return {
        "what": what,
        "rows": count,
        "seconds": answer["s"],
        "peak memory (MB)": answer["mb"],
        "times histograms": ratio,
        "holds": holds,
    }


def _in_own_process(what: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.drift_profile", what, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _child(what: str, path: Path) -> None:
    import resource

    import ibis
    import pandas as pd

    from tools.profile_query import query_profile
    from tools.statistics.profile import reference_profile
    from tools.table_files import MEMORY_LIMIT

    connection = ibis.duckdb.connect(memory_limit=MEMORY_LIMIT)
    table = connection.read_parquet(path)
    sample: pd.DataFrame = table.limit(50_000).to_pandas()
    reference = reference_profile(sample, numbers=NUMBERS, categories=CATEGORIES)
    columns = [f"histogram({n}, {list(p.edges)})" for n, p in reference.numbers.items()]
    columns += [f"histogram({n})" for n in CATEGORIES]
    bare = f"SELECT {', '.join(columns)} FROM '{path}'"
    start = time.perf_counter()
    if what == "profile":
        assert query_profile(table, reference).rows
    else:
        connection.raw_sql(bare).fetchall()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"s": seconds, "mb": peak}))


if __name__ == "__main__":
    if sys.argv[1:2] in (["histogram"], ["profile"]):
        _child(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(run("Profile of a Parquet file, 20 numbers and 5 categories", measure))
