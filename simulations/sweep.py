"""Plays many scenarios with many seeds, in this process or in several."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from simulations.operators import MENDLOOP, OPERATORS
from simulations.run import ScenarioRun, run_scenario
from simulations.scenario import Scenario


@dataclass(frozen=True)
class Job:
    """One scenario with one seed, played by each of these operators."""

    source: str
    """The word by which the scenario is found again."""
    scenario: Scenario
    seed: int
    operators: tuple[str, ...] = (MENDLOOP,)


@dataclass(frozen=True)
class Played:
    """What came of a job, by operator."""

    job: Job
    runs: dict[str, ScenarioRun]

    @property
    def mendloop(self) -> ScenarioRun:
        """Its own run."""
        return self.runs[MENDLOOP]


def play(job: Job) -> Played:
    """All runs of one job."""
    runs = {
        name: run_scenario(job.scenario, job.seed, OPERATORS[name], name=name)
        for name in job.operators
    }
    return Played(job, runs)


def sweep(jobs: Sequence[Job], *, processes: int = 1) -> Generator[Played, None, None]:
    """Every job's result as it comes, in no particular order; closing it ends what still runs."""
    if processes == 1 or len(jobs) == 1:
        yield from map(play, jobs)
        return
    # Not forked: the caller may have threads, and a forked lock stays locked.
    pool = ProcessPoolExecutor(
        min(processes, len(jobs)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_leave_interrupts_to_the_caller,
    )
    futures: list[Future[Played]] = []
    is_done = False
    try:
        futures = [pool.submit(play, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
        is_done = True
    finally:
        if not is_done:
            for process in list(pool._processes.values()):
                process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts_to_the_caller() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
