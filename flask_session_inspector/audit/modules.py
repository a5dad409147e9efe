"""What the modules of the application's own package hold."""

from __future__ import annotations

import os
import sys
import types
import typing as t

from ..locations import LIBRARIES
from ..locations import in_library
from ..registries import is_proxy
from .judge import is_safe
from .peek import module_attributes
from .peek import module_of
from .step import Step
from .step import is_nothing
from .steps import class_steps
from .walk import Walk

if t.TYPE_CHECKING:
    import flask

#: Attributes of modules that are looked at, by their type alone.
MOST_ATTRIBUTES = 50_000

_Namespace = t.Mapping[str, t.Any]


class _Attribute(t.NamedTuple):
    module: str
    name: str
    value: t.Any
    #: How likely it is that the module made the value, rather than import it.
    likely: int


def held_by_modules(app: flask.Flask, walk: Walk) -> t.Iterator[tuple[str, object]]:
    """Iterate over what the application's modules hold, with the path to it."""
    walk.begin_place()
    attributes = list(_attributes(app, walk))
    makers = _makers(attributes)
    for each in attributes:
        where = f"{each.module}.{each.name}"
        if walk.is_skipped(each.value) or not walk.wants(where):
            continue
        pinned = walk.is_held(each.value) and not is_safe(each.value)
        if pinned or makers[id(each.value)] is each:
            for path, held, _ in walk.follow(where, _first(each)):
                yield path, held


def named_proxies(app: flask.Flask) -> t.Iterator[tuple[str, t.Any]]:
    """Iterate over the proxies among the attributes of modules, with their names."""
    proxies = [each for each in _attributes(app) if is_proxy(each.value)]
    for each in _makers(proxies).values():
        yield f"{each.module}.{each.name}", each.value


def own_modules(
    app: flask.Flask, walk: Walk | None = None
) -> t.Iterator[tuple[str, _Namespace]]:
    """Iterate over the namespaces of the application's own modules.

    Those are of its top-level package, or lie below its root path and are not
    installed.

    :param walk: Wants only some of them.
    """
    package = app.import_name.partition(".")[0]
    root = os.path.join(os.path.abspath(app.root_path), "")
    seen = set()
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        if walk is not None and not walk.wants(name):
            continue
        if top in LIBRARIES or not issubclass(type(module), types.ModuleType):
            continue
        namespace = module_attributes(module)
        if id(namespace) not in seen and (
            top == package or _lies_below(namespace.get("__file__"), root)
        ):
            seen.add(id(namespace))
            yield name, namespace


def _lies_below(file: object, root: str) -> bool:
    if type(file) is not str:
        return False
    path = os.path.abspath(file)
    return path.startswith(root) and not in_library(path)


def _attributes(app: flask.Flask, walk: Walk | None = None) -> t.Iterator[_Attribute]:
    left = MOST_ATTRIBUTES
    for module, namespace in own_modules(app, walk):
        attributes = list(namespace.items())[:left]
        left -= len(attributes)
        classes = {id(x) for _, x in attributes if issubclass(type(x), type)}
        # "import sqlalchemy as sa" is enough to make a session.
        imports = {
            _name_of(x).partition(".")[0]
            for _, x in attributes
            if type(x) is types.ModuleType
        }
        for name, value in attributes:
            kind = type(value)
            if (
                not is_nothing(value)
                and type(name) is str
                and not name.startswith("__")
            ):
                likely = 2 * (id(kind) in classes)
                likely += module_of(kind).partition(".")[0] in imports
                yield _Attribute(module, name, value, likely)


def _name_of(module: types.ModuleType) -> str:
    name = module_attributes(module).get("__name__")
    return name if type(name) is str else ""


def _makers(attributes: t.Iterable[_Attribute]) -> dict[int, _Attribute]:
    """Choose, for each object, the module that most likely made it."""
    makers: dict[int, _Attribute] = {}
    for each in attributes:
        known = makers.get(id(each.value))
        if known is None or each.likely > known.likely:
            makers[id(each.value)] = each
    return makers


def _first(attribute: _Attribute) -> t.Iterator[Step]:
    value = attribute.value
    if issubclass(type(value), type):
        # Classes and functions belong to the module that defines them.
        if module_of(value) == attribute.module:
            yield from class_steps(value)
    elif type(value) is not types.FunctionType or (
        value.__module__ == attribute.module
    ):
        yield Step("", value, 0)
