"""The panel "Sessions" of Flask-DebugToolbar.

The toolbar is rendered into the response, before the teardown: the panel shows
the record so far, and ``inspector.js`` replaces it by the finished one.
"""

from __future__ import annotations

import typing as t

import msgspec
from flask import current_app
from flask import request as flask_request
from flask import url_for
from flask_debugtoolbar.panels import DebugPanel

from ..guard import guard
from ..phrases import marked
from .access import denial
from .pages import panels
from .pages.formats import ELLIPSIS
from .rendering import render
from .translating import English
from .translating import gettext
from .translating import gettext_markup

if t.TYPE_CHECKING:
    from werkzeug import Request
    from werkzeug import Response

    from ..inspection import Inspection


class SessionsPanel(DebugPanel):
    """Shows the database sessions of the request that the page came from."""

    name = "Sessions"
    has_content = True

    # Not DebugPanel.context: that is one dict for all panels of all requests.
    _view: panels.PanelView | None = None
    _record_id = ""
    _sentence = marked("This request was not recorded.")
    _subtitle = marked("not recorded")

    def process_response(self, request: Request, response: Response) -> None:
        """Take the record as it stands when the response is made."""
        try:
            self._look(response.status_code)
        except Exception:
            self._view, self._record_id = None, ""
            self._sentence = gettext("The panel could not be made; the log says why.")
            self._subtitle = gettext("failed")
            guard.report("the debug toolbar's panel")

    def _look(self, status: int) -> None:
        self._sentence = gettext(SessionsPanel._sentence)
        self._subtitle = gettext(SessionsPanel._subtitle)
        inspection: Inspection | None = current_app.extensions.get("session_inspector")
        if inspection is None:
            self._sentence = gettext("This application has no SessionInspector.")
            return
        record = inspection.current()
        if inspection.config.access is not None and record is not None:
            # The application's rule may ask the database, which would write what the
            # view has only added. It is asked when the panel asks for the record.
            self._record_id = record.id
            self._sentence = gettext("Asking whether you may see this.")
            self._subtitle = ELLIPSIS
            return
        sentence = None if inspection.config.access else denial(inspection)
        if sentence is not None:
            self._sentence, self._subtitle = English(sentence), gettext("not allowed")
        elif record is not None:
            if record.status is None:  # It is not known before the response is sent.
                record = msgspec.structs.replace(record, status=status)
            self._view = panels.panel_view(inspection, record, pending=True)
            self._record_id = record.id
            self._subtitle = self._view.subtitle
        elif not inspection.config.enabled:
            self._sentence = gettext(
                "Nothing is recorded, because SESSION_INSPECTOR_ENABLED is False."
            )
        elif inspection.paused:
            self._sentence = gettext(
                "This request was not recorded: recording is paused."
            )
        elif flask_request.blueprint in inspection.own_blueprints:
            self._sentence = gettext("The inspector's own pages are not recorded.")
        else:
            self._sentence = gettext(
                "This request was not recorded: SESSION_INSPECTOR_EXCLUDE or"
                " SESSION_INSPECTOR_SAMPLE_RATE leaves it out."
            )

    def nav_title(self) -> str:
        return gettext("Sessions")

    def nav_subtitle(self) -> str:
        return self._subtitle

    def title(self) -> str:
        # The toolbar does not escape it.
        return gettext_markup("Sessions")

    def url(self) -> str:
        return ""

    def content(self) -> str:
        """Return the panel's markup; the toolbar inserts it as it is."""
        try:
            return self._content()
        except Exception:
            guard.report("the debug toolbar's panel")
            return gettext_markup("The panel could not be made; the log says why.")

    def _content(self) -> str:
        return render(
            "panel.html",
            panel=self._view,
            etag="",
            sentence=self._sentence,
            style_url=_static("inspector.css"),
            script_url=_static("inspector.js"),
            fragment_url=""
            if not self._record_id
            else url_for("session_inspector.panel", request_id=self._record_id),
        )


def _static(filename: str) -> str:
    return url_for("session_inspector.static", filename=filename)
