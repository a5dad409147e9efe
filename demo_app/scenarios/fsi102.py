"""FSI102: a session comes back after it was removed."""

from __future__ import annotations

from flask import g

from . import late
from .book import a_name
from .book import empty_registries
from .book import per_context
from .scenario import Scenario
from .scenario import Way


def read_and_be_counted_late() -> str:
    g.counting = "late"
    return per_context.scalar(a_name) or ""


def read_and_be_counted_in_time() -> str:
    g.counting = "in time"
    return per_context.scalar(a_name) or ""


scenario = Scenario(
    code="FSI102",
    title="A session that comes back after its removal",
    look_at=(
        "The request has two sessions. The first one was removed; the second one"
        " was made by a teardown function that ran too late, and is still open."
    ),
    fault=Way(
        read_and_be_counted_late,
        shown=(late.add_teardown_functions, late.remove_session, late.count_late),
    ),
    fixed=Way(
        read_and_be_counted_in_time,
        shown=(late.add_teardown_functions, late.remove_session, late.count_in_time),
    ),
    tidy=empty_registries,
)
