"""FSI106: a new context finds the session of a dead one."""

from __future__ import annotations

from flask import g

from . import late
from .book import a_name
from .book import current_context
from .book import empty_registries
from .book import held_by
from .book import per_context
from .run import Run
from .scenario import Scenario
from .scenario import Way

# CPython gives an address away again soon, mostly at the first attempt.
MOST = 50


def visit_until_a_session_is_inherited(run: Run) -> None:
    for _ in range(MOST):
        run.visit(leave_a_session_behind)
        left_behind = held_by(per_context)
        # So many only to be given the address sooner.
        contexts = [run.app.app_context() for _ in range(200)]
        for context in contexts:
            if id(context) in left_behind:
                with context:
                    read()
                return


def leave_a_session_behind() -> str:
    g.counting = "late"
    return read()


def visit_and_push_a_context(run: Run) -> None:
    run.visit(leave_nothing_behind)
    with run.app.app_context():
        read()


def leave_nothing_behind() -> str:
    g.counting = "in time"
    return read()


def read() -> str:
    return per_context.scalar(a_name) or ""


scenario = Scenario(
    code="FSI106",
    title="A scope inherits the session of a dead one",
    look_at=(
        "The request left a session in the registry, under a key that is the"
        " address of its app context. The next context was given that address, and"
        " with it the session. Here a background job is the heir; it may as well be"
        " the next visitor."
    ),
    fault=Way(
        drive=visit_until_a_session_is_inherited,
        views=(leave_a_session_behind,),
        shown=(
            current_context,
            late.remove_session,
            late.count_late,
            read,
            visit_until_a_session_is_inherited,
        ),
    ),
    fixed=Way(
        drive=visit_and_push_a_context,
        views=(leave_nothing_behind,),
        shown=(
            current_context,
            late.count_in_time,
            late.remove_session,
            read,
            visit_and_push_a_context,
        ),
    ),
    tidy=empty_registries,
)
