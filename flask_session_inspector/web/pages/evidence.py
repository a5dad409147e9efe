"""The evidence of a finding, as texts, places, lists and facts to be shown."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t
from dataclasses import dataclass

from ...records import Location
from .formats import Place
from .formats import milliseconds
from .formats import place
from .links import RecordLink
from .links import RecordNames

DEEPEST, ONE_LINE = 6, 60
_CAPITALS = {"sql": "SQL", "url": "URL"}
_PLACE = re.compile(r"(\S[^\n,;]*\.[a-z0-9]{1,6}):([0-9]{1,9}) in (\S+)")
_PLACE_KEYS = frozenset({"file", "line", "function"})


@dataclass(frozen=True)
class Evidence:
    """One value of the evidence: exactly one of these is filled in.

    :param text: A text or a number.
    :param place: A line of source code.
    :param record: A record that is retained.
    :param items: The members of a list.
    :param facts: The names and values of a mapping.
    """

    text: str = ""
    place: Place | None = None
    record: RecordLink | None = None
    items: tuple[Evidence, ...] = ()
    facts: tuple[tuple[str, Evidence], ...] = ()

    @property
    def is_one_line(self) -> bool:
        """Whether its members, which are short texts, stand on one line."""
        members = [*self.items, *(each for _, each in self.facts)]
        words = sum(len(name) for name, _ in self.facts)
        return (
            all(each.text for each in members)
            and words + sum(len(each.text) for each in members) <= ONE_LINE
        )


def evidence(
    facts: cabc.Mapping[str, t.Any], names: RecordNames
) -> tuple[tuple[str, Evidence], ...]:
    """Present the evidence of a finding, with nothing left out.

    :param facts: As the finding has it.
    :param names: Finds the records that are meant by an id.
    """
    return tuple(
        (_label(str(name)), _present(str(name), value, names, DEEPEST))
        for name, value in facts.items()
    )


def _label(name: str) -> str:
    """Turn ``"scope_key"`` and ``"scope key"`` into ``"Scope key"``."""
    words = name.removesuffix("_ms").replace("_", " ").strip() or name
    text = " ".join(_CAPITALS.get(word, word) for word in words.split(" "))
    return text[:1].upper() + text[1:]


def _present(name: str, value: t.Any, names: RecordNames, depth: int) -> Evidence:
    if isinstance(value, Location):
        return Evidence(place=place(value))
    if isinstance(value, cabc.Mapping):
        found = _location(value)
        if found is not None:
            return Evidence(place=place(found))
        if value and depth:
            return Evidence(facts=_facts(value, names, depth - 1))
    elif isinstance(value, (list, tuple)) and value and depth:
        return Evidence(
            items=tuple(_present(name, each, names, depth - 1) for each in value)
        )
    elif isinstance(value, str):
        record = names.find(value) if "request" in name else None
        if record is not None:
            return Evidence(record=record)
        found = _location_in(value)
        if found is not None:
            return Evidence(place=place(found))
    return Evidence(_text(name, value))


def _facts(
    facts: cabc.Mapping[t.Any, t.Any], names: RecordNames, depth: int
) -> tuple[tuple[str, Evidence], ...]:
    shown = {
        _key(str(name)): _present(str(name), value, names, depth)
        for name, value in facts.items()
    }
    named, record_id = facts.get("request"), facts.get("id")
    if isinstance(named, str) and isinstance(record_id, str):
        record = names.find(record_id)
        if record is not None:
            shown["request"] = Evidence(record=RecordLink(record.id, named))
    return tuple(shown.items())


def _key(name: str) -> str:
    """Shorten a place; other keys may be names of tables, and stay as they are."""
    found = place(_location_in(name))
    return name if found is None else f"{found.short} in {found.function}"


def _location(value: cabc.Mapping[t.Any, t.Any]) -> Location | None:
    if value.keys() != _PLACE_KEYS or not isinstance(value["line"], int):
        return None
    return Location(str(value["file"]), value["line"], str(value["function"]))


def _location_in(text: str) -> Location | None:
    """Read a place out of ``"/srv/shop/views.py:12 in show"``."""
    match = _PLACE.fullmatch(text)
    return None if match is None else Location(match[1], int(match[2]), match[3])


def _text(name: str, value: t.Any) -> str:
    if value is None or value == [] or value == {} or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and name.endswith("_ms"):
        return f"{milliseconds(value)} ms"
    if isinstance(value, int):
        if name == "session":
            return f"S{value}"
        # The address of an object is read in hexadecimal everywhere else.
        return (
            f"{value:#x}" if name.endswith("_id") and value > 0xFFFF else f"{value:,}"
        )
    if isinstance(value, float):
        return f"{value:,.10g}"
    return str(value) or "empty"
