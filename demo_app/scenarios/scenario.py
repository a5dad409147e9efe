"""What a scenario is: a fault that really happens, and the same task done right."""

from __future__ import annotations

import collections.abc as cabc
import inspect
import textwrap
import typing as t
from dataclasses import dataclass

from flask import Response

if t.TYPE_CHECKING:
    from .run import Run

View = t.Callable[[], "str | Response"]


def nothing_to_tidy(run: Run) -> None:
    """Leave everything as it is: the scenario left nothing behind."""


@dataclass(frozen=True)
class Way:
    """One of the two ways to do the task of a scenario.

    :param view: The view that does it; a request is sent to it.
    :param visits: How many requests, one after the other.
    :param drive: Sends the requests itself, where one after the other is not
        what is to be shown.
    :param raises: What the view is known to raise; any other exception is a
        mistake of the demo.
    :param views: Further views that ``drive`` sends requests to.
    :param shown: Further functions and classes that belong to the code.
    """

    view: View | None = None
    visits: int = 1
    drive: t.Callable[[Run], None] | None = None
    raises: tuple[type[Exception], ...] = ()
    views: tuple[View, ...] = ()
    shown: tuple[t.Any, ...] = ()

    @property
    def all_views(self) -> cabc.Iterator[View]:
        """Every view that a request is sent to."""
        if self.view is not None:
            yield self.view
        yield from self.views

    @property
    def code(self) -> str:
        """The very code that runs."""
        parts = [*self.shown, *self.all_views]
        return "\n\n\n".join(source(part) for part in parts)


@dataclass(frozen=True)
class Scenario:
    """A finding that can be made to happen.

    What the finding means, and how it is fixed in general, is said by its rule.

    :param code: The code of the finding.
    :param title: What goes wrong, in plain words.
    :param look_at: What to look at once it has happened.
    :param fault: The way that provokes it.
    :param fixed: The way that provokes nothing.
    :param tidy: Called after either way, when its records are complete.
    :param obstacle: Why it cannot be tried here; empty where it can.
    """

    code: str
    title: str
    look_at: str
    fault: Way
    fixed: Way
    tidy: t.Callable[[Run], None] = nothing_to_tidy
    obstacle: str = ""

    @property
    def ways(self) -> dict[str, Way]:
        """Both ways by name."""
        return {"fault": self.fault, "fixed": self.fixed}

    @property
    def views(self) -> dict[str, View]:
        """Every view by name."""
        views = [*self.fault.all_views, *self.fixed.all_views]
        return {view.__name__: view for view in views}


def source(thing: t.Any) -> str:
    """Return the source of a function or class."""
    return textwrap.dedent(inspect.getsource(thing)).strip()
