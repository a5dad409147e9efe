"""FSI202: a connection does not go back to its pool."""

from __future__ import annotations

from sqlalchemy import Connection

from ..models import db
from .book import how_many_notes
from .run import Run
from .scenario import Scenario
from .scenario import Way

counters: list[Connection] = []


def count_and_keep_the_connection() -> str:
    connection = db.engine.connect()
    counters.append(connection)
    return str(connection.scalar(how_many_notes))


def count_and_give_the_connection_back() -> str:
    with db.engine.connect() as connection:
        return str(connection.scalar(how_many_notes))


def tidy(run: Run) -> None:
    while counters:
        counters.pop().close()


scenario = Scenario(
    code="FSI202",
    title="A connection that is never given back",
    look_at=(
        "The connection was checked out in the request and not checked in. A pool"
        " has few of them: when the last one is gone, every request waits."
    ),
    fault=Way(count_and_keep_the_connection),
    fixed=Way(count_and_give_the_connection_back),
    tidy=tidy,
)
