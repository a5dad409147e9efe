"""FSI104: requests run in an app context that was there before them."""

from __future__ import annotations

from ..models import db
from .book import a_name
from .run import Run
from .scenario import Scenario
from .scenario import Way


def visit_inside_of_a_context(run: Run) -> None:
    with run.app.app_context():
        run.visit(read)
        run.visit(read)


def visit_outside_of_a_context(run: Run) -> None:
    run.visit(read)
    run.visit(read)


def read() -> str:
    return db.session.scalar(a_name) or ""


scenario = Scenario(
    code="FSI104",
    title="Requests inside somebody else's app context",
    look_at=(
        "Both requests say that they ran in a context pushed before them, and"
        " show one session: the first one's objects are there in the second. Test"
        " fixtures often do this, and then pass where the application fails."
    ),
    fault=Way(
        drive=visit_inside_of_a_context,
        views=(read,),
        shown=(visit_inside_of_a_context,),
    ),
    fixed=Way(
        drive=visit_outside_of_a_context,
        views=(read,),
        shown=(visit_outside_of_a_context,),
    ),
)
