"""How one object holds another, and where a search for holders ends."""

from __future__ import annotations

import functools
import sys
import threading
import types
import typing as t

from sqlalchemy.orm import Query

from .chains import REGISTRY
from .chains import Chain
from .chains import Link
from .chains import from_module
from .chains import from_named
from .keys import shown_key
from .kinds import held_kind
from .peek import elements
from .peek import entries
from .peek import instance_attributes
from .peek import module_attributes
from .peek import module_of
from .peek import mro
from .peek import name_of
from .peek import shown_name
from .peek import slots
from .running import RunningFrames
from .running import is_ours
from .running import local_text
from .running import locals_of

# Of a holder, which may have the object at its end.
_MOST_ENTRIES = 100_000
_OURS = __name__.partition(".")[0]
_CACHED = type(functools.lru_cache(lambda: None))
_GENERATORS: tuple[tuple[type, str], ...] = (
    (types.GeneratorType, "gi_frame"),
    (types.CoroutineType, "cr_frame"),
    (types.AsyncGeneratorType, "ag_frame"),
)
_MACHINERY: tuple[type, ...] = (
    types.ModuleType,
    types.MappingProxyType,
    types.TracebackType,
    type(iter([])),
    type(iter({})),
)


class _Internal:
    """The inspector's own, or SQLAlchemy's between a session and its registry."""


INTERNAL = _Internal()
Outcome = Chain | str | _Internal | None


class Holding:
    """Says how a holder refers to the top of a chain."""

    def __init__(self) -> None:
        self._running = RunningFrames()
        self._modules = {
            id(module_attributes(module)): name
            for name, module in reversed(list(sys.modules.items()))
            if issubclass(type(module), types.ModuleType)
        }

    def by_running_frames(self, chain: Chain, depth: int) -> t.Iterator[str]:
        """Iterate over the lines of local variables that hold the top."""
        for local in self._running.locals_with(id(chain.top)):
            # Frameworks hold the whole application in theirs.
            if depth == 0 or (depth <= 2 and not local.by_library):
                yield from_named(local.text, chain.links)

    def step(self, chain: Chain, holder: t.Any) -> Outcome:
        """Go from a chain to a holder of its top.

        :return: The longer chain; or a line, where a person can follow from
            there; or ``None`` for what is no holder of interest.
        """
        kind = type(holder)
        if module_of(kind).partition(".")[0] == _OURS:
            return None if module_of(kind).startswith(__package__) else INTERNAL
        # Those that run were looked at before.
        if id(holder) in self._running.ids:
            return None
        if kind is types.FrameType:
            return _local(chain, holder, "kept by a traceback or a generator")
        for generator, frame in _GENERATORS:
            if kind is generator:
                return _local(chain, getattr(holder, frame), "suspended")
        if kind is types.FunctionType:
            return _function(chain, holder)
        if kind is dict and id(holder) in self._modules:
            return self._module(chain, holder)
        if issubclass(kind, type):
            return _class(chain, holder)
        if issubclass(kind, _MACHINERY):
            return None
        return _container(chain, holder) or _instance(chain, holder)

    def _module(self, chain: Chain, namespace: dict[str, t.Any]) -> Outcome:
        module = self._modules[id(namespace)]
        if module.partition(".")[0] == _OURS:
            return INTERNAL
        found = _key_of(namespace, chain.top)
        if found is None:
            return None
        link = Link("attribute", shown_name(found[0]), name_of(type(chain.top)))
        return from_module(module, (link, *chain.links))


def _local(chain: Chain, frame: types.FrameType | None, state: str) -> Outcome:
    if frame is None or is_ours(frame):
        return None
    found = (name for name, held in locals_of(frame) if held is chain.top)
    name = next(found, None)
    if name is None:
        return None
    return from_named(f"{local_text(name, frame)} ({state})", chain.links)


def _function(chain: Chain, function: types.FunctionType) -> Outcome:
    first, *below = chain.links or (None,)
    if first is None:
        return None
    name = _name(function)
    if chain.top is function.__closure__:
        # The cell's place in the closure; see _container().
        variable = function.__code__.co_freevars[int(first.name)]
        text = f'closure of function {name} (variable "{variable}")'
    elif any(chain.top is x for x in _defaults(function)):
        text = f"default of function {name}"
    elif chain.top is function.__dict__:
        text = f"attribute {first.of_namespace().name} of function {name}"
    else:
        return None
    return from_named(text, tuple(below))


