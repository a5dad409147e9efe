"""Rules on connections and their pool."""

from __future__ import annotations

import collections.abc as cabc
import math
import typing as t

from sqlalchemy.pool import NullPool
from sqlalchemy.pool import Pool
from sqlalchemy.pool import QueuePool

from ..phrases import marked
from ..recorder import RawCheckout
from .case import Case
from .case import at
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import CONNECTIONS
from .signs import HELD


@rule(
    "FSI202",
    "connection-held",
    "error",
    when=HELD,
    meaning=marked(
        "A connection that was checked out in the request is not back in its pool"
        " after the teardown. When all are out, every further request waits for one"
        " and then fails."
    ),
    fix=marked(
        "Use with engine.connect() as connection, or close it in a finally block;"
        " where a session holds it, see what keeps that session from being removed."
    ),
)
def connection_held(case: Case) -> cabc.Iterator[Found]:
    scope = case.scope
    if not case.is_request or not case.is_over:
        return
    for checkout in scope.checkouts:
        if checkout.returned is not None or checkout.detached:
            continue
        if checkout.taken_over:
            continue  # The record that took it says so.
        used = case.session(checkout.serial)
        if used is not None and (used.of_outer_context or used.facts.unknown_registry):
            continue
        taken, stopped = case.milliseconds(checkout.taken), scope.stopped
        held = 0.0 if stopped is None else case.milliseconds(stopped) - taken
        evidence: dict[str, t.Any] = {
            "checked out": place(checkout.location),
            "at": f"{taken:,} ms",
            "held until the end of the record": f"{held:,.1f} ms",
        }
        holder = "without a session"
        if checkout.serial is not None:
            holder = f"by {label(checkout.serial)}"
            evidence["session"] = label(checkout.serial)
        pool = None if checkout.pool is None else checkout.pool()
        if pool is not None:
            evidence["pool"] = _state(pool)
        yield Found(
            f"Connection {checkout.connection_id} ({checkout.bind.name or 'unused'})"
            f" was checked out {holder}{at(checkout.location)} and is not back in its"
            " pool.",
            evidence,
            checkout.serial,
            checkout.location,
        )


@rule(
    "FSI205",
    "two-connections",
    "warning",
    when=CONNECTIONS,
    meaning=marked(
        "One request held two connections of one pool at the same time. When as many"
        " requests run as the pool has connections, each can wait for its second one"
        " for ever."
    ),
    fix=marked(
        "Send the SQL through the session that has a connection already"
        " (session.execute(), session.connection()), or end its transaction first."
    ),
)
def two_connections(case: Case) -> cabc.Iterator[Found]:
    checkouts = case.scope.checkouts
    if not case.is_request or len(checkouts) < 2:
        return
    told: set[object] = set()
    for pool, of_one_worker in _by_pool_and_worker(checkouts):
        pair = _two_at_once(of_one_worker)
        if pair is None or id(pool) in told:
            continue
        told.add(id(pool))
        first, second = pair
        held = _held(case, first), _held(case, second)
        yield Found(
            "This request held two connections of the pool"
            f" {first.bind.name or second.bind.name or 'of one engine'} at the same"
            f" time: {held[0]}, and {held[1]}.",
            {
                "first": _checkout(case, first),
                "second": _checkout(case, second),
                "pool": _state(pool),
            },
            second.serial if second.serial is not None else first.serial,
            second.location,
        )


def _state(pool: Pool) -> dict[str, t.Any]:
    """Tell what a pool has, and what is out."""
    state: dict[str, t.Any] = {"class": type(pool).__name__}
    if issubclass(type(pool), QueuePool):
        queue = t.cast(QueuePool, pool)
        state |= {
            "size": queue.size(),
            "checked out": queue.checkedout(),
            "checked in": queue.checkedin(),
            "beyond its size": max(queue.overflow(), 0),
        }
    return state


def _by_pool_and_worker(
    checkouts: cabc.Iterable[RawCheckout],
) -> cabc.Iterable[tuple[Pool, list[RawCheckout]]]:
    """Put those together that could wait for each other.

    Two threads or tasks of one request, each with one of its own, are no danger to
    themselves.
    """
    groups: dict[tuple[int, int], tuple[Pool, list[RawCheckout]]] = {}
    for checkout in checkouts:
        pool = None if checkout.pool is None else checkout.pool()
        # A NullPool has no limit to wait at.
        if pool is not None and not issubclass(type(pool), NullPool):
            group = groups.setdefault((id(pool), checkout.worker), (pool, []))
            group[1].append(checkout)
    return groups.values()


def _two_at_once(
    checkouts: cabc.Iterable[RawCheckout],
) -> tuple[RawCheckout, RawCheckout] | None:
    """Find two connections that were out at the same time, in one pass."""
    longest: RawCheckout | None = None
    for later in sorted(checkouts, key=lambda each: each.taken):
        if longest is None:
            longest = later
            continue
        # While no two were out at once, all that are still out are of one
        # connection, so the one that comes back last speaks for the others.
        if (
            longest.connection_id != later.connection_id
            and _back(longest) > later.taken
        ):
            return longest, later
        if _back(later) > _back(longest):
            longest = later
    return None


def _back(checkout: RawCheckout) -> float:
    return math.inf if checkout.returned is None else checkout.returned


def _held(case: Case, checkout: RawCheckout) -> str:
    by = "one without a session"
    if checkout.serial is not None:
        by = f"one for {label(checkout.serial)}"
    return f"{by}{at(checkout.location)}"


def _checkout(case: Case, checkout: RawCheckout) -> dict[str, t.Any]:
    back = checkout.returned
    return {
        "connection": checkout.connection_id,
        "session": "none" if checkout.serial is None else label(checkout.serial),
        "checked out": place(checkout.location),
        "from": f"{case.milliseconds(checkout.taken):,} ms",
        "to": "still held" if back is None else f"{case.milliseconds(back):,} ms",
    }
