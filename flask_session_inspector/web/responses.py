"""Answers to a script, which nobody has asked for by a click."""

from __future__ import annotations

import typing as t

from flask import Response


class QuietResponse(Response):
    """An answer that leaves the cookies of the browser as they are.

    Flask writes a permanent cookie session with every response. Sent with an answer
    that was long under way, the old content would replace what the application has
    written meanwhile, and a page that is left open would never be logged out.
    """

    def set_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Set none."""

    def delete_cookie(self, *args: t.Any, **kwargs: t.Any) -> None:
        """Delete none."""
