"""Plays seed after seed until time or seeds are used up, and shrinks what it finds."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from simulations.fuzz.case import FuzzCase
from simulations.fuzz.draw import case_of
from simulations.fuzz.play import Played, play, play_twice
from simulations.fuzz.shrink import kind_of, shrink
from tools.managed_model import Metadata
from tools.values import Value

TWICE_EVERY = 50
"""One seed in so many is played twice, from its schedule: the same journal has to come of it."""


class Finding(Value):
    """A promise that a seed broke, and the smallest case known that breaks it."""

    seed: int
    broken: tuple[str, ...]
    document: str
    """The shrunk case as YAML."""
    path: str = ""
    replay: str = ""
    """The command that plays it again."""


class Campaign(Value):
    """What a campaign came to."""

    first_seed: int
    seeds: int
    """How many were played."""
    played_twice: int
    ticks: int
    injections: int
    effects: int
    incidents: int
    findings: tuple[Finding, ...]
    wall_s: float
    interrupted: bool = False
    """Whether somebody ended it before all seeds were played."""


class Interruptible:
    """Results until somebody ends the campaign; what was found until then is still told."""

    def __init__(self, results: Iterator[Result]) -> None:
        self._results = results
        self.interrupted = False

    def __iter__(self) -> Iterator[Result]:
        try:
            yield from self._results
        except KeyboardInterrupt:
            self.interrupted = True


class Result(Value):
    """One seed."""

    seed: int
    played: Played
    is_repeatable: bool | None = None
    """Whether its schedule gave the same journal again; None where that was not asked."""


def run_seed(seed: int) -> Result:
    """Play one seed; every so often twice."""
    case, chance = case_of(seed)
    if seed % TWICE_EVERY:
        return Result(seed=seed, played=play(case, choose=chance))
    played, again = play_twice(case, chance)
    return Result(seed=seed, played=played, is_repeatable=again.digest == played.digest)


def scheduled(case: FuzzCase, played: Played) -> FuzzCase:
    """The case with what went wrong in it as its schedule."""
    spec = case.spec.model_copy(update={"injections": played.injections})
    return case.model_copy(update={"spec": spec})


def run(
    *,
    seeds: int,
    first: int = 0,
    minutes: float = 0.0,
    jobs: int = 1,
    report: Path | None = None,
    say: Callable[[str], None] = lambda line: None,
    most_findings: int = 10,
) -> Campaign:
    """A campaign; ``minutes`` 0: until all seeds are played. Stops after ``most_findings``."""
    began_s = time.monotonic()
    totals = dict.fromkeys(("seeds", "played_twice", "ticks", "injections", "effects"), 0)
    totals["incidents"] = 0
    findings: list[Finding] = []
    kinds: set[str] = set()
    results = Interruptible(_results(range(first, first + seeds), jobs))
    for result in results:
        _add(totals, result)
        broken = list(result.played.broken)
        if result.is_repeatable is False:
            broken.append("promise 11: the same case gave another journal")
        if broken and kind_of(broken) not in kinds:
            kinds.add(kind_of(broken))
            findings.append(_found(result, tuple(broken), report))
            say(told(findings[-1]))
        if totals["seeds"] % 100 == 0:
            rate = totals["seeds"] / (time.monotonic() - began_s)
            say(f"{totals['seeds']} seeds, {len(findings)} findings, {rate:.1f} seeds/s")
        is_late = minutes and time.monotonic() - began_s > 60 * minutes
        if is_late or len(findings) >= most_findings:
            break
    return Campaign(
        first_seed=first,
        findings=tuple(findings),
        wall_s=round(time.monotonic() - began_s, 2),
        interrupted=results.interrupted,
        **totals,
    )


def told(finding: Finding) -> str:
    """A finding as people read it on a terminal."""
    broken = "\n".join(f"  {line[:500]}" for line in finding.broken[:4])
    return f"seed {finding.seed} broke:\n{broken}\n{finding.document}replay: {finding.replay}"


def _results(seeds: range, jobs: int) -> Iterator[Result]:
    if jobs <= 1:
        yield from map(run_seed, seeds)
        return
    spawned = multiprocessing.get_context("spawn")
    with (
        TemporaryDirectory(prefix="mendloop-fuzz-") as folder,
        spawned.Pool(jobs, _begin_playing, (folder,), maxtasksperchild=2000) as pool,
    ):
        yield from pool.imap_unordered(run_seed, seeds, chunksize=4)


def _begin_playing(folder: str) -> None:
    """Ctrl-C is for the campaign, which ends its players and clears away what they leave."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tempfile.tempdir = folder
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # worlds are short-lived and small: a tenth of the time


def _add(totals: dict[str, int], result: Result) -> None:
    totals["seeds"] += 1
    totals["played_twice"] += result.is_repeatable is not None
    totals["ticks"] += result.played.ticks
    totals["injections"] += len(result.played.injections)
    totals["effects"] += result.played.effects
    totals["incidents"] += result.played.incidents


def _found(result: Result, broken: tuple[str, ...], report: Path | None) -> Finding:
    case, _ = case_of(result.seed)
    small = scheduled(case, result.played)
    wanted = kind_of(result.played.broken)

    def fails(smaller: FuzzCase) -> bool:
        return kind_of(play(smaller).broken) == wanted

    if wanted and fails(small):
        small = shrink(small, fails)
    document = small.model_copy(update={"metadata": Metadata(name=f"seed-{result.seed}")}).as_yaml()
    folder = report or Path()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"fuzz-seed-{result.seed}.yaml"
    path.write_text(document, encoding="utf-8")
    return Finding(
        seed=result.seed,
        broken=broken,
        document=document,
        path=str(path),
        replay=f"mendloop simulate --fuzz {path}",
    )
