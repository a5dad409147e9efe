"""Chains of references up from an object, and how they read."""

from __future__ import annotations

import typing as t

from ..masking import storable
from .peek import name_of

How = t.Literal["attribute", "key", "item", "registry", "other"]


class Link(t.NamedTuple):
    """One reference in a chain.

    :param how: In what way the holder refers to what it holds.
    :param name: The name, key or index, as it is shown.
    :param held: The name of the type of what is held.
    :param attribute: The name as it is shown should it turn out that the mapping
        was a namespace.
    """

    how: How
    name: str
    held: str
    attribute: str = ""

    def __str__(self) -> str:
        return f"{self.how} {self.name}" if self.how != "other" else self.name

    def of_namespace(self) -> Link:
        """Return this reference, as what holds it proved to be a namespace."""
        return self._replace(how="attribute", name=self.attribute or self.name)


REGISTRY = Link("registry", "", "")


class Chain:
    """An object from which references lead down to the one in question.

    :ivar top: The object.
    :ivar links: The references, from the top one down; empty for the object in
        question itself.
    :ivar direct: The chain of its direct holder, which this one goes on from.
    """

    __slots__ = ("direct", "links", "top")

    def __init__(
        self,
        top: object,
        links: tuple[Link, ...] = (),
        direct: Chain | None = None,
    ) -> None:
        self.top = top
        self.links = links
        self.direct = direct

    def up(self, holder: object, *links: Link, drop: int = 0) -> Chain:
        """Go on to a holder of the top.

        :param links: The reference to the top.
        :param drop: How many of the links below these say better.
        """
        direct = (self.direct or self) if self.links else None
        return Chain(holder, (*links, *self.links[drop:]), direct)


def from_module(module: str, links: tuple[Link, ...]) -> str:
    """Render the links from the namespace of a module down."""
    if REGISTRY in links:
        above = links[: links.index(REGISTRY)]
        if all(link.how == "attribute" for link in above):
            names = [link.name.strip('"') for link in above]
            return _joined(f"registry of scoped_session {'.'.join([module, *names])}")
        return f"registry of scoped_session ({from_module(module, above)})"
    first, *rest = links
    kind = first.held if rest else first.how
    return _joined(f"module {module}", f"{kind} {first.name}", *map(str, rest))


def from_named(holder: str, links: tuple[Link, ...]) -> str:
    """Render the links from something that has a name down."""
    if REGISTRY in links:
        above = links[: links.index(REGISTRY)]
        return f"registry of scoped_session ({from_named(holder, above)})"
    return _joined(holder, *map(str, links))


def from_unknown(top: object, links: tuple[Link, ...]) -> str:
    """Render a chain whose top is held by something that cannot be told."""
    if REGISTRY in links:
        return "registry of a scoped_session"
    first, *rest = links
    name = name_of(type(top))
    plain = any(type(top) is kind for kind in (dict, list, tuple, set, frozenset))
    return _joined(f"{first} of {'a ' * plain}{name}", *map(str, rest))


def _joined(*parts: str) -> str:
    return storable(" > ".join(parts))
