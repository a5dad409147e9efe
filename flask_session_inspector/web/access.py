"""Who may look: the access rule, and the proof that a change was meant."""

from __future__ import annotations

import hmac
import inspect
import logging
import typing as t
from urllib.parse import urlsplit

from flask import current_app
from flask import has_request_context
from flask import request
from werkzeug.exceptions import HTTPException

if t.TYPE_CHECKING:
    from ..inspection import Inspection

logger = logging.getLogger("flask_session_inspector")

TOKEN_HEADER = "X-Session-Inspector-Token"

_HOW = "set SESSION_INSPECTOR_ACCESS to a callable that says who may see it"
_FAILED = (
    "SESSION_INSPECTOR_ACCESS raised an error, which denies access; it must return"
    " True for those who may see the session inspector, and the log has the traceback."
)


def denial(inspection: Inspection) -> str | None:
    """Apply ``SESSION_INSPECTOR_ACCESS`` to the request being served.

    What a page of another site asks for is refused before: the application may
    let every origin read its answers.

    Without that setting the inspector is open only while the application runs
    in debug mode, and only to ``DEBUG_TB_HOSTS`` where that is set.

    :param inspection: The inspection that is asked for.
    :return: ``None`` if it is allowed, else one sentence on how to allow it. An
        error in the callable denies and is logged; nothing is raised.
    """
    if _is_from_another_site():
        return (
            "The session inspector refuses what a page of another site asks for;"
            " open its page in the browser."
        )
    access = inspection.config.access
    if access is None:
        return _default_denial()
    try:
        allowed = current_app.ensure_sync(access)()
        if inspect.isawaitable(allowed):
            # It would be true, whatever it is going to return.
            if inspect.iscoroutine(allowed):
                allowed.close()
            raise TypeError("SESSION_INSPECTOR_ACCESS returned an awaitable.")
        if allowed:
            return None
    except HTTPException:
        pass  # abort(403) and the like are a plain way to say no.
    except Exception:
        logger.exception("SESSION_INSPECTOR_ACCESS failed, so access is denied.")
        return _FAILED
    return (
        "SESSION_INSPECTOR_ACCESS did not allow this request; it must return True"
        " for those who may see the session inspector."
    )


def _is_from_another_site() -> bool:
    # A link or a form elsewhere leads here, and that site cannot read the answer.
    if request.headers.get("Sec-Fetch-Mode") == "navigate":
        return False
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return True
    origin = request.headers.get("Origin")
    return origin is not None and _host_of(origin) != _without_default_port(
        request.host
    )


def _default_denial() -> str | None:
    if not current_app.debug:
        return (
            "The session inspector is open only while the application runs in debug"
            f" mode; run it with --debug, or {_HOW}."
        )
    hosts = current_app.config.get("DEBUG_TB_HOSTS")
    # In a string, "in" would look for a part of it.
    if hosts and request.remote_addr not in ((hosts,) if _is_text(hosts) else hosts):
        return (
            f"DEBUG_TB_HOSTS does not list your address, {request.remote_addr}; add"
            f" it there, or {_HOW}."
        )
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, (str, bytes))


def forgery(inspection: Inspection, token: str) -> str | None:
    """Check that a request that changes something comes from our own pages.

    Another site cannot read the token. The origin is compared as well, in case the
    token became known.

    :param inspection: The inspection that is to be changed.
    :param token: What came with the request, in the header or in a form.
    :return: ``None`` if it may go on, else one sentence that says what is amiss.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return "This action is refused because another site asked for it."
    for header in ("Origin", "Referer"):
        sender = request.headers.get(header)
        if sender is None:
            continue
        if _host_of(sender) != _without_default_port(request.host):
            return (
                "This action is refused because the page that asked for it is not"
                f" of this host ({header} differs from Host)."
            )
        break
    # compare_digest refuses text beyond ASCII, but takes any bytes.
    if not hmac.compare_digest(_encoded(token), _encoded(inspection.token)):
        return (
            "This action needs the current token, in a form or in the header"
            f" {TOKEN_HEADER}; reload the page to get it."
        )
    return None


def csrf_field() -> tuple[str, str]:
    """Return name and value of the field that Flask-WTF wants in every form.

    :return: Both empty where the application does not use its ``CSRFProtect``.
    """
    if not has_request_context() or "csrf" not in current_app.extensions:
        return "", ""
    name = current_app.config.get("WTF_CSRF_FIELD_NAME")
    make_token = current_app.jinja_env.globals.get("csrf_token")
    if not isinstance(name, str) or not callable(make_token):
        return "", ""
    return name, str(make_token())


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _host_of(url: str) -> str | None:
    """Return the host, with its port, of an origin; ``None`` for ``"null"``."""
    try:
        return _without_default_port(urlsplit(url).netloc) or None
    except ValueError:
        return None


def _without_default_port(host: str) -> str:
    # A proxy that ends TLS hides the scheme, and with it which port is default.
    return host.lower().removesuffix(":80").removesuffix(":443")
