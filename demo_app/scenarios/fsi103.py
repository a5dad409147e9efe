"""FSI103: something that lives as long as the application holds a session."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ..models import db
from .book import a_note
from .run import Run
from .scenario import Scenario
from .scenario import Way

kept_session: Session | None = None


def write_newsletter_with_a_kept_session() -> str:
    global kept_session
    kept_session = Session(db.engine)
    return str(kept_session.scalar(a_note))


def write_newsletter_with_the_proxy() -> str:
    return str(db.session.scalar(a_note))


def tidy(run: Run) -> None:
    global kept_session
    if kept_session is not None:
        kept_session.close()
        kept_session = None


scenario = Scenario(
    code="FSI103",
    title="A module keeps a session for ever",
    look_at=(
        "The finding names the place that holds the session: the attribute of this"
        " module. Everybody who comes by that place will share it."
    ),
    fault=Way(write_newsletter_with_a_kept_session),
    fixed=Way(write_newsletter_with_the_proxy),
    tidy=tidy,
)
