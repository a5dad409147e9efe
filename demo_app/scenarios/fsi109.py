"""FSI109: an object of one session is added to another."""

from __future__ import annotations

from sqlalchemy.exc import InvalidRequestError

from ..models import db
from .book import Taster
from .book import per_context
from .scenario import Scenario
from .scenario import Way


def rename_in_another_session() -> str:
    taster = db.get_or_404(Taster, 1)
    per_context.add(taster)
    return taster.name


def rename_in_the_same_session() -> str:
    taster = db.get_or_404(Taster, 1)
    db.session.add(taster)
    return taster.name


scenario = Scenario(
    code="FSI109",
    title="An object in the wrong session",
    look_at=(
        "The request failed. The finding names both sessions: the one that loaded"
        " the object, and the one that it was added to."
    ),
    fault=Way(rename_in_another_session, raises=(InvalidRequestError,)),
    fixed=Way(rename_in_the_same_session),
)
