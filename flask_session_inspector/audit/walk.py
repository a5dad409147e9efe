"""Following references from one place, as far as a bounded look goes."""

from __future__ import annotations

import collections
import typing as t

from ..masking import storable
from .kinds import held_types
from .step import Step
from .step import is_nothing
from .steps import steps_from

#: Objects that one audit looks into, what these reference, and those in one place.
MOST_OBJECTS = 20_000
MOST_REFERENCES = 200_000
MOST_IN_PLACE = 2_000
#: Attributes, entries and closures between a place and what it holds. The steps
#: between a form and its validators are not counted.
MOST_STEPS = 4
# What can follow the path of a place in that of something in it.
_BORDERS = ("", ".", "[", " ")


class Walk:
    """One audit's walk over the objects of an application.

    :param only: Paths; places in which none of these lies are left out.
    :ivar visited: How many objects were looked into.
    :ivar references: How many of their references were followed.
    """

    def __init__(self, only: t.Collection[str] | None = None) -> None:
        self.visited = 0
        self.references = 0
        self._only = only
        self._held_types = held_types()
        # Kept, so that no id is used again meanwhile.
        self._places: dict[int, object] = {}
        self._seen: dict[int, object] = {}

    def wants(self, place: str) -> bool:
        """Say whether to look into a place."""
        if self._only is None:
            return True
        place = storable(place)
        return any(
            path.startswith(place) and path[len(place) : len(place) + 1] in _BORDERS
            for path in self._only
        )

    def skip(self, place: object) -> None:
        """Never come to an object from elsewhere: it is a place of its own."""
        self._places[id(place)] = place

    def is_skipped(self, candidate: object) -> bool:
        """Say whether an object is a place of its own."""
        return id(candidate) in self._places

    def begin_place(self) -> None:
        """Look into objects again that were seen in another place."""
        self._seen = {}

    def is_held(self, candidate: object) -> bool:
        """Say whether an object is a session, or gives one."""
        return issubclass(type(candidate), self._held_types)

    def follow(self, place: str, first: t.Iterable[Step]) -> t.Iterator[Step]:
        """Find what is held in a place, the nearest first.

        :param place: The path so far.
        :param first: The steps to begin with.
        :return: What was found, with the path to it.
        """
        left = MOST_IN_PLACE
        waiting = collections.deque((place + x.path, x.target, x.cost) for x in first)
        while waiting:
            path, target, cost = waiting.popleft()
            if self.is_held(target):
                yield Step(path, target)
                continue
            number = id(target)
            if cost > MOST_STEPS or number in self._seen or number in self._places:
                continue
            if left <= 0 or self._is_over():
                return
            left -= 1
            self.visited += 1
            self._seen[number] = target
            free = []
            for step in steps_from(target):
                self.references += 1
                if is_nothing(step.target) or cost + step.cost > MOST_STEPS:
                    continue
                further = (path + step.path, step.target, cost + step.cost)
                if step.cost:
                    waiting.append(further)
                else:
                    free.append(further)
            # What costs nothing has the better name: "form field" comes before
            # the attribute that the form was made of.
            waiting.extendleft(reversed(free))

    def _is_over(self) -> bool:
        return self.visited >= MOST_OBJECTS or self.references >= MOST_REFERENCES
