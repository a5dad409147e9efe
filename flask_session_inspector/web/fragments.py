"""The panel of one finished record, as a fragment that the panel fetches."""

from __future__ import annotations

import typing as t

from flask import Response
from flask import current_app

from .pages import panels

if t.TYPE_CHECKING:
    from ..inspection import Inspection


def panel(request_id: str) -> Response:
    """Answer the content of the panel, or 404 while there is no such record.

    The blueprint has applied the access rule before this is called.

    :param request_id: The record's id.
    """
    inspection: Inspection = current_app.extensions["session_inspector"]
    record = inspection.request(request_id)
    if record is None:
        text = "This request has not ended yet, or its record is no longer kept."
        return Response(text, 404, mimetype="text/plain")
    view = panels.panel_view(inspection, record, pending=False)
    html = panels.render("_panel.html", panel=view)
    # The debug toolbar wants to add itself to any HTML that is not streamed.
    return Response(iter([html]), mimetype="text/html")
