"""Methods of an application in whose place functions of ours are called.

As a middleware is put around ``wsgi_app``, each is put around a method on that one
application, and calls what was there. Flask calls these methods on the application, so
that they can be overridden; extensions that handle errors in a way of their own replace
some in the same manner.
"""

from __future__ import annotations

import functools
import inspect
import sys
import typing as t
import weakref

if t.TYPE_CHECKING:
    from flask import Flask

Function = t.Callable[..., t.Any]
# Returns what ours has to call.
Original = t.Callable[[], Function]


class Method:
    """A method of one application, and the function of ours in its place.

    Nothing here keeps the application alive, which whoever keeps a record could then.

    :param name: Its name.
    :param around: Given this and what returns the original, returns the function that
        is called instead.
    """

    def __init__(
        self, name: str, around: t.Callable[[Method, Original], Function]
    ) -> None:
        self._name = name
        self._around = around
        self._ours: t.Callable[[], Function | None] = _nothing

    def is_ours(self, function: Function) -> bool:
        """Say whether a function is the newest of ours: it can be around another."""
        return self._ours() is function

    def watch(self, app: Flask) -> None:
        """Be the first to be called; may be called again."""
        replaced: Function | None = app.__dict__.get(self._name)
        if replaced is not None and self.is_ours(replaced):
            return
        original = _of_class(app, self._name) if replaced is None else lambda: replaced
        wraps = functools.wraps(getattr(app, self._name))
        ours = wraps(self._around(self, original))
        setattr(ours, _REPLACED, replaced)
        self._ours = weakref.ref(ours)
        app.__dict__[self._name] = ours

    def remove(self, app: Flask) -> None:
        """Take ours away, unless somebody else has wrapped it since."""
        ours = app.__dict__.get(self._name)
        if ours is not None and self.is_ours(ours):
            del app.__dict__[self._name]
            replaced = getattr(ours, _REPLACED)
            if replaced is not None:
                app.__dict__[self._name] = replaced
        self._ours = _nothing


# On a function of ours: what was in place of the method before.
_REPLACED = "_session_inspector_replaced"


def _nothing() -> None:
    """Stand for a reference to what is gone."""


def _of_class(app: Flask, name: str) -> Original:
    """Return what looks a method up on the class: it may be replaced there any time."""
    known, bound = getattr(type(app), name), getattr(app, name)

    def original() -> Function:
        return bound if getattr(type(app), name) is known else _bound(app, name)

    return original


def _bound(app: Flask, name: str) -> Function:
    """Bind what the class has to the application, as if nothing were in its place."""
    found: t.Any = inspect.getattr_static(type(app), name)
    if hasattr(type(found), "__get__"):
        found = found.__get__(app, type(app))
    return t.cast(Function, found)


def error_in(arguments: tuple[t.Any, ...], named: dict[str, t.Any]) -> object:
    """Return the exception that a method was given, or what stands in its place.

    It comes last: Flask 3.2 passes its context before it. Without one, Flask takes the
    one that is being handled.
    """
    for name in ("exc", "e"):
        if name in named:
            return named[name]
    return arguments[-1] if arguments else sys.exc_info()[1]
