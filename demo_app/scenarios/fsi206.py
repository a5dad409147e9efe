"""FSI206: a hook of the commit asks for more SQL."""

from __future__ import annotations

from sqlalchemy import event
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from ..models import db
from .book import Note
from .book import how_many_notes
from .book import tear_out_new_notes
from .scenario import Scenario
from .scenario import Way


def count_notes(session: Session) -> int | None:
    return session.scalar(how_many_notes)


def count_in_a_commit_hook() -> str:
    session = db.session()
    event.listen(session, "after_commit", count_notes)
    session.add(Note(text="Gone before I sat down."))
    session.commit()
    return "written"


def count_after_the_commit() -> str:
    session = db.session()
    session.add(Note(text="Gone before I sat down."))
    session.commit()
    return f"written, note {count_notes(session)}"


scenario = Scenario(
    code="FSI206",
    title="SQL in a commit hook",
    look_at=(
        "The request failed although the row is committed: the visitor sees an"
        " error and will send the note again."
    ),
    fault=Way(
        count_in_a_commit_hook, raises=(InvalidRequestError,), shown=(count_notes,)
    ),
    fixed=Way(count_after_the_commit, shown=(count_notes,)),
    tidy=tear_out_new_notes,
)
