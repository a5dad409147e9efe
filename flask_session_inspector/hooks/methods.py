"""Methods of an application that are called through functions of ours.

Like a middleware around ``wsgi_app``, ours takes the place of the method on that one
application, and calls what was there. Flask calls all of them on the application, so
that they can be overridden; extensions that handle errors in a way of their own replace
some in the same manner.
"""

from __future__ import annotations

import functools
import typing as t

if t.TYPE_CHECKING:
    from flask import Flask

Function = t.Callable[..., t.Any]
# Makes ours of the application and of what was in place of its method, if anything was.
Around = t.Callable[["Flask", "Function | None"], Function]


class Method:
    """A method of one application, and what is called in its place.

    :param name: Its name.
    :param around: Makes that. Where nothing was in place of the method, it looks the
        method up on the class each time: it may be replaced there at any time.
    """

    def __init__(self, name: str, around: Around) -> None:
        self._name = name
        self._around = around
        self._ours: Function | None = None
        self._replaced: Function | None = None

    def watch(self, app: Flask) -> None:
        """Be the first to be called; may be called again."""
        replaced: Function | None = app.__dict__.get(self._name)
        if self._ours is not None and replaced is self._ours:
            return
        ours = functools.wraps(getattr(app, self._name))(self._around(app, replaced))
        self._ours, self._replaced = ours, replaced
        app.__dict__[self._name] = ours

    def remove(self, app: Flask) -> None:
        """Take ours away, unless somebody else has wrapped it since."""
        if self._ours is not None and app.__dict__.get(self._name) is self._ours:
            del app.__dict__[self._name]
            if self._replaced is not None:
                app.__dict__[self._name] = self._replaced
        self._ours = None


def error_in(arguments: tuple[t.Any, ...], named: dict[str, t.Any]) -> t.Any:
    """Return the exception, or what stands in its place, that a method was given.

    It comes last: Flask 3.2 passes its context before it.
    """
    if arguments:
        return arguments[-1]
    return named.get("exc") or named.get("e")
