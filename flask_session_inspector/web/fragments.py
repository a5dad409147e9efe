"""The panel of one finished record, as a fragment that the panel fetches."""

from __future__ import annotations

import re
import typing as t

from flask import Response
from flask import current_app
from flask import request

from . import live
from .pages import panels
from .rendering import render

if t.TYPE_CHECKING:
    from ..inspection import Inspection

MOST_REDIRECTS = 20


def panel(request_id: str) -> Response:
    """Answer the content of the panel, or 404 while there is no such record.

    The blueprint has applied the access rule before this is called.

    :param request_id: The record's id.
    """
    inspection: Inspection = current_app.extensions["session_inspector"]
    watch = live.watch(inspection)
    record = inspection.request(request_id)
    if record is None:
        text = "This request has not ended yet, or its record is no longer kept."
        return Response(text, 404, mimetype="text/plain")
    if live.is_known(watch):
        return live.unchanged(watch)
    view = panels.panel_view(inspection, record, pending=False, redirects=_redirects())
    return live.update(render("_panel.html", panel=view, etag=watch.etag), 200, watch)


def _redirects() -> int:
    """Read what the browser said of how it came to the page."""
    given = request.args.get("redirects", "")
    return min(int(given), MOST_REDIRECTS) if re.fullmatch("[0-9]{1,2}", given) else 0
