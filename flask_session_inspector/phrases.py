"""Words for numbers and lists, for every sentence that is made here."""

from __future__ import annotations

import collections.abc as cabc


def counted(number: int, noun: str) -> str:
    """Put a number and a noun together: ``"1 request"``, ``"1,204 requests"``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def joined(names: cabc.Sequence[str]) -> str:
    """Join names as in a sentence: ``"A, B and C"``."""
    if len(names) > 1:
        return f"{', '.join(names[:-1])} and {names[-1]}"
    return "".join(names)


def listed(names: cabc.Sequence[str], most: int = 3) -> str:
    """Join the first names, and count the others: ``"A, B and 2 more"``."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return joined(names)


def marked_forms(singular: str, plural: str) -> tuple[str, str]:
    """Mark the two forms of a text that depends on a number, likewise."""
    return singular, plural


def marked(text: str) -> str:
    """Mark a text that is translated where it is shown; it is returned as it is."""
    return text
