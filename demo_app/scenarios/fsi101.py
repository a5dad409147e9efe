"""FSI101: two requests use one session."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ..models import db
from .book import how_many_notes
from .run import Run
from .scenario import Scenario
from .scenario import Way


class Report:
    """Lives as long as the application does."""

    session: Session | None = None


report = Report()


def count_with_the_session_of_the_report() -> str:
    if report.session is None:
        report.session = Session(db.engine)
    return str(report.session.scalar(how_many_notes))


def count_with_a_session_of_its_own() -> str:
    return str(db.session.scalar(how_many_notes))


def tidy(run: Run) -> None:
    if report.session is not None:
        report.session.close()
        report.session = None


scenario = Scenario(
    code="FSI101",
    title="Two visitors share one session",
    look_at=(
        "Both requests show the same session, with the same serial number: the"
        " second one works with the objects and in the transaction of the first."
    ),
    fault=Way(count_with_the_session_of_the_report, visits=2, shown=(Report,)),
    fixed=Way(count_with_a_session_of_its_own, visits=2),
    tidy=tidy,
)
