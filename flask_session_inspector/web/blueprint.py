"""The blueprint: the inspector's routes, mounted in any kind of application."""

from __future__ import annotations

import functools
import typing as t

from flask import Blueprint
from flask import Response
from flask import request

from ..guard import guard
from . import api
from . import fragments
from .access import denial
from .domains import EveryDomainBlueprint
from .wiring import guarded

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.typing import ResponseReturnValue

    from ..inspection import Inspection

NAME = "session_inspector"
URL_PREFIX = "/_session_inspector"

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_READ = ("GET", "HEAD", "OPTIONS")
_CHANGE = ("POST", "OPTIONS")

_ROUTES: tuple[tuple[str, str, t.Callable[..., t.Any], tuple[str, ...]], ...] = (
    ("requests", "/api/requests", api.requests, _READ),
    ("request_detail", "/api/requests/<request_id>", api.request_detail, _READ),
    ("findings", "/api/findings", api.findings, _READ),
    ("audit", "/api/audit", api.audit, _READ),
    ("counters", "/api/counters", api.counters, _READ),
    ("export", "/api/export", api.export, _READ),
    ("clear", "/api/clear", api.clear, _CHANGE),
    ("pause", "/api/pause", api.pause, _CHANGE),
    ("resume", "/api/resume", api.resume, _CHANGE),
    ("panel", "/panel/<request_id>", fragments.panel, _READ),
)


def register(app: Flask) -> None:
    """Mount the routes of the inspector at ``/_session_inspector``.

    :param app: An application that has its inspection, and that has not served
        its first request.
    :raises RuntimeError: The application has a blueprint of that name already.
    """
    if NAME in app.blueprints:
        raise RuntimeError(
            f"The application already has a blueprint named {NAME!r}, a name that"
            " Flask-Session-Inspector needs for its own."
        )
    blueprint = EveryDomainBlueprint(
        NAME,
        __package__.partition(".")[0],
        url_prefix=URL_PREFIX,
        static_folder="static",
        static_url_path="/static",
        template_folder="templates",
    )
    blueprint.before_request(_refuse)
    blueprint.after_request(_harden)
    for endpoint, rule, view, methods in _ROUTES:
        _add(blueprint, endpoint, rule, view, methods)
    # Without these, a catch-all route or an error page of the application would
    # answer what is asked of the API.
    _add(blueprint, "nothing", "/", _nothing, _METHODS)
    _add(blueprint, "nothing_here", "/<path:anything>", _nothing, _METHODS)
    blueprint.mount(app)
    if blueprint.every_domain:
        inspection: Inspection = app.extensions["session_inspector"]
        inspection.recording.wirings.append(
            guarded("covering every domain", blueprint.cover_domains)
        )


def _add(
    blueprint: Blueprint,
    endpoint: str,
    rule: str,
    view: t.Callable[..., ResponseReturnValue],
    methods: tuple[str, ...],
) -> None:
    blueprint.add_url_rule(
        rule,
        endpoint,
        _answering(view, methods),
        methods=_METHODS,
    )


def _answering(
    view: t.Callable[..., ResponseReturnValue], methods: tuple[str, ...]
) -> t.Callable[..., ResponseReturnValue]:
    """Answer what Flask would hand to the application's own error handlers."""

    @functools.wraps(view)
    def answer(**values: str) -> ResponseReturnValue:
        if request.method not in methods:
            response = api.problem(
                405, f"This address takes {methods[0]} requests only."
            )
        elif request.method == "OPTIONS":
            response = Response(status=204)
        else:
            try:
                return view(**values)
            except Exception:
                guard.report(f"the route {request.endpoint}")
                return api.problem(
                    500, "The session inspector failed to answer; the log says why."
                )
        response.headers["Allow"] = ", ".join(methods)
        return response

    return answer


def _nothing(**values: str) -> Response:
    return api.problem(404, "The session inspector has nothing at this address.")


def _is_static() -> bool:
    return request.endpoint == f"{NAME}.static"


def _refuse() -> Response | None:
    if _is_static():
        return None
    sentence = denial(api.inspection_of_app())
    if sentence is None:
        return None
    if request.endpoint == f"{NAME}.panel":
        return Response(sentence, 403, mimetype="text/plain")
    return api.problem(403, sentence)


def _harden(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    if not _is_static():
        response.headers["Cache-Control"] = "no-store"
    return response
