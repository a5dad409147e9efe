"""FSI201: what was written is never committed."""

from __future__ import annotations

from ..models import db
from .book import Note
from .book import tear_out_new_notes
from .scenario import Scenario
from .scenario import Way


def write_a_note_and_forget_to_commit() -> str:
    db.session.add(Note(text="Smoky. Once more, please."))
    db.session.flush()
    return "written"


def write_a_note_and_commit() -> str:
    db.session.add(Note(text="Smoky. Once more, please."))
    db.session.commit()
    return "written"


scenario = Scenario(
    code="FSI201",
    title="A forgotten commit",
    look_at=(
        "The visitor was told that the note is written. The transaction ended by"
        " a close, neither commit nor rollback, and the row is gone."
    ),
    fault=Way(write_a_note_and_forget_to_commit),
    fixed=Way(write_a_note_and_commit),
    tidy=tear_out_new_notes,
)
