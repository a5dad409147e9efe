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
from .responses import QuietResponse
from .translating import gettext
from .translating import one_language

if t.TYPE_CHECKING:
    from ..inspection import Inspection

MOST_REDIRECTS = 20


def panel(request_id: str) -> Response:
    """Answer the content of the panel.

    It is 404 while the request runs, and for a record of another process; 410 where
    there is nothing to wait for.

    The blueprint has applied the access rule before this is called.

    :param request_id: The record's id.
    """
    inspection: Inspection = current_app.extensions["session_inspector"]
    watch = live.watch(inspection)
    # Asked first: a record that ends meanwhile is found in the store.
    has_ended = inspection.has_ended(request_id)
    record = inspection.request(request_id)
    if record is None and has_ended:
        return QuietResponse(_not_kept(inspection), 410, mimetype="text/plain")
    if record is None:
        text = "This request has not ended yet, or its record is no longer kept."
        return QuietResponse(text, 404, mimetype="text/plain")
    if live.is_known(watch):
        return live.unchanged(watch)
    with one_language():
        view = panels.panel_view(
            inspection, record, pending=False, redirects=_redirects()
        )
        html = render("_panel.html", panel=view, etag=watch.etag)
    return live.update(html, 200, watch)


def _not_kept(inspection: Inspection) -> str:
    if inspection.config.keep == "findings":
        return gettext(
            "The request has ended, and its record is not kept:"
            " SESSION_INSPECTOR_KEEP keeps only those with findings."
        )
    return gettext("The request has ended, and its record is no longer kept.")


def _redirects() -> int:
    """Read what the browser said of how it came to the page."""
    try:
        given = request.args.get("redirects", "")
    except UnicodeDecodeError:
        return 0
    return min(int(given), MOST_REDIRECTS) if re.fullmatch("[0-9]{1,2}", given) else 0
