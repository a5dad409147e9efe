"""FSI304: a response is neither read to its end nor closed."""

from __future__ import annotations

import collections.abc as cabc

from flask import Response
from flask import stream_with_context
from sqlalchemy import select

from ..models import db
from .book import Note
from .book import Taster
from .run import Run
from .scenario import Scenario
from .scenario import Way


def leave_in_the_middle(run: Run) -> None:
    run.open(stream_the_notes)
    run.visit(greet_the_next_visitor)


def read_to_the_end(run: Run) -> None:
    run.visit(stream_the_notes)
    run.visit(greet_the_next_visitor)


def stream_the_notes() -> Response:
    def lines() -> cabc.Iterator[str]:
        for text in db.session.scalars(select(Note.text)):
            yield f"{text}\n"

    return Response(stream_with_context(lines()))


def greet_the_next_visitor() -> str:
    return str(db.get_or_404(Taster, 1).name)


_VIEWS = (stream_the_notes, greet_the_next_visitor)

scenario = Scenario(
    code="FSI304",
    title="A response that nobody closes",
    look_at=(
        "The app context of the stream stayed pushed while its thread served the"
        " next request. A server must call close() on what a WSGI application"
        " returns; middleware that wraps it easily forgets to."
    ),
    fault=Way(drive=leave_in_the_middle, views=_VIEWS, shown=(leave_in_the_middle,)),
    fixed=Way(drive=read_to_the_end, views=_VIEWS, shown=(read_to_the_end,)),
)
