"""What keeps an object alive: a bounded search of its referrers."""

from __future__ import annotations

import gc
import time
from types import CellType

from ..guard import guard
from .chains import Chain
from .chains import from_unknown
from .holding import INTERNAL
from .holding import Holding

_MOST_LEVELS = 10
_MOST_IN_LEVEL = 20
_MOST_REFERRERS = 50
_MOST_OBJECTS = 1_000
# Of the thread's own time: a busy machine is no reason to see less.
_SECONDS = 0.5


def kept_alive_by(obj: object, *, most: int = 12) -> list[str]:
    """Name what keeps a live object, such as a session, alive.

    Each line is a path that a person can follow: a module's attribute, the closure
    of a function, an attribute of an object, a local variable of a function that
    runs. Weak references, SQLAlchemy's own between them and the inspector's are
    left out.

    The search looks at every object that the garbage collector knows, several
    times: it is for a developer who asks, not for a request. It ends after 1,000
    objects, 10 levels, or half a second.

    :param obj: The object.
    :param most: How many lines at most.
    :return: The nearest holders first; empty if none was found.
    """
    search = _Search(most)
    try:
        search.run(obj)
    except Exception:
        guard.report("kept_alive_by")
    return search.lines[:most]


class _Search:
    """One search, breadth first.

    :ivar lines: What was found.
    """

    def __init__(self, most: int) -> None:
        self.lines: list[str] = []
        self._most = most
        self._deadline = time.thread_time() + _SECONDS
        # The ids of what was come to, and of the direct holder that it was by.
        self._seen: dict[int, int] = {}
        # Each direct holder as it is best shown, by the id of its chain; and those
        # from which a line, or something internal, was reached.
        self._direct: dict[int, tuple[Chain, Chain]] = {}
        self._explained: set[int] = set()
        # A direct holder is where another one was come to already.
        self._leads_to: dict[int, int] = {}

    def run(self, obj: object) -> None:
        holding = Holding()
        level = [Chain(obj)]
        self._seen[id(obj)] = 0
        for depth in range(_MOST_LEVELS):
            for chain in level:
                for line in holding.by_running_frames(chain, depth):
                    self._tell(chain, line)
            if self._is_over():
                break
            level = self._holders_of(level, holding)
            if not level:
                break
        for number, (_, chain) in self._direct.items():
            # A cell without a function is that of one that runs.
            if (
                number not in self._explained
                and number not in self._leads_to
                and type(chain.top) is not CellType
            ):
                self._tell(chain, from_unknown(chain.top, chain.links))

    def _holders_of(self, level: list[Chain], holding: Holding) -> list[Chain]:
        """Return the holders of a level; one pass over all objects finds them."""
        found: list[Chain] = []
        by_id = {id(chain.top): chain for chain in level}
        counts = dict.fromkeys(by_id, 0)
        tops = tuple(chain.top for chain in level)
        for holder in gc.get_referrers(*tops):
            if holder is tops:
                continue
            if time.thread_time() > self._deadline:
                break
            held = {id(each) for each in gc.get_referents(holder)}
            for number in held & counts.keys():
                counts[number] += 1
                if counts[number] <= _MOST_REFERRERS:
                    further = self._follow(by_id[number], holder, holding)
                    if further is not None:
                        found.append(further)
        for chain in found[_MOST_IN_LEVEL:]:
            self._explain(chain)  # Nothing can be said about it.
        return found[:_MOST_IN_LEVEL]

    def _follow(self, chain: Chain, holder: object, holding: Holding) -> Chain | None:
        outcome = holding.step(chain, holder)
        if outcome is INTERNAL:
            self._explain(chain)
        elif isinstance(outcome, str):
            self._tell(chain, outcome)
        elif isinstance(outcome, Chain):
            if self._was_seen(chain, holder) or len(self._seen) >= _MOST_OBJECTS:
                return None
            self._seen[id(holder)] = id(outcome.direct or outcome)
            if not outcome.links:
                self._explain(chain)
            elif outcome.direct is None:
                self._direct[id(outcome)] = (outcome, outcome)
            elif len(outcome.links) == 1:
                self._direct[id(outcome.direct)] = (outcome.direct, outcome)
            return outcome
        return None

    def _was_seen(self, chain: Chain, holder: object) -> bool:
        by = self._seen.get(id(holder))
        if by is None:
            return False
        mine = id(chain.direct or chain)
        # Two that hold each other explain nothing.
        if by not in (0, mine) and self._leads_to.get(by) != mine:
            self._leads_to[mine] = by
        return True

    def _tell(self, chain: Chain, line: str) -> None:
        self._explain(chain)
        if line not in self.lines:
            self.lines.append(line)

    def _explain(self, chain: Chain) -> None:
        self._explained.add(id(chain.direct or chain))

    def _is_over(self) -> bool:
        return len(self.lines) >= self._most or time.thread_time() > self._deadline
