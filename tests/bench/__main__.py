"""Measures everything, and writes it as Markdown: ``python -m tests.bench``."""

from __future__ import annotations

import argparse
import functools
import pathlib
import sys
import tempfile
import time
import typing as t

from . import handing_over
from . import pinning
from . import report
from . import retained
from .bracketing import INCARNATIONS
from .bracketing import Job
from .bracketing import compare
from .variants import VARIANTS
from .variants import fill

# With many statements, and with threads, all others would take too long.
GROWN = ("control", "listening", "noting", "ours", "record-queries")
THREADED = ("control", "ours", "record-queries")
# For another module, which prints a table of what the pages take.
PAGES = "tests.bench.pages"


class Runs(t.NamedTuple):
    """How often something is run in each incarnation.

    :ivar added: Each kind of request.
    :ivar grown: Requests with more statements.
    :ivar longest: Those with the most, of which one takes as long as ten other runs.
    :ivar threads: Requests in threads.
    :ivar pages: Whether the pages are measured too.
    """

    incarnations: int
    added: int
    grown: int
    longest: int
    threads: int
    pages: bool


FULL = Runs(INCARNATIONS, added=60, grown=40, longest=8, threads=40, pages=True)
QUICK = Runs(1, added=20, grown=15, longest=4, threads=15, pages=False)


def added_jobs(runs: Runs) -> list[Job]:
    """Return the requests in which every variant is measured."""
    return [
        Job(report.NONE, "/none", None, runs.added),
        Job(report.ONE, "/one", None, runs.added),
        Job(report.TEN, "/many/10", None, runs.added),
    ]


def grown_jobs(runs: Runs) -> list[Job]:
    """Return the requests with more and more statements."""
    longest = max(report.STATEMENTS)
    return [
        Job(title, f"/many/{n}", None, runs.longest if n == longest else runs.grown)
        for n, title in report.STATEMENTS.items()
    ]


def threaded_jobs(runs: Runs) -> list[Job]:
    """Return the requests in threads."""
    return [
        Job(title, "/one", None, runs.threads, n) for n, title in report.THREADS.items()
    ]


def measure(runs: Runs, tell: t.Callable[[str], object]) -> report.Measured:
    """Measure everything.

    :param tell: Is told of the progress.
    """
    there = [
        name for name, each in VARIANTS.items() if each.is_there and name != "bare"
    ]
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{folder}/bench.db"
        fill(database)
        run = functools.partial(
            compare, database=database, tell=tell, incarnations=runs.incarnations
        )
        added = run(there, added_jobs(runs))
        grown = run(GROWN, grown_jobs(runs)) | run(THREADED, threaded_jobs(runs))
        tell("memory")
        kept = retained.measure(database)
    tell("handing over")
    handed_over = handing_over.measure()
    pages = ""
    if runs.pages:
        tell("pages")
        pages = pinning.run(PAGES)
    conditions = pinning.run("tests.bench.conditions")
    return report.Measured(conditions, added, grown, kept, handed_over, pages)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure what the inspector costs, and write it as Markdown.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="take a minute, and be less exact"
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        metavar="FILE",
        help=f"write into this file, between {report.BEGIN} and {report.END}",
    )
    options = parser.parse_args()
    # Before anything is measured for it.
    page = options.output.read_text(encoding="utf-8") if options.output else ""
    if options.output:
        report.insert("", page)
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s  {text}", file=sys.stderr, flush=True)

    text = report.write(measure(QUICK if options.quick else FULL, tell))
    if options.output:
        options.output.write_text(report.insert(text, page), encoding="utf-8")
        tell(f"written into {options.output}")
    else:
        print(text)


if __name__ == "__main__":
    main()
