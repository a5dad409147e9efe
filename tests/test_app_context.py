"""Asking for the current app context, also of a Flask that lacks the variable."""

from __future__ import annotations

import flask

from flask_session_inspector.hooks import frames


def test_both_ways_say_the_same() -> None:
    assert frames.current_context(None) is frames._by_proxy(None) is None
    with flask.Flask("app").app_context() as context:
        assert frames.current_context(None) is frames._by_proxy(None) is context
    assert frames.current_context(None) is frames._by_proxy(None) is None
