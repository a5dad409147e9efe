"""FSI205: one request takes two connections of one pool."""

from __future__ import annotations

from ..models import db
from .book import Taster
from .book import how_many_notes
from .scenario import Scenario
from .scenario import Way


def count_on_a_second_connection() -> str:
    taster = db.get_or_404(Taster, 1)
    with db.engine.connect() as connection:
        notes = connection.scalar(how_many_notes)
    return f"{taster.name} and {notes} notes"


def count_on_the_same_connection() -> str:
    taster = db.get_or_404(Taster, 1)
    connection = db.session.connection()
    notes = connection.scalar(how_many_notes)
    return f"{taster.name} and {notes} notes"


scenario = Scenario(
    code="FSI205",
    title="One request, two connections",
    look_at=(
        "Two checkouts overlap. If every request holds one connection and waits"
        " for a second, none of them goes on."
    ),
    fault=Way(count_on_a_second_connection),
    fixed=Way(count_on_the_same_connection),
)
