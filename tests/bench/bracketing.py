"""Compares applications side by side, each between two runs of the bare one."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import statistics
import typing as t

from .pinning import start

# One process may have its memory laid out more luckily than another.
INCARNATIONS = 3
# So short that the machine does not change meanwhile; with several threads, so long
# that each has its turn more than once.
SECONDS = 0.010
SECONDS_OF_THREADS = 0.020


class Job(t.NamedTuple):
    """What is measured.

    :ivar requests: How many in one run, by each thread; ``None`` for as many as the
        bare application serves in the time that a run should take.
    :ivar runs: How many runs of each incarnation.
    """

    title: str
    path: str
    requests: int | None
    runs: int
    threads: int = 1


class Took(t.NamedTuple):
    """How many microseconds something took for each request.

    :ivar own: Without the garbage collector.
    :ivar collector: The usual work of the garbage collector.
    """

    own: float
    collector: float = 0.0


class Comparison(t.NamedTuple):
    """What one variant costs in one job, in microseconds for each request.

    :ivar bare: What the bare application takes.
    :ivar added: What comes on top: the median of bracketed runs, and ``collector``.
    :ivar low: The lower quartile of that, and ``high`` the upper one.
    :ivar collector: What of it the garbage collector's usual work takes, on average:
        it comes too seldom for a median to see it.
    """

    bare: float
    added: float
    low: float
    high: float
    collector: float = 0.0

    @property
    def ratio(self) -> float:
        """How many times as long it takes as the bare one."""
        return (self.bare + self.added) / self.bare


class Worker:
    """A process that serves one variant, and waits to be told so."""

    def __init__(self, variant: str, database: str, incarnation: int = 0) -> None:
        self._process = start("tests.bench.worker", incarnation)
        # Not as arguments: their length would shift the stack.
        self._send(variant, database)

    def run(self, job: Job) -> Took:
        """Return what one request took, on average in one run."""
        requests = job.requests or 1
        self._send(job.path, requests, job.threads)
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("A process of the benchmark has ended.")
        return Took(
            *(float(text) / requests / job.threads * 1e6 for text in answer.split())
        )

    def _send(self, *words: object) -> None:
        assert self._process.stdin is not None
        print(*words, file=self._process.stdin, flush=True)

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate()


def compare(
    variants: cabc.Sequence[str],
    jobs: cabc.Sequence[Job],
    database: str,
    tell: cabc.Callable[[str], object] = lambda text: None,
    incarnations: int = INCARNATIONS,
) -> dict[tuple[str, str], Comparison]:
    """Measure every variant in every job.

    :param variants: Without ``"bare"``, which every one is compared with.
    :param tell: Is told of the progress.
    :return: By variant and title of the job.
    """
    brackets = {job.title: Brackets() for job in jobs}
    for incarnation in range(incarnations):
        with contextlib.ExitStack() as stack:
            workers = {}
            for name in ("bare", *variants):
                workers[name] = Worker(name, database, incarnation)
                stack.callback(workers[name].end)
            for job in jobs:
                tell(f"{job.title}, {incarnation + 1} of {incarnations}")
                _measure(job, workers, brackets[job.title])
    return {
        (name, job.title): brackets[job.title].compared(name)
        for job in jobs
        for name in variants
    }


def _measure(job: Job, workers: dict[str, Worker], brackets: Brackets) -> None:
    sized = _sized(job, workers["bare"])
    for worker in workers.values():
        worker.run(sized)  # To warm up.
    variants = [name for name in workers if name != "bare"]
    brackets.measure(lambda name: workers[name].run(sized), variants, job.runs)


def _sized(job: Job, bare: Worker) -> Job:
    """Return the job with as many requests as a run should have."""
    if job.requests is not None:
        return job
    probe = job._replace(requests=1)
    bare.run(probe)
    took = statistics.median(sum(bare.run(probe)) for _ in range(3))
    seconds = SECONDS if job.threads == 1 else SECONDS_OF_THREADS
    return job._replace(requests=max(1, round(seconds * 1e6 / took / job.threads)))


class Brackets:
    """Runs of variants, each between two of the bare application.

    A machine grows slower and faster, by and by: half the sum of the run before and
    the run after is what the bare application would have taken meanwhile.
    """

    def __init__(self) -> None:
        self._bare: list[Took] = []
        self._added: dict[str, list[Took]] = {}

    def measure(
        self,
        run: cabc.Callable[[str], Took],
        variants: cabc.Sequence[str],
        rounds: int,
    ) -> None:
        """Run each variant in each round.

        :param run: Runs a variant once.
        """
        # Bare never runs twice in a row: the caches would favour it.
        before = run("bare")
        for number in range(rounds):
            # No variant always has the same one before it.
            first = number % len(variants)
            for name in (*variants[first:], *variants[:first]):
                took = run(name)
                after = run("bare")
                base = Took(
                    (before.own + after.own) / 2,
                    (before.collector + after.collector) / 2,
                )
                self._bare.append(base)
                self._added.setdefault(name, []).append(
                    Took(took.own - base.own, took.collector - base.collector)
                )
                before = after

    def compared(self, variant: str) -> Comparison:
        """Return what a variant costs."""
        added = self._added[variant]
        collector = statistics.mean(each.collector for each in added)
        low, middle, high = statistics.quantiles((each.own for each in added), n=4)
        bare = statistics.median(each.own for each in self._bare)
        bare += statistics.mean(each.collector for each in self._bare)
        return Comparison(
            bare, middle + collector, low + collector, high + collector, collector
        )
