"""What the application's extensions hold, and the functions that it registered."""

from __future__ import annotations

import functools
import types
import typing as t

from .admins import admins_of
from .kinds import held_kind
from .peek import elements
from .peek import entries
from .peek import instance_attributes
from .peek import name_of
from .peek import shown_name
from .step import Step
from .walk import Walk

if t.TYPE_CHECKING:
    import flask

# Told before, or ours.
_OTHERWISE = frozenset({"sqlalchemy", "session_inspector"})

# Where Flask keeps them, by the name of its decorator.
_REGISTERED = {
    "before_request_funcs": "before_request function",
    "after_request_funcs": "after_request function",
    "teardown_request_funcs": "teardown_request function",
    "teardown_appcontext_funcs": "teardown_appcontext function",
    "template_context_processors": "context processor",
    "url_value_preprocessors": "url_value_preprocessor function",
    "url_default_functions": "url_defaults function",
    "shell_context_processors": "shell context processor",
    "error_handler_spec": "error handler",
}


def held_by_extensions(app: flask.Flask, walk: Walk) -> t.Iterator[tuple[str, object]]:
    """Iterate over what ``app.extensions`` holds, with the path to it."""
    for name, value in entries(app.extensions):
        where = f"app.extensions[{shown_name(name)}]"
        if not _is_told_otherwise(app, name) and walk.wants(where):
            walk.begin_place()
            for path, held, _ in walk.follow(where, [Step("", value, 0)]):
                yield path, held


def _is_told_otherwise(app: flask.Flask, name: object) -> bool:
    # An extension of the application's own can have the name of Flask-Admin's.
    if type(name) is not str:
        return False
    return name in _OTHERWISE or (name == "admin" and bool(admins_of(app)))


def held_by_functions(app: flask.Flask, walk: Walk) -> t.Iterator[tuple[str, object]]:
    """Iterate over what registered functions hold in closures and defaults."""
    for where, function in _registered(app):
        if not walk.wants(where):
            continue
        walk.begin_place()
        for path, held, _ in walk.follow(where, [Step("", function, 0)]):
            yield path, held


def _registered(app: flask.Flask) -> t.Iterator[tuple[str, object]]:
    attributes = instance_attributes(app)
    for endpoint, view in list(app.view_functions.items()):
        yield f'view function "{endpoint}"', view
    for name, kind in _REGISTERED.items():
        for function in _functions_in(attributes.get(name)):
            if not _is_of_extension(function):
                yield f'{kind} "{_name_of(function)}"', function


def _is_of_extension(function: object) -> bool:
    """Say whether a function is a method of Flask-SQLAlchemy's object."""
    if type(function) is not types.MethodType:
        return False
    return held_kind(function.__self__) == "db"


def _functions_in(registered: object) -> t.Iterator[object]:
    """Iterate over functions that are in dicts of dicts or lists, as Flask likes."""
    if issubclass(type(registered), dict):
        for _, value in entries(t.cast("dict[object, object]", registered)):
            yield from _functions_in(value)
    elif type(registered) is list:
        for value in elements(registered):
            yield from _functions_in(value)
    elif registered is not None:
        yield registered


def _name_of(function: t.Any) -> str:
    kind = type(function)
    if kind is types.MethodType:
        return _name_of(function.__func__)
    if kind is functools.partial:
        return _name_of(function.func)
    return function.__name__ if kind is types.FunctionType else name_of(kind)
