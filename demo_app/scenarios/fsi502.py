"""FSI502: the same question, asked again and again."""

from __future__ import annotations

from sqlalchemy import select

from ..models import db
from .book import Taster
from .book import how_many_notes
from .scenario import Scenario
from .scenario import Way


def ask_again_for_every_line() -> str:
    lines = []
    names = select(Taster.name).limit(6)
    for name in db.session.scalars(names).all():
        notes = db.session.scalar(how_many_notes)
        lines.append(f"{name}, one of {notes}")
    return "\n".join(lines)


def ask_once() -> str:
    lines = []
    notes = db.session.scalar(how_many_notes)
    names = select(Taster.name).limit(6)
    for name in db.session.scalars(names):
        lines.append(f"{name}, one of {notes}")
    return "\n".join(lines)


scenario = Scenario(
    code="FSI502",
    title="The same question, six times",
    look_at="Six statements with the same SQL and the same parameters.",
    fault=Way(ask_again_for_every_line),
    fixed=Way(ask_once),
)
