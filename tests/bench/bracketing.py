"""Compares applications side by side, each between two runs of the bare one."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import ctypes
import os
import statistics
import subprocess
import sys
import typing as t

# One process may have its memory laid out more luckily than another.
INCARNATIONS = 3
_ADDR_NO_RANDOMIZE = 0x0040000
CPU = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


class Job(t.NamedTuple):
    """What is measured.

    :ivar requests: How many in one run, by each thread.
    :ivar runs: How many runs of each incarnation.
    """

    title: str
    path: str
    requests: int
    runs: int
    threads: int = 1


class Comparison(t.NamedTuple):
    """What one variant costs in one job, in microseconds for each request.

    :ivar bare: What the bare application takes.
    :ivar added: What comes on top, the median of bracketed runs.
    :ivar low: The lower quartile of that, and ``high`` the upper one.
    """

    bare: float
    added: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes as the bare one."""
        return (self.bare + self.added) / self.bare


class Worker:
    """A process that serves one variant, and waits to be told so."""

    def __init__(self, variant: str, database: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            preexec_fn=_pin,
        )
        # Not as arguments: their length would shift the stack.
        assert self._process.stdin is not None
        print(variant, database, file=self._process.stdin, flush=True)

    def run(self, job: Job) -> float:
        """Return the microseconds that one request took, on average in one run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(job.path, job.requests, job.threads, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("A process of the benchmark has ended.")
        return float(answer) / job.requests / job.threads * 1e6

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate()


def _pin() -> None:
    # All on the same processor: only one of them works at a time.
    if CPU is not None:
        os.sched_setaffinity(0, {CPU})
    # All with the same layout of their memory, which matters to the caches.
    if sys.platform == "linux":
        ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)


def compare(
    variants: cabc.Sequence[str],
    jobs: cabc.Sequence[Job],
    database: str,
    tell: cabc.Callable[[str], object] = lambda text: None,
) -> dict[tuple[str, str], Comparison]:
    """Measure every variant in every job.

    :param variants: Without ``"bare"``, which every one is compared with.
    :param tell: Is told of the progress.
    :return: By variant and title of the job.
    """
    added: dict[tuple[str, str], list[float]] = {}
    bare: dict[str, list[float]] = {}
    for incarnation in range(INCARNATIONS):
        with contextlib.ExitStack() as stack:
            workers = {}
            for name in ("bare", *variants):
                workers[name] = Worker(name, database)
                stack.callback(workers[name].end)
            for job in jobs:
                tell(f"{job.title}, {incarnation + 1} of {INCARNATIONS}")
                for worker in workers.values():
                    worker.run(job)  # To warm up.
                # Bare never runs twice in a row: the caches would favour it.
                before = workers["bare"].run(job)
                for _ in range(job.runs):
                    for name in variants:
                        took = workers[name].run(job)
                        after = workers["bare"].run(job)
                        base = (before + after) / 2
                        added.setdefault((name, job.title), []).append(took - base)
                        bare.setdefault(job.title, []).append(base)
                        before = after
    return {
        (name, title): _compared(bare[title], differences)
        for (name, title), differences in added.items()
    }


def _compared(bare: list[float], added: list[float]) -> Comparison:
    low, middle, high = statistics.quantiles(added, n=4)
    return Comparison(statistics.median(bare), middle, low, high)
