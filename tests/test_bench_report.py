"""What the benchmark writes, and the page into which it does."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.bench import __main__ as command
from tests.bench import handing_over
from tests.bench import report
from tests.bench import retained
from tests.bench import variants
from tests.bench.bracketing import Comparison

ROOT = pathlib.Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"


def measured(pages: str = "") -> report.Measured:
    """Numbers that are easy to check."""
    names = [name for name in variants.VARIANTS if name not in {"bare", "toolbar"}]
    added = {
        (name, job): Comparison(100.0, 7.0, 6.0, 8.25, 1.5)
        for job in (report.NONE, report.ONE, report.TEN)
        for name in names
    }
    each = {"control": 0.0, "ours": 5.0, "record-queries": 20.0}
    each |= {"listening": 1.0, "noting": 2.0}
    grown = {
        (name, title): Comparison(100.0 * n, 10 + each[name] * n, 1.0, 2.0)
        for titles in (report.STATEMENTS, report.THREADS)
        for n, title in titles.items()
        for name in each
    }
    return report.Measured(
        "On a machine.",
        added,
        grown,
        retained.Retained(900.4, 120.0, 12.0, 1.0, -0.2, 8.34),
        handing_over.HandingOver(700.0, 812.0, 3000.0),
        pages,
    )


def test_the_report_has_every_number_beside_its_budget() -> None:
    lines = report.write(measured()).splitlines()
    assert lines[0] == "On a machine."
    assert {
        "| no database use, added | 10 µs | 7.0 µs | +7.0 µs |",
        "| one ORM get, times the bare one | 1.07 | 1.07 | 1.07 |",
        "| each further statement | 6 µs | 5.0 µs | +0.0 µs |",
        "| the same, as a share of record_queries | 0.33 | 0.25 |  |",
        "| memory of a record, one query | 1,000 bytes | 900 bytes | -0 bytes |",
        "| handing an ended record over | 1 µs | 0.81 µs (least 0.70);"
        " into the memory store 3.00 µs |  |",
        "| **one ORM get**, bare | takes 100 |  |  |  |  |",
        "| Flask-Session-Inspector | +7.0 | +6.0 to +8.2 | +1.5 | +7.0 | 1.07 |",
        "| each further statement | 6 µs | +0.0 µs | +1.0 µs | +2.0 µs | +5.0 µs"
        " | +20.0 µs |",
        "| 10 | 1,000 | +60.0 | +5.00 | +210 | +20.00 | +10.0 | +0.00 | 0.25 |",
        "| each further statement | 120 | 1.0 |",
        "With 1,000 such requests retained, a full collection takes 8.3 ms longer.",
    } <= set(lines)
    assert any("DebugToolbar, SQL panel is not installed" in line for line in lines)
    assert "### Pages" not in lines
    assert "### Pages" in report.write(measured("| a |")).splitlines()


def test_tables_are_tables() -> None:
    for block in report.write(measured("| a |\n| --- |\n| 1 |")).split("\n\n"):
        if block.startswith("|"):
            columns = {line.count(" |") for line in block.splitlines()}
            assert len(columns) == 1, block


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = f"a\n{report.BEGIN}\nold\n{report.END}\nb\n"
    once = report.insert("new\n", page)
    assert once == f"a\n{report.BEGIN}\n\nnew\n\n{report.END}\nb\n"
    assert report.insert("new", once) == once
    with pytest.raises(ValueError, match="There is no"):
        report.insert("new", "a page without")


def test_the_command_needs_a_page_with_markers(tmp_path: pathlib.Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--output", str(page)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert report.BEGIN in done.stderr
    assert page.read_text(encoding="utf-8") == "nothing"


def test_the_jobs_are_those_of_the_tables() -> None:
    for runs in (command.FULL, command.QUICK):
        titles = [job.title for job in command.added_jobs(runs)]
        assert titles == [report.NONE, report.ONE, report.TEN]
        grown = [*command.grown_jobs(runs), *command.threaded_jobs(runs)]
        titles = [job.title for job in grown]
        assert titles == [*report.STATEMENTS.values(), *report.THREADS.values()]
        jobs = [*command.added_jobs(runs), *grown]
        assert min(job.runs for job in jobs) >= 2, "a quartile needs two"


def test_the_page_has_markers_and_names_every_variant() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(report.BEGIN) == page.count(report.END) == 1
    described = page.partition(report.BEGIN)[0]
    for variant in variants.VARIANTS.values():
        assert f"\n{variant.title}\n: " in described
