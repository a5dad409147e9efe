"""The parts of one record as rows of tables."""

from __future__ import annotations

import collections.abc as cabc
from dataclasses import dataclass

from ...phrases import marked_forms
from ...records import ConnectionCheckout
from ...records import RequestRecord
from ...records import SessionRecord
from ..drawing.axis import held
from ..translating import gettext
from ..translating import ngettext
from .formats import Place
from .formats import milliseconds
from .formats import one_line
from .formats import place
from .formats import shorten
from .wording import Glyph
from .wording import NumberedStatement
from .wording import Tone
from .wording import ended_glyph
from .wording import origin_phrase
from .wording import session_outcome
from .wording import shared_by

SQL_IN_ROW = 110


@dataclass(frozen=True)
class SessionRow:
    """A session in the detail of a record.

    :param first_record: The id of the record that used it first, if another.
    """

    label: str
    python_id: str
    class_name: str
    origin: str
    proxy_id: str
    scope_key: str
    context: str
    first_use: Place | None
    first_record: str
    identity_map: str
    pending: str
    outcome: Glyph
    end: Glyph
    shared: str
    tone: Tone


@dataclass(frozen=True)
class StatementRow:
    """A statement in the detail of a record.

    :param short: Its SQL on one line, cut; ``sql`` is the whole of it.
    :param folded: Whether there is more than the line shows.
    :param share: Its share of the longest statement's time, 0 to 1.
    """

    number: int
    session: str
    sql: str
    short: str
    folded: bool
    rows: str
    at: str
    duration: str
    share: float
    bind: str
    place: Place | None
    relationship: str
    parameters: tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True)
class ConnectionRow:
    """A connection checkout in the detail of a record."""

    number: int
    bind: str
    session: str
    out: str
    back: str
    held: str
    is_held: bool


def session_row(
    record: RequestRecord,
    session: SessionRecord,
    users: cabc.Mapping[int, int],
    *,
    pending: bool = False,
) -> SessionRow:
    """Present a session of a record.

    :param users: How many requests each session served, by serial.
    :param pending: The record has not ended yet.
    """
    counts = (
        (session.pending_new, marked_forms("%(num)s new", "%(num)s new")),
        (session.pending_dirty, marked_forms("%(num)s changed", "%(num)s changed")),
        (session.pending_deleted, marked_forms("%(num)s deleted", "%(num)s deleted")),
    )
    unflushed = [ngettext(*forms, number) for number, forms in counts if number]
    served = users.get(session.serial, 0) if record.kind == "request" else 0
    end = ended_glyph(session, pending=pending)
    return SessionRow(
        session.label,
        f"{session.python_id:#x}",
        session.class_name,
        origin_phrase(session),
        "" if session.proxy_id is None else f"{session.proxy_id:#x}",
        session.scope_key or "",
        str(session.context + 1),
        place(session.first_use),
        "" if session.first_request_id == record.id else session.first_request_id,
        f"{session.identity_map_size:,}",
        ", ".join(unflushed),
        session_outcome(session, pending=pending),
        end,
        shared_by(served) if served > 1 else "",
        "bad" if served > 1 or end.tone == "bad" else "",
    )


def statement_rows(
    statements: cabc.Iterable[NumberedStatement],
) -> tuple[StatementRow, ...]:
    """Present statements, each with its share of the longest one's time."""
    rows = list(statements)
    longest = max((each.statement.duration_ms for each in rows), default=0)
    return tuple(_statement_row(each, longest) for each in rows)


def _statement_row(numbered: NumberedStatement, longest: float) -> StatementRow:
    each = numbered.statement
    line = one_line(each.sql)
    parameters = tuple(tuple(one.items()) for one in each.parameters or ())
    return StatementRow(
        numbered.number,
        numbered.session.label if numbered.session else "",
        each.sql,
        shorten(line, SQL_IN_ROW),
        len(line) > SQL_IN_ROW or bool(parameters),
        "" if each.rows is None else f"{each.rows:,}",
        milliseconds(each.at_ms),
        milliseconds(each.duration_ms),
        each.duration_ms / longest if longest > 0 else 0.0,
        each.bind,
        place(each.location),
        each.relationship or "",
        parameters,
    )


def connection_row(checkout: ConnectionCheckout, end: float) -> ConnectionRow:
    """Present a checkout.

    :param end: The end of the record in milliseconds, for one that is still held.
    """
    back = checkout.checked_in_ms
    return ConnectionRow(
        checkout.connection_id,
        checkout.bind,
        "" if checkout.session is None else f"S{checkout.session}",
        milliseconds(checkout.checked_out_ms),
        gettext("still held") if back is None else milliseconds(back),
        milliseconds(held(checkout, end)),
        back is None,
    )
