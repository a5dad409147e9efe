"""Reading objects without asking them.

An object may answer ``getattr()``, ``vars()`` or ``isinstance()`` with code of its
own, which loads from the database or makes a session. What is read here is what
Python itself keeps: the dictionaries of instances, classes and modules, and slots.
"""

from __future__ import annotations

import itertools
import types
import typing as t

_MRO = type.__dict__["__mro__"]
_CLASS_DICT = type.__dict__["__dict__"]
_NAME = type.__dict__["__name__"]
_MODULE_DICT: t.Any = vars(types.ModuleType)["__dict__"]
#: Entries of one dict, list, tuple or set that are looked at.
MOST_ENTRIES = 200

_SEQUENCES: tuple[t.Any, ...] = (list, tuple, set, frozenset)


def mro(kind: type) -> tuple[type, ...]:
    """Return the method resolution order of a class."""
    return t.cast("tuple[type, ...]", _MRO.__get__(kind))


def class_attributes(kind: type) -> t.Mapping[str, t.Any]:
    """Return what the body of a class defined."""
    return t.cast("t.Mapping[str, t.Any]", _CLASS_DICT.__get__(kind))


def module_attributes(module: types.ModuleType) -> dict[str, t.Any]:
    """Return the namespace of a module, without loading what it loads lazily."""
    return t.cast("dict[str, t.Any]", _MODULE_DICT.__get__(module))


def instance_attributes(candidate: object) -> dict[str, t.Any]:
    """Return the attributes of an instance.

    :return: Empty for an object that has, or pretends to have, none of its own. A
        proxy such as werkzeug's ``LocalProxy`` answers with those of another one.
    """
    for kind in mro(type(candidate)):
        found = class_attributes(kind).get("__dict__")
        if found is not None:
            if type(found) is not types.GetSetDescriptorType:
                return {}
            # Proxies that are written in C have a descriptor of their own.
            if not (found.__doc__ or "").startswith("dictionary for instance var"):
                return {}
            return t.cast("dict[str, t.Any]", found.__get__(candidate))
    return {}


def slots(candidate: object) -> t.Iterator[tuple[str, t.Any]]:
    """Iterate over the slots of an instance that are set."""
    kinds = mro(type(candidate))
    for kind in kinds:
        found = class_attributes(kind).get("__dict__")
        if found is not None and type(found) is not types.GetSetDescriptorType:
            return  # A LocalProxy, which has slots too.
    for kind in kinds:
        attributes = class_attributes(kind)
        if "__slots__" not in attributes:
            continue
        for name, member in list(attributes.items()):
            if type(member) is types.MemberDescriptorType:
                try:
                    yield name, member.__get__(candidate)
                except AttributeError:
                    continue


def entries(
    mapping: dict[t.Any, t.Any], most: int = MOST_ENTRIES
) -> list[tuple[t.Any, t.Any]]:
    """Return the first entries of a dict, which another thread may be changing.

    :return: Empty for what is no dict.
    """
    if not issubclass(type(mapping), dict):
        return []
    try:
        return list(itertools.islice(dict.items(mapping), most))
    except RuntimeError:
        return []


def elements(sequence: t.Any, most: int = MOST_ENTRIES) -> list[t.Any]:
    """Return the first elements of a list, tuple or set, or of a subclass's."""
    for kind in _SEQUENCES:
        if issubclass(type(sequence), kind):
            try:
                return list(itertools.islice(kind.__iter__(sequence), most))
            except RuntimeError:
                break
    return []


def named_entries(mapping: dict[t.Any, t.Any]) -> list[tuple[str, t.Any]]:
    """Return those of the first entries of a dict whose key is text."""
    return [entry for entry in entries(mapping) if type(entry[0]) is str]


def name_of(kind: type) -> str:
    """Return the name of a class."""
    return t.cast(str, _NAME.__get__(kind))


def module_of(kind: type) -> str:
    """Return the name of the module that a class says it was defined in."""
    name = class_attributes(kind).get("__module__")
    return name if type(name) is str else ""


def packages(kind: type) -> set[str]:
    """Return the top-level packages of a class and its base classes.

    Flask's base classes of views are meant to carry what the application likes.
    """
    modules = {module_of(each) for each in mro(kind)} - {"flask.views"}
    return {module.partition(".")[0] for module in modules}


def loaded(modules: t.Mapping[str, t.Any], module: str, name: str) -> type | None:
    """Return a class of a module, if that is loaded.

    :param modules: ``sys.modules``.
    """
    found = modules.get(module)
    if not issubclass(type(found), types.ModuleType):
        return None
    held = module_attributes(t.cast(types.ModuleType, found)).get(name)
    return held if issubclass(type(held), type) else None


def shown_name(name: object) -> str:
    """Render the name of an attribute, or of an extension."""
    if type(name) is not str:
        return f"<{name_of(type(name))}>"
    return f'"{name}"' if len(name) <= 40 else f'"{name[:40]}…"'
