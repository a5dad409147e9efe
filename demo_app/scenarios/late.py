"""Functions that run at teardown, before and after the session is removed."""

from __future__ import annotations

from flask import Flask
from flask import g

from .book import how_many_notes
from .book import per_context


def add_teardown_functions(app: Flask) -> None:
    # Flask calls them in reverse order, the last one first.
    app.teardown_appcontext(count_late)
    app.teardown_appcontext(remove_session)
    app.teardown_appcontext(count_in_time)


def count_late(error: BaseException | None) -> None:
    if g.get("counting") == "late":
        per_context.scalar(how_many_notes)
        per_context.commit()


def remove_session(error: BaseException | None) -> None:
    per_context.remove()


def count_in_time(error: BaseException | None) -> None:
    if g.get("counting") == "in time":
        per_context.scalar(how_many_notes)
        per_context.commit()
