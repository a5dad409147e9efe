"""The page "Sessions" of Flask-Admin."""

from __future__ import annotations

import functools
import typing as t

from flask import Response
from flask import abort
from flask import current_app
from flask import make_response
from flask import redirect
from flask import request
from flask_admin import Admin  # type: ignore[import-untyped] # has no types
from flask_admin import BaseView
from flask_admin import expose
from werkzeug.local import LocalProxy

from ..phrases import marked
from . import live
from .access import denial
from .access import forgery
from .pages.audit_page import audit_page
from .pages.findings_page import findings_page
from .pages.links import Links
from .pages.list_page import LIST_QUERY
from .pages.list_page import list_page
from .pages.record_page import detail_page
from .pages.record_page import surroundings
from .rendering import render
from .translating import English
from .translating import gettext
from .translating import language
from .translating import one_language

if t.TYPE_CHECKING:
    from flask import Blueprint
    from werkzeug.wrappers import Response as AnyResponse

    from ..inspection import Inspection
    from ..records import Holder
    from .live import Watch

_VIEWS = frozenset(
    {"index", "record_page", "findings_page", "audit_page", "clear", "resume"}
)
_NAMES = frozenset({marked("Sessions"), marked("Session inspector")})
_DARK_SWATCHES = frozenset({"cyborg", "darkly", "slate", "solar", "superhero"})


class SessionsView(BaseView):  # type: ignore[misc] # of a module without types
    """The recorded requests with their sessions, as a page of the admin.

    The page is added by itself. To restrict who may see it beyond
    ``SESSION_INSPECTOR_ACCESS``, add a subclass with an ``is_accessible`` of
    your own; then none is added automatically.

    :param name: The name in the menu.
    :param url: The path below the admin's own, or an absolute one.
    """

    def __init__(
        self, name: str | None = "Sessions", *args: t.Any, **kwargs: t.Any
    ) -> None:
        # The fourth positional parameter of a view is its URL.
        if len(args) < 3:
            kwargs.setdefault("url", "sessions")
        if name in _NAMES:
            # Like Flask-Admin's own, it is in the language of whoever sees the menu.
            name = t.cast(str, LocalProxy(functools.partial(gettext, name)))
        super().__init__(name, *args, **kwargs)

    def create_blueprint(self, admin: Admin) -> Blueprint:
        """Put the access rule before every route, whatever a subclass overrides."""
        blueprint: Blueprint = super().create_blueprint(admin)
        blueprint.before_request(_refuse)
        blueprint.after_request(_harden)
        return blueprint

    def is_visible(self) -> bool:
        """Tell whether the menu shows the page: to those who may see it."""
        return _refusal() is None

    @expose("/")  # type: ignore[untyped-decorator] # as above
    def index(self) -> Response:
        """The list: verdicts, diagram, requests."""
        inspection = _present()
        query = {name: _query().get(name, "") for name in LIST_QUERY}
        holders, watch = _audited(inspection)
        if live.is_known(watch):
            return live.unchanged(watch)
        page = list_page(inspection, query, holders, since=live.since())
        if page.problem:
            watch = live.NOTHING
        status = 400 if page.problem else 200
        return self._answer("list.html", watch, status, page=page, title=self.name)

    @expose("/requests/<record_id>")  # type: ignore[untyped-decorator] # as above
    def record_page(self, record_id: str) -> Response:
        """The detail of one record; 404 if it is unknown or no longer kept."""
        inspection = _present()
        watch = live.watch(inspection)
        record = inspection.request(record_id)
        if record is None:
            return self._no_record(inspection, record_id, watch)
        others = surroundings(inspection, record)
        watch = live.watch_record(inspection, record_id, others)
        if live.is_known(watch):
            return live.unchanged(watch)
        page = detail_page(inspection, record)
        return self._answer("detail.html", watch, page=page, title=page.title)

    def _no_record(
        self, inspection: Inspection, record_id: str, watch: Watch
    ) -> Response:
        is_elsewhere = live.is_elsewhere(inspection, record_id)
        status = 404
        if live.since() is not None:
            if is_elsewhere:
                return live.unchanged(watch)
            status = 410  # An open page shows it, so there was one.
        return self._answer(
            "missing.html",
            live.NOTHING,
            status,
            record_id=record_id,
            is_elsewhere=is_elsewhere,
            most=inspection.config.max_requests,
            title=gettext("No such record"),
        )

    @expose("/findings")  # type: ignore[untyped-decorator] # as above
    def findings_page(self) -> Response:
        """The faults that were found, by their code."""
        inspection = _present()
        holders, watch = _audited(inspection)
        if live.is_known(watch):
            return live.unchanged(watch)
        page = findings_page(inspection, holders)
        return self._answer("findings.html", watch, page=page, title=self.name)

    @expose("/audit")  # type: ignore[untyped-decorator] # as above
    def audit_page(self) -> Response:
        """Who holds a session; with ``?session=12`` also what keeps that alive."""
        inspection = _present()
        session = _query().get("session", "").strip()
        holders, watch = _audited(inspection)
        if session:
            # The search for what keeps it alive is not to be repeated by itself.
            watch = live.NOTHING
        elif live.is_known(watch):
            return live.unchanged(watch)
        page = audit_page(inspection, session, holders)
        status = 400 if page.problem else 200
        return self._answer("audit.html", watch, status, page=page, title=self.name)

    @expose("/clear", methods=("POST",))  # type: ignore[untyped-decorator] # as above
    def clear(self) -> AnyResponse:
        """Forget the records, and show the list."""
        return self._change("clear")

    @expose("/resume", methods=("POST",))  # type: ignore[untyped-decorator] # as above
    def resume(self) -> AnyResponse:
        """Record again, and show the list."""
        return self._change("resume")

    def _change(self, change: t.Literal["clear", "resume"]) -> AnyResponse:
        inspection = _present()
        forged = forgery(inspection, request.form.get("token", ""))
        if forged is not None:
            return _denied(403, forged)
        getattr(inspection, change)()
        return redirect(self._links().requests(), 303)

    def _links(self) -> Links:
        return Links(self.endpoint, self.get_url)

    def _answer(
        self, template: str, watch: Watch, status: int = 200, **values: t.Any
    ) -> Response:
        """Render a page, or what an open page asks for of it."""
        body = render(template, links=self._links(), watch=watch, **values)
        if live.since() is not None:
            return live.update(body, status, watch)
        swatch = getattr(t.cast(Admin, self.admin).theme, "swatch", "")
        html = self.render(
            "session_inspector/page.html",
            inspector_title=values["title"],
            inspector_language=language(),
            inspector_body=body,
            is_dark=swatch in _DARK_SWATCHES,
        )
        return make_response(html, status)

    def _handle_view(self, name: str, **kwargs: t.Any) -> t.Any:
        # Flask-Admin before 2.2 goes on to the view where the callback returns None.
        if not self.is_accessible():
            return self.inaccessible_callback(name, **kwargs) or abort(403)
        return None

    def _run_view(
        self, fn: t.Callable[..., t.Any], *args: t.Any, **kwargs: t.Any
    ) -> t.Any:
        # If a view raises TypeError, Flask-Admin calls it once more in another way,
        # and what is seen is the error of that.
        if getattr(fn, "__name__", "") in _VIEWS:
            with one_language():
                return fn(self, *args, **kwargs)
        return super()._run_view(fn, *args, **kwargs)


