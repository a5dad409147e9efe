"""FSI204: a session is used on after a failed flush."""

from __future__ import annotations

import contextlib

from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import PendingRollbackError

from ..models import db
from .book import Note
from .book import Taster
from .scenario import Scenario
from .scenario import Way


def go_on_after_a_failed_flush() -> str:
    db.session.add(Note(text=None))
    with contextlib.suppress(IntegrityError):
        db.session.flush()
    return str(db.get_or_404(Taster, 1).name)


def roll_back_after_a_failed_flush() -> str:
    db.session.add(Note(text=None))
    try:
        db.session.flush()
    except IntegrityError:
        db.session.rollback()
    return str(db.get_or_404(Taster, 1).name)


scenario = Scenario(
    code="FSI204",
    title="An error swallowed too early",
    look_at=(
        "The request failed at a harmless query. The finding names the first"
        " failure and its line: the flush whose error was swallowed."
    ),
    fault=Way(go_on_after_a_failed_flush, raises=(PendingRollbackError,)),
    fixed=Way(roll_back_after_a_failed_flush),
)
