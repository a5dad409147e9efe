"""Commands of an application, which run in an app context of their own."""

from __future__ import annotations

import sys
import typing as t

import click
import pytest
from conftest import Shop
from marks import MARKING
from marks import assert_complete
from marks import mark
from marks import marks


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    return make_shop(**MARKING)


def run(shop: Shop, command: t.Callable[[], object]) -> int:
    """Run a function as the command ``work``, and return its exit code."""

    def work() -> None:
        mark(shop.db.session, "command")
        command()

    shop.app.cli.command("work")(work)
    return shop.app.test_cli_runner().invoke(args=["work"]).exit_code


def leave_with(code: int) -> t.Callable[[], object]:
    return lambda: click.get_current_context().exit(code)


@pytest.mark.parametrize(
    "command",
    [lambda: None, lambda: sys.exit(0), sys.exit, leave_with(0)],
    ids=["end", "sys.exit(0)", "sys.exit()", "ctx.exit(0)"],
)
def test_a_command_that_goes_well(shop: Shop, command: t.Callable[[], object]) -> None:
    assert run(shop, command) == 0

    record = shop.newest()
    assert record.kind == "cli"
    assert record.path is not None
    assert record.path.endswith(" work")
    assert (record.method, record.status) == (None, None)
    assert record.error is None
    assert marks(record) == ["command"]
    assert record.sessions[0].ended == "removed"
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


def fail() -> None:
    raise LookupError("in the command")


def abort() -> None:
    raise click.Abort


def complain() -> None:
    raise click.UsageError("used in a wrong way")


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        (fail, 1, "LookupError"),
        (lambda: sys.exit(3), 3, "SystemExit"),
        (lambda: sys.exit("no"), 1, "SystemExit"),
        (abort, 1, "Abort"),
        (complain, 2, "UsageError"),
    ],
    ids=["exception", "sys.exit(3)", "sys.exit(text)", "abort", "usage"],
)
def test_a_command_that_fails(
    shop: Shop, command: t.Callable[[], object], code: int, error: str
) -> None:
    assert run(shop, command) == code

    record = shop.newest()
    assert (record.kind, record.error) == ("cli", error)
    assert marks(record) == ["command"]
    assert_complete(record)
    assert shop.inspection.counters.in_flight == 0


def test_a_command_that_ends_its_context_itself(shop: Shop) -> None:
    # In newer Click the app context ends before there is an exception.
    assert run(shop, leave_with(3)) == 3

    record = shop.newest()
    assert (record.kind, record.error) == ("cli", None)
    assert marks(record) == ["command"]
    assert_complete(record)


def test_a_request_inside_of_a_command(shop: Shop) -> None:
    shop.view(lambda: mark(shop.db.session, "view") or "done")
    assert run(shop, lambda: shop.app.test_client().get("/").close()) == 0

    records = {record.kind: record for record in shop.inspection.requests()}
    assert marks(records["cli"]) == ["command"]
    assert marks(records["request"]) == ["view"]
    assert (records["request"].path, records["request"].status) == ("/", 200)
