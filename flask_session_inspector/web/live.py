"""How a page that is open learns what is new: it asks for its own address again.

The address then has ``since``, the cursor up to which the page knows the records, and
the answer is only what stands in the page's frame. What the page shows has an entity
tag, so that nothing is read or rendered where nothing has happened.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass
from dataclasses import replace

import msgspec
from flask import has_request_context
from flask import request
from markupsafe import Markup

from ..process import process
from .responses import QuietResponse

if t.TYPE_CHECKING:
    from ..inspection import Inspection

SINCE = "since"


@dataclass(frozen=True)
class Watch:
    """Where a page stands; its script finds this in attributes.

    :param cursor: Up to where the page knows the records.
    :param epoch: Tells whether the records are still of the same store.
    :param oldest: The place of the oldest record that is retained.
    :param etag: The state that the page shows; empty if the page is not live.
    """

    cursor: str
    epoch: str
    oldest: int
    etag: str


NOTHING = Watch("", "", 0, "")


def watch(inspection: Inspection, audited: int = 0) -> Watch:
    """Note where a page stands, before anything of it is read.

    What comes meanwhile is told a second time, never missed.

    :param audited: The generation of the audit that it shows, if it shows one.
    """
    cursor = inspection.cursor
    return Watch(
        cursor,
        cursor.partition(".")[0],
        inspection.oldest_place,
        _etag(inspection, cursor, audited),
    )


def watch_record(inspection: Inspection, record_id: str, facts: object) -> Watch:
    """Note where the page of one record stands.

    :param facts: What it shows of other records: those can change it, while most
        new ones do not.
    """
    latest = watch(inspection)
    place = inspection.place(record_id)
    return replace(latest, etag=_tag(place, facts))


def since() -> str | None:
    """Return the cursor of an open page, ``None`` if the page is loaded anew."""
    try:
        return request.args.get(SINCE)
    except UnicodeDecodeError:
        return None  # Bytes that are not UTF-8 come from nowhere here.


def has_several_workers(inspection: Inspection) -> bool:
    """Say whether another worker, with records of its own, may answer the next time.

    The WSGI server tells whether there are several processes.
    """
    alone = inspection.process()["shared"] or not has_request_context()
    return not alone and bool(request.environ.get("wsgi.multiprocess"))


def is_elsewhere(inspection: Inspection, record_id: str) -> bool:
    """Say whether another worker may still have a record."""
    return has_several_workers(inspection) and not record_id.startswith(process.token)


def is_known(watch: Watch) -> bool:
    """Say whether the page that asks shows this state already."""
    known = request.if_none_match
    # A proxy that compresses makes a strong tag a weak one.
    return known.is_strong(watch.etag) or known.is_weak(watch.etag)


def unchanged(watch: Watch) -> QuietResponse:
    """Answer that there is nothing new."""
    return _not_stored(QuietResponse(status=304), watch)


def update(body: Markup, status: int, watch: Watch) -> QuietResponse:
    """Answer what stands in the frame of the page."""
    # The debug toolbar wants to add itself to any HTML that is not streamed.
    response = QuietResponse(iter([body]), status, mimetype="text/html")
    return _not_stored(response, watch)


def _not_stored(response: QuietResponse, watch: Watch) -> QuietResponse:
    response.set_etag(watch.etag)
    response.headers["Cache-Control"] = "no-store"
    return response


def _etag(inspection: Inspection, cursor: str, audited: int) -> str:
    counters = inspection.counters
    return _tag(
        cursor,
        audited,
        inspection.paused,
        counters.lost,
        counters.dropped,
        counters.internal_errors,
    )


def _tag(*state: object) -> str:
    # The same numbers may come again in the next process.
    encoded = msgspec.json.encode((process.token, *state))
    return hashlib.sha256(encoded).hexdigest()[:32]