def _defaults(function: types.FunctionType) -> tuple[object, object]:
    return function.__defaults__, function.__kwdefaults__


def _class(chain: Chain, kind: type) -> Outcome:
    if type(chain.top) is not dict or not chain.links:
        return None
    first, *rest = chain.links
    link = first.of_namespace()
    where = f"class {module_of(kind)}.{type.__dict__['__qualname__'].__get__(kind)}"
    return from_named(where, (link, *rest))


def _container(chain: Chain, holder: t.Any) -> Chain | None:
    kind, held = type(holder), name_of(type(chain.top))
    if kind is types.CellType:
        return chain.up(holder, Link("other", "closure variable", held))
    if issubclass(kind, dict):
        found = _key_of(holder, chain.top)
        if found is None:
            return None
        key = found[0]
        return chain.up(holder, Link("key", shown_key(key), held, shown_name(key)))
    for index, each in enumerate(elements(holder, _MOST_ENTRIES)):
        if each is chain.top:
            drop = int(type(each) is types.CellType)
            how: t.Literal["other", "item"] = "other" if drop else "item"
            return chain.up(holder, Link(how, str(index), held), drop=drop)
    return None


def _instance(chain: Chain, holder: t.Any) -> Outcome:
    kind, held = type(holder), name_of(type(chain.top))
    attributes = instance_attributes(holder)
    if kind is types.MethodType:
        return chain.up(holder, Link("other", "bound method", held))
    if kind is _CACHED:
        return from_named(f"cached result of {_name(holder)}", chain.links)
    if issubclass(kind, threading.local):
        if len(chain.links) < 2:
            return None
        # It keeps one dict for each thread, in a dict.
        link = chain.links[1].of_namespace()
        return chain.up(holder, link, drop=2)
    if "sqlalchemy" in {module_of(each).partition(".")[0] for each in mro(kind)}:
        return _of_sqlalchemy(chain, holder)
    if attributes is chain.top and chain.links:
        link, drop = chain.links[0].of_namespace(), 1
    else:
        found = _key_of(attributes, chain.top)
        if found is None:
            names = ((x,) for x, value in slots(holder) if value is chain.top)
            found = next(names, None)
        link, drop = Link("other", "reference", held), 0
        if found is not None:
            link = Link("attribute", shown_name(found[0]), held)
    if name_of(kind) == "_AppCtxGlobals":
        return from_named("flask.g of an app context", (link, *chain.links[drop:]))
    return chain.up(holder, link, drop=drop)


def _of_sqlalchemy(chain: Chain, holder: t.Any) -> Outcome:
    kind = type(holder)
    if held_kind(holder) == "scoped_session":
        # All that it has is its registry.
        if REGISTRY not in chain.links:
            return None
        return chain.up(holder, drop=chain.links.index(REGISTRY))
    if held_kind(holder) == "Session" and len(chain.links) <= 1:
        # An AsyncSession, which counts as the Session in it.
        return chain.up(holder, drop=len(chain.links))
    if name_of(kind).endswith("Registry"):
        return chain.up(holder, REGISTRY, drop=len(chain.links))
    if issubclass(kind, Query):
        drop = int(instance_attributes(holder) is chain.top)
        return chain.up(holder, Link("attribute", '"session"', "Session"), drop=drop)
    return INTERNAL


def _key_of(mapping: dict[t.Any, t.Any], held: object) -> tuple[t.Any] | None:
    """Return the key of what is held, in a tuple since it can be ``None``."""
    for key, value in entries(mapping, _MOST_ENTRIES):
        if value is held:
            return (key,)
    return None


def _name(function: t.Any) -> str:
    attributes = function.__dict__
    if type(function) is types.FunctionType:
        return f"{function.__module__}.{function.__qualname__}"
    return f"{attributes.get('__module__')}.{attributes.get('__qualname__')}"
