"""FSI108: a session that no registry knows, and nobody closes."""

from __future__ import annotations

import weakref

from flask import g
from sqlalchemy.orm import Session

from ..models import db
from .book import a_name
from .run import Run
from .scenario import Scenario
from .scenario import Way

# Holds nothing alive; the gallery closes what is left.
made_here: weakref.WeakSet[Session] = weakref.WeakSet()


def export_with_a_session_made_here() -> str:
    g.export = Session(db.engine)
    made_here.add(g.export)
    return g.export.scalar(a_name) or ""


def export_with_the_session_of_the_context() -> str:
    return db.session.scalar(a_name) or ""


def tidy(run: Run) -> None:
    for session in list(made_here):
        session.close()


scenario = Scenario(
    code="FSI108",
    title="A session that nobody closes",
    look_at=(
        "The session was made directly, so no teardown function knows of it. It was"
        " still open when the request was over. Its connection comes back to the"
        " pool whenever Python happens to collect the session."
    ),
    fault=Way(export_with_a_session_made_here),
    fixed=Way(export_with_the_session_of_the_context),
    tidy=tidy,
)
