"""FSI501: one query for the list, and one more for each of its rows."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import selectinload

from ..models import db
from .book import Taster
from .scenario import Scenario
from .scenario import Way


def list_notes_one_by_one() -> str:
    lines = []
    for taster in db.session.scalars(select(Taster)):
        lines.append(f"{taster.name}: {len(taster.notes)}")
    return "\n".join(lines)


def list_notes_at_once() -> str:
    lines = []
    tasters = select(Taster)
    tasters = tasters.options(selectinload(Taster.notes))
    for taster in db.session.scalars(tasters):
        lines.append(f"{taster.name}: {len(taster.notes)}")
    return "\n".join(lines)


scenario = Scenario(
    code="FSI501",
    title="A query for every row",
    look_at=(
        "Thirteen statements where two would do: the list, and the notes of each"
        " of the twelve people in it. With a thousand, it is a thousand and one."
    ),
    fault=Way(list_notes_one_by_one),
    fixed=Way(list_notes_at_once),
)
