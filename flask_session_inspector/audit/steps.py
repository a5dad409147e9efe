"""The steps from an object to what it references, by the type of the object."""

from __future__ import annotations

import functools
import gc
import types
import typing as t

from sqlalchemy.orm import Query

from .forms import form_steps
from .forms import is_form
from .forms import is_unbound_field
from .forms import unbound_field_steps
from .keys import key_step
from .peek import class_attributes
from .peek import elements
from .peek import entries
from .peek import instance_attributes
from .peek import module_of
from .peek import mro
from .peek import name_of
from .peek import named_entries
from .peek import packages
from .peek import slots
from .step import Step
from .step import is_nothing

# Objects of these types hold many others, of which none is the application's to
# mend, or are places of their own. What is weak, or of one thread, holds nothing
# for the life of the application.
_OPAQUE = frozenset(
    {"_thread", "asyncio", "blinker", "click", "jinja2", "logging", "weakref"}
)
# So do those of types that are derived from these. A mapped instance is attached
# to a session without holding it.
_OPAQUE_BASES = frozenset(
    {"flask", "flask_session_inspector", "sqlalchemy", "werkzeug"}
)
_FRAMEWORKS = _OPAQUE | _OPAQUE_BASES | {"abc", "builtins", "flask_admin", "wtforms"}
_CACHED = type(functools.lru_cache(lambda: None))
_PARTIAL = functools.partial.__dict__


def steps_from(target: t.Any) -> t.Iterator[Step]:
    """Iterate over the steps from an object."""
    kind = type(target)
    if kind is dict or kind is list or kind is tuple:
        yield from _contained_steps(target)
    elif kind is types.FunctionType:
        yield from function_steps(target)
    elif kind is types.MethodType:
        yield Step("", target.__func__, 0)
        yield Step("", target.__self__, 0)
    elif kind is staticmethod or kind is classmethod:
        yield Step("", target.__func__, 0)
    elif kind is _CACHED:
        yield from _cached_steps(target)
    elif issubclass(kind, functools.partial):
        yield Step("", _PARTIAL["func"].__get__(target), 0)
        yield from arguments(
            _PARTIAL["args"].__get__(target), _PARTIAL["keywords"].__get__(target)
        )
    elif is_unbound_field(target):
        yield from unbound_field_steps(target)
    elif issubclass(kind, type):
        if is_form(target):
            yield from form_steps(target)
    else:
        yield from _instance_steps(target)


def function_steps(function: types.FunctionType) -> t.Iterator[Step]:
    """Iterate over what a function has: its closure, defaults and attributes."""
    attributes = function.__dict__
    wrapped = attributes.get("__wrapped__")
    if wrapped is not None:
        yield Step("", wrapped, 0)
    view_class: t.Any = attributes.get("view_class")
    if issubclass(type(view_class), type):
        yield from class_steps(view_class, f" > {name_of(view_class)}")
    for name, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=False
    ):
        try:
            held = cell.cell_contents
        except ValueError:
            continue  # Not set yet.
        if view_class is not None and name == "class_args":
            yield from arguments(held, {})
        elif view_class is not None and name == "class_kwargs":
            yield from arguments((), held)
        elif name != "__class__":
            yield Step(f' > closure variable "{name}"', held)
    defaults = function.__defaults__ or ()
    positional = function.__code__.co_varnames[: function.__code__.co_argcount]
    for name, held in zip(
        positional[len(positional) - len(defaults) :], defaults, strict=False
    ):
        yield Step(f' > default of "{name}"', held)
    for name, held in entries(function.__kwdefaults__ or {}):
        yield Step(f' > default of "{name}"', held)
    for name, held in named_entries(attributes):
        if name not in ("__wrapped__", "view_class"):
            yield Step(f".{name}", held)


def arguments(
    positional: tuple[t.Any, ...], keywords: dict[str, t.Any]
) -> t.Iterator[Step]:
    """Iterate over the arguments that something will be called with."""
    for index, value in enumerate(elements(positional)):
        yield Step(f" > argument {index}", value)
    for name, value in entries(keywords):
        yield Step(f' > argument "{name}"', value)


def class_steps(kind: type, path: str = "") -> t.Iterator[Step]:
    """Iterate over the attributes of a class, and of base classes that are not
    those of a framework.

    :param path: Comes before the name of the attribute.
    """
    if is_form(kind):
        yield Step(path, kind, 0)
    hidden = set()
    for each in own_bases(kind):
        for name, value in list(class_attributes(each).items()):
            if name not in hidden and not name.startswith("__"):
                hidden.add(name)
                yield Step(f"{path}.{name}", value)


def own_bases(kind: type) -> t.Iterator[type]:
    """Iterate over a class and its base classes that are not of a framework."""
    for each in mro(kind):
        if module_of(each).partition(".")[0] not in _FRAMEWORKS:
            yield each


def _cached_steps(target: t.Any) -> t.Iterator[Step]:
    # The cache cannot be read otherwise.
    for held in gc.get_referents(target):
        if type(held) is types.FunctionType:
            yield Step("", held, 0)
        elif type(held) is dict:
            for _, result in entries(held):
                yield Step(" > cached result", result)
        else:
            yield Step(" > cached result", held)


def _contained_steps(target: t.Any) -> t.Iterator[Step]:
    for key, value in entries(target):
        if not is_nothing(value):
            yield Step(key_step(key), value)
    for index, value in enumerate(elements(target)):
        if not is_nothing(value):
            yield Step(f"[{index}]", value)


def _instance_steps(target: t.Any) -> t.Iterator[Step]:
    kind = type(target)
    if issubclass(kind, Query):
        session = instance_attributes(target).get("session")
        yield Step(".session", session)
        return
    origin = packages(kind)
    if origin & _OPAQUE_BASES or module_of(kind).partition(".")[0] in _OPAQUE:
        return
    attributes = instance_attributes(target)
    if "_sa_instance_state" in attributes:
        return
    yield from _contained_steps(target)
    # What Flask-Admin's own objects carry needs no further name.
    carried = ("db_session", "session") if "flask_admin" in origin else ()
    for name, value in named_entries(attributes):
        yield Step("" if name in carried else f".{name}", value)
    for name, value in slots(target):
        yield Step(f".{name}", value)
