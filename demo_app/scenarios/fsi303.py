"""FSI303: a streamed response is written in another session than its view."""

from __future__ import annotations

import collections.abc as cabc
import importlib.metadata
import re

from flask import Response
from flask import stream_with_context
from sqlalchemy import select

from ..models import db
from .book import Note
from .book import Taster
from .scenario import Scenario
from .scenario import Way


def load_while_streaming() -> Response:
    taster = db.get_or_404(Taster, 1)
    name = taster.name

    def lines() -> cabc.Iterator[str]:
        yield f"{name} says:\n"
        for text in db.session.scalars(select(Note.text)):
            yield f"{text}\n"

    return Response(stream_with_context(lines()))


def load_before_streaming() -> Response:
    taster = db.get_or_404(Taster, 1)
    name = taster.name
    texts = db.session.scalars(select(Note.text)).all()

    def lines() -> cabc.Iterator[str]:
        yield f"{name} says:\n"
        for text in texts:
            yield f"{text}\n"

    return Response(stream_with_context(lines()))


def obstacle() -> str:
    version = importlib.metadata.version("flask")
    if [int(number) for number in re.findall("[0-9]+", version)[:3]] >= [3, 1, 2]:
        return ""
    return (
        f"Flask {version} keeps the view's context for the stream, and with it the"
        " session; from 3.1.2 on it does not."
    )


scenario = Scenario(
    code="FSI303",
    title="A stream that changes its session",
    look_at=(
        "The request has two sessions: the view's was removed when the view"
        " returned, and the generator was given another one."
    ),
    fault=Way(load_while_streaming),
    fixed=Way(load_before_streaming),
    obstacle=obstacle(),
)
