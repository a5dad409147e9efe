"""How a page that is open learns what is new: it asks for its own address again.

The address then has ``since``, the cursor up to which the page knows the records, and
the answer is only what stands in the page's frame. What the page shows has an entity
tag, so that nothing is read or rendered where nothing has happened.
"""

from __future__ import annotations

import hashlib
import typing as t
from dataclasses import dataclass

import msgspec
from flask import Response
from flask import has_request_context
from flask import request
from markupsafe import Markup

from ..process import process

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


def watch(inspection: Inspection) -> Watch:
    """Note where a page stands, before anything of it is read.

    What comes meanwhile is told a second time, never missed.
    """
    cursor = inspection.cursor
    return Watch(
        cursor,
        cursor.partition(".")[0],
        inspection.oldest_place,
        _etag(inspection, cursor),
    )


def since() -> str | None:
    """Return the cursor of an open page, ``None`` if the page is loaded anew."""
    return request.args.get(SINCE)


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


def unchanged(watch: Watch) -> Response:
    """Answer that there is nothing new."""
    return _not_stored(Response(status=304), watch)


def update(body: Markup, status: int, watch: Watch) -> Response:
    """Answer what stands in the frame of the page."""
    # The debug toolbar wants to add itself to any HTML that is not streamed.
    return _not_stored(Response(iter([body]), status, mimetype="text/html"), watch)


def _not_stored(response: Response, watch: Watch) -> Response:
    response.set_etag(watch.etag)
    response.headers["Cache-Control"] = "no-store"
    return response


def _etag(inspection: Inspection, cursor: str) -> str:
    counters = inspection.counters
    # The same numbers may come again in the next process.
    state = (
        process.token,
        cursor,
        inspection.paused,
        counters.lost,
        counters.dropped,
        counters.internal_errors,
    )
    return hashlib.sha256(msgspec.json.encode(state)).hexdigest()[:32]
