"""FSI302: a background thread goes on with the session of a finished request."""

from __future__ import annotations

from flask import Flask
from sqlalchemy.orm import Session

from .book import a_name
from .book import how_many_notes
from .book import per_context
from .run import later
from .run import this_app
from .scenario import Scenario
from .scenario import Way


def count_with_a_session(session: Session) -> None:
    session.scalar(how_many_notes)


def hand_the_session_to_a_background_thread() -> str:
    session = per_context()
    name = session.scalar(a_name)
    later(count_with_a_session, session)
    return f"{name}, counting"


def count_in_a_context_of_its_own(app: Flask) -> None:
    with app.app_context():
        per_context.scalar(how_many_notes)


def hand_the_application_to_a_background_thread() -> str:
    app = this_app()
    name = per_context.scalar(a_name)
    later(count_in_a_context_of_its_own, app)
    return f"{name}, counting"


scenario = Scenario(
    code="FSI302",
    title="Work goes on after the request, in its session",
    look_at=(
        "The session was removed with its request, and then sent SQL again: it"
        " began a new transaction that no teardown will end."
    ),
    fault=Way(hand_the_session_to_a_background_thread, shown=(count_with_a_session,)),
    fixed=Way(
        hand_the_application_to_a_background_thread,
        shown=(count_in_a_context_of_its_own,),
    ),
)
