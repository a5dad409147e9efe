"""The JSON API: what the inspection knows, for programs."""

from __future__ import annotations

import hashlib
import re
import time
import typing as t
from importlib import metadata

import msgspec
from flask import Response
from flask import current_app
from flask import request

from ..process import process
from ..queries import MOST as MAX_LIMIT
from .access import TOKEN_HEADER
from .access import forgery
from .responses import QuietResponse
from .serials import serial_of

if t.TYPE_CHECKING:
    from ..inspection import Inspection
    from ..records import RequestRecord

FILTERS = ("after", "before", "finding", "path", "status", "session")
DEFAULT_LIMIT = 50
MAX_LENGTH = 1_000


class Malformed(Exception):
    """A parameter is unknown, repeated or not what it must be; one sentence."""


def inspection_of_app() -> Inspection:
    """Return the inspection of the application that serves the request."""
    inspection: Inspection = current_app.extensions["session_inspector"]
    return inspection


def answer(payload: object, status: int = 200) -> Response:
    """Encode records, or a mapping that holds some, as a JSON response."""
    body = msgspec.json.encode(payload)
    return QuietResponse(body, status, mimetype="application/json")


def problem(status: int, sentence: str) -> Response:
    """Say in one sentence what is wrong: ``{"error": sentence}``."""
    return answer({"error": sentence}, status)


def requests() -> Response:
    """Answer the newest records, those of a page, or those that match filters."""
    inspection = inspection_of_app()
    try:
        query = _parameters("limit", *FILTERS)
        limit = _limit(query.pop("limit", str(DEFAULT_LIMIT)))
    except Malformed as malformed:
        return problem(400, str(malformed))
    of_process = inspection.process()
    # Taken before the records are read: at worst they are newer than it says.
    etag = _etag(of_process, inspection.cursor, limit, query)
    known = request.if_none_match
    if known.is_strong(etag) or known.is_weak(etag):
        response: Response = QuietResponse(status=304)
    else:
        filters: dict[str, t.Any] = dict(query)
        try:
            page = inspection.page(limit, **filters)
        except ValueError as malformed:
            return problem(400, str(malformed))
        response = answer(
            {"requests": page.records, "cursor": page.cursor, "process": of_process}
        )
    response.set_etag(etag)
    return response


def request_detail(request_id: str) -> Response:
    """Answer one record."""
    record = inspection_of_app().request(request_id)
    if record is None:
        return problem(
            404, "There is no record with this id; newer ones may have replaced it."
        )
    return answer(record)


def findings() -> Response:
    """Answer the faults found in the retained records."""
    return answer({"findings": inspection_of_app().findings()})


def audit() -> Response:
    """Answer the objects that hold a session, and what keeps a given one alive."""
    inspection = inspection_of_app()
    try:
        session = _parameters("session").get("session")
        serial = None if session is None else serial_of(session)
    except (Malformed, ValueError) as malformed:
        return problem(400, str(malformed))
    payload: dict[str, object] = {"audit": inspection.audit()}
    if serial is not None:
        payload["kept_alive_by"] = inspection.kept_alive_by(serial)
    return answer(payload)


def counters() -> Response:
    """Answer what became of the records."""
    return answer(inspection_of_app().counters)


def export() -> Response:
    """Answer all there is, as a file to keep."""
    response = answer(export_document(inspection_of_app()))
    name = time.strftime("session-inspector-%Y%m%d-%H%M%S.json", time.gmtime())
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def clear() -> Response:
    """Forget the records."""
    return _changed("clear")


def pause() -> Response:
    """Stop recording."""
    return _changed("pause")


def resume() -> Response:
    """Record again."""
    return _changed("resume")


def export_document(inspection: Inspection) -> dict[str, object]:
    """Put everything an inspection knows into one document.

    :return: A mapping that :func:`msgspec.json.encode` takes.
    """
    holders = inspection.audit()
    return {
        "version": _version(),
        "app": inspection.app_name,
        "exported_at": time.time(),
        "process": inspection.process(),
        "counters": inspection.counters,
        "verdicts": inspection.verdicts(),
        "findings": inspection.findings(holders),
        "audit": holders,
        "requests": _all_records(inspection),
    }


def _all_records(inspection: Inspection) -> list[RequestRecord]:
    # By id, since a record that is stored again meanwhile becomes the newest.
    records: dict[str, RequestRecord] = {}
    before = None
    while True:
        try:
            page = inspection.requests(MAX_LIMIT, before=before)
        except ValueError:
            break  # The last one was cleared meanwhile, and all older ones with it.
        records.update((record.id, record) for record in page)
        if len(page) < MAX_LIMIT:
            break
        before = page[-1].id
    return list(records.values())


def _changed(change: t.Literal["clear", "pause", "resume"]) -> Response:
    inspection = inspection_of_app()
    forged = forgery(inspection, request.headers.get(TOKEN_HEADER, ""))
    if forged is not None:
        return problem(403, forged)
    getattr(inspection, change)()
    return answer({"paused": inspection.paused, "counters": inspection.counters})


def _parameters(*names: str) -> dict[str, str]:
    try:
        arguments = request.args
    except UnicodeDecodeError:
        raise Malformed("The query string must be UTF-8, percent-encoded.") from None
    values = {}
    for name, given in arguments.lists():
        if name not in names:
            raise Malformed(
                f"{_shortened(name)} is not a parameter of this address;"
                f" it takes {', '.join(names)}."
            )
        if len(given) > 1:
            raise Malformed(f"The parameter {name} must be given only once.")
        if len(given[0]) > MAX_LENGTH:
            raise Malformed(f"{name} must not be longer than {MAX_LENGTH} characters.")
        values[name] = given[0]
    return values


def _shortened(text: str, most: int = 40) -> str:
    return ascii(text if len(text) <= most else text[:most] + "...")


def _limit(text: str) -> int:
    # int() would take "١٢", " 5", "1_0" and numbers of any length.
    if re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    raise Malformed(f"limit must be a whole number from 1 to {MAX_LIMIT}.")


def _etag(
    of_process: dict[str, object], cursor: str, limit: int, query: dict[str, str]
) -> str:
    # A restarted process counts from the start again, and in a container it has
    # the same pid again: without the token an old cursor could pass for a new one.
    what = (process.token, of_process, cursor, limit, sorted(query.items()))
    return hashlib.sha256(msgspec.json.encode(what)).hexdigest()[:32]


def _version() -> str | None:
    try:
        return metadata.version("Flask-Session-Inspector")
    except metadata.PackageNotFoundError:
        return None  # It runs from a checkout that was never installed.
