"""The tasting book: tables of the scenarios' own, and two registries of sessions.

The scenarios leave the goods and the orders of the shop alone.
"""

from __future__ import annotations

import typing as t

from flask.globals import app_ctx
from sqlalchemy import ForeignKey
from sqlalchemy import String
from sqlalchemy import delete
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from ..models import db

if t.TYPE_CHECKING:
    from .run import Run

_NAMES = "Ada Bela Chidi Dunja Emre Fatou Goran Hana Ines Jonas Kofi Lena"


class Taster(db.Model):  # type: ignore[name-defined]
    """Somebody who writes into the tasting book."""

    __tablename__ = "scenario_taster"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    notes: Mapped[list[Note]] = relationship(back_populates="taster")


class Note(db.Model):  # type: ignore[name-defined]
    """What somebody wrote. The scenarios add notes without a taster."""

    __tablename__ = "scenario_note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(200))
    taster_id: Mapped[int | None] = mapped_column(ForeignKey("scenario_taster.id"))
    taster: Mapped[Taster | None] = relationship(back_populates="notes")


# What the scenarios ask for.
how_many_notes = select(func.count(Note.id))
a_name = select(Taster.name).limit(1)
a_note = select(Note.text).limit(1)


def fill(session: Session) -> None:
    """Let everybody write a first note, unless they did."""
    if session.scalar(select(Taster.id).limit(1)) is None:
        for name in _NAMES.split():
            note = Note(text="Pale, sweet, gone too soon.")
            session.add(Taster(name=name, notes=[note]))
        session.commit()


def tear_out_new_notes(run: Run) -> None:
    """Delete what a scenario wrote."""
    with run.engine.begin() as connection:
        connection.execute(delete(Note).where(Note.taster_id.is_(None)))


class BookSession(Session):
    """Takes the engine of the current application when it is made.

    Flask-SQLAlchemy's own asks for an app context at every statement, and so
    fails where some scenarios go on.
    """

    def __init__(self, **options: t.Any) -> None:
        super().__init__(**{**options, "bind": db.engine})


def current_context() -> int:
    """The scope key that Flask-SQLAlchemy uses, too."""
    return id(app_ctx._get_current_object())  # type: ignore[attr-defined]


_factory = sessionmaker(class_=BookSession)

# Like db.session, but what goes wrong in it does not reach the shop.
per_context = scoped_session(_factory, scopefunc=current_context)

for_everybody = scoped_session(_factory, scopefunc=lambda: "everybody")

WATCHED = {
    "scenarios.per_context": per_context,
    "scenarios.for_everybody": for_everybody,
}


def held_by(registry: scoped_session[BookSession]) -> dict[object, BookSession]:
    """Return the sessions in a registry, by the keys of their scopes."""
    inner: t.Any = registry.registry
    return t.cast("dict[object, BookSession]", inner.registry)


def empty_registries(run: Run) -> None:
    """Close whatever session a scenario left in a registry."""
    for registry in WATCHED.values():
        held = held_by(registry)
        while held:
            held.popitem()[1].close()
