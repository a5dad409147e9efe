"""What can be told of a statement beyond its text."""

from __future__ import annotations

import typing as t


def fingerprint(parameters: t.Any) -> int | None:
    """Hash bound values, so that the same ones are known again.

    :return: ``None`` for several sets of them, and for values whose hash does not
        say that they are equal.
    """
    values = parameters
    if type(values) is not tuple:
        if type(values) is not dict:
            return None
        values = tuple(values.values())
    kinds = tuple(map(type, values))
    if SIMPLE.issuperset(kinds):
        return hash(values)
    if _PLAIN.issuperset(kinds):
        return hash((values, kinds))
    # The hash of a driver's own wrapper can be its address, which is used again.
    if any(map(_has_address_as_hash, kinds)):
        return None
    try:
        return hash((values, kinds))
    except Exception:  # A list, or an object of the application that raises.
        return None


# None of one kind is equal to one of another, so their kinds say nothing more.
SIMPLE = frozenset({int, str, type(None)})
# The other usual ones.
_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})


def _has_address_as_hash(kind: t.Any) -> bool:
    return kind.__hash__ is object.__hash__


def lazily_loaded(context: t.Any) -> str | None:
    """Name the relationship whose lazy load sent a statement.

    ``ORMExecuteState.lazy_loaded_from`` says so in public, but a listener for
    it makes SQLAlchemy prepare every statement twice. These are the same facts
    where it takes them from.
    """
    options = context.execution_options.get("_sa_orm_load_options")
    if options is None or options._lazy_loaded_from is None:
        return None
    path = context.invoked_statement._compile_options._current_path
    prop = getattr(path, "prop", None)
    return None if prop is None else f"{prop.parent.class_.__name__}.{prop.key}"
