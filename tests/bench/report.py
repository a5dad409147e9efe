"""Writes what was measured as Markdown."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from .bracketing import Comparison
from .handing_over import HandingOver
from .retained import Retained
from .variants import VARIANTS
from .worker import FILL

BEGIN = "<!-- measured: begin -->"
END = "<!-- measured: end -->"

# Titles of jobs.
NONE = "no database use"
ONE = "one ORM get"
TEN = "ten ORM gets"
STATEMENTS = {n: f"{n:,} statement{'s' * (n > 1)}" for n in (1, 10, 100, 1000)}
THREADS = {n: f"{n} thread{'s' * (n > 1)}" for n in (1, 2, 8)}

Results = cabc.Mapping[tuple[str, str], Comparison]


class Measured(t.NamedTuple):
    """All that was measured.

    :ivar conditions: Where, and with what.
    :ivar added: Every variant that is there.
    :ivar grown: Some of them, with many statements and with threads.
    :ivar pages: A table, empty where there is none.
    """

    conditions: str
    added: Results
    grown: Results
    retained: Retained
    handing_over: HandingOver
    pages: str = ""


def write(measured: Measured) -> str:
    """Return everything as Markdown, without a title."""
    sections = {
        "Budgets": budgets(measured),
        "How near one could come": floor(measured),
        "A request": requests(measured.added),
        "Further statements": statements(measured.grown),
        "Threads": threads(measured.grown),
        "Memory": memory(measured.retained),
        "Pages": measured.pages,
    }
    parts = [
        measured.conditions,
        *(f"### {title}\n\n{text}" for title, text in sections.items() if text),
    ]
    return "\n\n".join(parts) + "\n"


def insert(text: str, page: str) -> str:
    """Return a page with its part between the markers replaced.

    :raises ValueError: It has no markers.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"There is no {BEGIN} with an {END} after it.")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def table(head: cabc.Sequence[str], rows: cabc.Iterable[cabc.Sequence[str]]) -> str:
    """Return a table whose first column is text, and all others are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def number(value: float, sign: str = "") -> str:
    """Return a number with as many digits as tell something."""
    return f"{value:{sign},.{1 if abs(value) < 100 else 0}f}"


def further(results: Results, variant: str, n: int) -> float:
    """Return what each statement after the first takes, in requests with some."""
    more = results[variant, STATEMENTS[n]].added
    return (more - results[variant, STATEMENTS[1]].added) / (n - 1)


def budgets(measured: Measured) -> str:
    """Write what was promised beside what was measured."""
    added, grown, kept = measured.added, measured.grown, measured.retained
    most = max(STATEMENTS)
    none, one = added["ours", NONE], added["ours", ONE]
    again = {job: number(added["control", job].added, "+") for job in (NONE, ONE)}
    off = added["disabled", ONE].added
    rows = [
        (f"{NONE}, added", "10 µs", f"{number(none.added)} µs", f"{again[NONE]} µs"),
        (f"{ONE}, added", "20 µs", f"{number(one.added)} µs", f"{again[ONE]} µs"),
        (
            f"{ONE}, times the bare one",
            "1.07",
            f"{one.ratio:.2f}",
            f"{added['control', ONE].ratio:.2f}",
        ),
        (
            "each further statement",
            "6 µs",
            f"{number(further(grown, 'ours', most))} µs",
            f"{number(further(grown, 'control', most), '+')} µs",
        ),
        ("the same, as a share of record_queries", "0.33", _share(grown, most), ""),
        (
            f"disabled, {ONE}, added",
            "0, no listener",
            f"{number(off, '+')} µs",
            f"{again[ONE]} µs",
        ),
        (
            "memory of a record, one query",
            "1,000 bytes",
            f"{kept.record:,.0f} bytes",
            f"{kept.bare:+,.0f} bytes",
        ),
        (
            "memory of a further statement",
            "130 bytes",
            f"{kept.event:,.0f} bytes",
            "",
        ),
        (
            "handing an ended record over",
            "1 µs",
            f"{measured.handing_over.middle / 1000:.2f} µs"
            f" (least {measured.handing_over.least / 1000:.2f}); into the memory store"
            f" {measured.handing_over.store / 1000:.2f} µs",
            "",
        ),
    ]
    return table(("What", "Budget", "Measured", "A/A"), rows)


def floor(measured: Measured) -> str:
    """Write what the inspector adds beside the least that one could add."""
    names = ("control", "listening", "noting", "ours", "record-queries")
    added, grown, most = measured.added, measured.grown, max(STATEMENTS)
    rows = []
    for job, budget in ((NONE, "10 µs"), (ONE, "20 µs")):
        numbers = [f"{number(added[name, job].added, '+')} µs" for name in names]
        rows.append((f"{job}, added", budget, *numbers))
        ratio = "1.07" if job == ONE else ""
        ratios = [f"{added[name, job].ratio:.2f}" for name in names]
        rows.append((f"{job}, times the bare one", ratio, *ratios))
    slopes = [f"{number(further(grown, name, most), '+')} µs" for name in names]
    rows.append(("each further statement", "6 µs", *slopes))
    titles = [VARIANTS[name].title for name in names]
    return table(("What", "Budget", *titles), rows)


def requests(results: Results) -> str:
    """Write what each variant adds to one request."""
    head = (
        *("Request, application", "µs added", "quartiles", "collector", "A/A"),
        "times bare",
    )
    rows = []
    for job in (NONE, ONE, TEN):
        again = results["control", job]
        rows.append((f"**{job}**, bare", f"takes {number(again.bare)}", *[""] * 4))
        rows.extend(
            (
                VARIANTS[name].title,
                number(each.added, "+"),
                f"{number(each.low, '+')} to {number(each.high, '+')}",
                number(each.collector, "+"),
                number(again.added, "+"),
                f"{each.ratio:.2f}",
            )
            for (name, title), each in results.items()
            if title == job
        )
    measured = {name for name, _ in results}
    missing = [
        f"{variant.title} is not installed where this was measured, and left out."
        for name, variant in VARIANTS.items()
        if name not in measured and name != "bare"
    ]
    return "\n\n".join([table(head, rows), *missing])


def statements(results: Results) -> str:
    """Write how the cost grows with the statements of a request."""
    names = ("ours", "record-queries", "control")
    head = (
        *("Statements", "bare takes, µs", "added", "each further"),
        *("record_queries", "each further", "A/A", "each further", "share"),
    )
    rows = []
    for n, job in STATEMENTS.items():
        row = [f"{n:,}", number(results["control", job].bare)]
        for name in names:
            row.append(number(results[name, job].added, "+"))
            row.append(f"{further(results, name, n):+.2f}" if n > 1 else "")
        row.append(_share(results, n) if n > 1 else "")
        rows.append(row)
    return table(head, rows)


def _share(results: Results, n: int) -> str:
    theirs = further(results, "record-queries", n)
    return f"{further(results, 'ours', n) / theirs:.2f}" if theirs > 0 else "unknown"


def threads(results: Results) -> str:
    """Write what is added while several threads serve requests at once."""
    head = (
        *("Threads", "bare takes, µs", "added", "quartiles", "times bare"),
        *("record_queries", "A/A"),
    )
    rows = []
    for n, job in THREADS.items():
        ours = results["ours", job]
        rows.append(
            (
                f"{n}",
                number(ours.bare),
                number(ours.added, "+"),
                f"{number(ours.low, '+')} to {number(ours.high, '+')}",
                f"{ours.ratio:.2f}",
                number(results["record-queries", job].added, "+"),
                number(results["control", job].added, "+"),
            )
        )
    return table(head, rows)


def memory(kept: Retained) -> str:
    """Write what the memory store keeps."""
    rows = table(
        ("What is retained", "bytes", "objects for the collector"),
        [
            ("a request with one query", *_kept(kept.record, kept.record_objects)),
            ("each further statement", *_kept(kept.event, kept.event_objects)),
            ("a request without the inspector", f"{kept.bare:,.0f}", ""),
        ],
    )
    return (
        f"{rows}\n\nWith {FILL:,} such requests retained, a full collection takes"
        f" {kept.full_collection:.1f} ms longer."
    )


def _kept(size: float, objects: float) -> tuple[str, str]:
    return f"{size:,.0f}", f"{objects:.1f}"