def _inspection() -> Inspection | None:
    inspection: Inspection | None = current_app.extensions.get("session_inspector")
    return inspection


def _query() -> t.Mapping[str, str]:
    try:
        return request.args
    except UnicodeDecodeError:  # Bytes that are not UTF-8 ask for nothing.
        abort(400, "The query string must be UTF-8.")


def _present() -> Inspection:
    return t.cast("Inspection", _inspection())


def _audited(inspection: Inspection) -> tuple[list[Holder], Watch]:
    """Ask the audit for a page that shows it, and note where the page stands."""
    is_open = live.since() is not None
    audit = inspection.audit_for_page(is_open=is_open)
    return audit.holders, live.watch(inspection, audit.generation)


def _refuse() -> Response | None:
    refusal = _refusal()
    return None if refusal is None else _denied(*refusal)


def _denied(status: int, sentence: str) -> Response:
    response = make_response(render("denied.html", sentence=English(sentence)), status)
    response.headers["Cache-Control"] = "no-store"
    return response


def _harden(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    # In the frame of another site, a click could be meant for something else.
    response.headers.setdefault("X-Frame-Options", "SAMEORIGIN")
    return response


def _refusal() -> tuple[int, str] | None:
    """Return status and sentence where the page must not be shown."""
    inspection = _inspection()
    if inspection is None:
        return 404, "This application has no SessionInspector."
    sentence = denial(inspection)
    if sentence is not None:
        return 403, sentence
    if not inspection.config.enabled:
        return 404, "SESSION_INSPECTOR_ENABLED is False, so nothing is recorded."
    return None
