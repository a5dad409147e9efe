"""Asking for the current app context, also of a Flask that lacks the variable."""

from __future__ import annotations

import flask

from flask_session_inspector.hooks import frames


def test_both_ways_say_the_same() -> None:
    by_proxy = frames._ByProxy()
    assert frames.app_context.get(None) is by_proxy.get(None) is None
    with flask.Flask("app").app_context() as context:
        assert frames.app_context.get(None) is by_proxy.get(None) is context
    assert frames.app_context.get(None) is by_proxy.get(None) is None
