"""What a rule is, and the one place where it is said what each of them means."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from dataclasses import dataclass
from dataclasses import field

from ..records import Severity
from .signs import ANYTHING

if t.TYPE_CHECKING:
    from ..locations import RawLocation
    from .case import Case

DOCS = "https://flask-session-inspector.readthedocs.io/en/latest/findings"

# By the first digit of the code.
_FAMILIES = {
    "1": "Scoping",
    "2": "Transactions and connections",
    "3": "Threads, streams and processes",
    "4": "Objects and queries",
    "5": "Objects and queries",
}


@dataclass(frozen=True)
class Found:
    """What one rule found in one record.

    :param message: What happened, in one sentence.
    :param evidence: The facts, as values that JSON knows.
    :param session: The serial of the session concerned.
    :param location: The line of the application's own code.
    :param related: The ids of the other records involved.
    :param severity: Where it is not the rule's own.
    """

    message: str
    evidence: dict[str, t.Any]
    session: int | None = None
    location: RawLocation | None = None
    related: tuple[str, ...] = ()
    severity: Severity | None = None


Check = t.Callable[["Case"], cabc.Iterable[Found]]


@dataclass(frozen=True)
class Rule:
    """A kind of fault: its code, its name, what it means and how to fix it.

    :param code: Stable, such as ``"FSI101"``.
    :param name: Short, such as ``"session-shared"``.
    :param severity: Of its findings, unless one says otherwise.
    :param meaning: What the fault is and what it does, in a sentence or two.
    :param fix: What to change.
    :param when: The signs by which a record can have the fault; any of them will do.
    :param check: Finds the fault in a record that has ended.
    """

    code: str
    name: str
    severity: Severity
    meaning: str
    fix: str
    when: int = field(repr=False, compare=False)
    check: Check = field(repr=False, compare=False)

    @property
    def family(self) -> str:
        """The heading under which it is listed."""
        return _FAMILIES[self.code[3]]

    @property
    def docs_url(self) -> str:
        """The page that explains it."""
        return f"{DOCS}/{self.code}.html"


_registered: dict[str, Rule] = {}


def rule(
    code: str,
    name: str,
    severity: Severity,
    *,
    meaning: str,
    fix: str,
    when: int = ANYTHING,
) -> t.Callable[[Check], Check]:
    """Register a function as a rule."""

    def register(check: Check) -> Check:
        _registered[code] = Rule(code, name, severity, meaning, fix, when, check)
        return check

    return register


def registered() -> dict[str, Rule]:
    """Return every rule, in the order of the codes."""
    return dict(sorted(_registered.items()))
