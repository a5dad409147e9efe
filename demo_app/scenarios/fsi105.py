"""FSI105: an app context inside another gives the request a second session."""

from __future__ import annotations

from flask import current_app

from ..models import db
from .book import Taster
from .book import how_many_notes
from .scenario import Scenario
from .scenario import Way


def count_in_a_context_of_its_own() -> str:
    taster = db.get_or_404(Taster, 1)
    with current_app.app_context():
        notes = db.session.scalar(how_many_notes)
    return f"{taster.name} and {notes} notes"


def count_in_the_same_context() -> str:
    taster = db.get_or_404(Taster, 1)
    notes = db.session.scalar(how_many_notes)
    return f"{taster.name} and {notes} notes"


scenario = Scenario(
    code="FSI105",
    title="One request, two sessions",
    look_at=(
        "The request has two app contexts and a session in each. What one of them"
        " wrote and did not commit, the other one would not see."
    ),
    fault=Way(count_in_a_context_of_its_own),
    fixed=Way(count_in_the_same_context),
)
