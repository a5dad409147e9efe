"""The ``Server-Timing`` header, which browsers show beside their own timing."""

from __future__ import annotations

import flask

from ..guard import guard
from . import contexts


def add_server_timing(response: flask.Response) -> flask.Response:
    """Say in the header what the request did with the database so far."""
    try:
        current = contexts.current_scope()
        if current is not None:
            scope = current[1]
            statements = list(scope.statements)
            spent = sum(statement.ended - statement.began for statement in statements)
            number = len(statements) + scope.statement_overflow
            sessions = " ".join(f"S{serial}" for serial in list(scope.sessions)) or "-"
            response.headers.add(
                "Server-Timing",
                f'db;dur={spent * 1000:.3f};desc="{number} statements",'
                f' sessions;desc="{sessions}"',
            )
    except Exception:
        guard.report("after_request")
    return response
