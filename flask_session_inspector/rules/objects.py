"""Rules on objects that live longer than their session, or than its request."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..clues import DetachedAccess
from ..clues import Detachment
from ..clues import Outlived
from ..phrases import marked
from .case import Case
from .case import at
from .case import label
from .case import place
from .catalogue import Found
from .catalogue import rule
from .signs import CLUE

if t.TYPE_CHECKING:
    from ..locations import RawLocation


@rule(
    "FSI401",
    "detached-access",
    "error",
    when=CLUE,
    meaning=marked(
        "An attribute of an object had to be loaded, and the session that the object"
        " came from is gone: DetachedInstanceError."
    ),
    fix=marked(
        "Load what is needed while the session is open (selectinload(), a plain value"
        " instead of the object), or keep the id and load the object again."
    ),
)
def detached_access(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(DetachedAccess):
        origin = clue.origin
        what = f"An attribute of {clue.instance}"
        if clue.attribute:
            what = f"{clue.instance}.{clue.attribute}"
        if clue.expired:
            what += " was expired, as by a commit, and"
        message = f"{what} had to be loaded{at(clue.location)}, but "
        evidence: dict[str, t.Any] = {"read": place(clue.location)}
        related: tuple[str, ...] = ()
        if origin is None:
            message += "no session known to the inspector ever had the object."
            evidence["session"] = "unknown: it may come from a pickle or a cache"
        else:
            whose = label(origin.serial)
            how = _how(case, origin)
            if origin.how:
                message += f"{how}{at(origin.location)} had detached it from {whose}."
            else:
                message += f"{whose}, which it came from, was gone: {how}."
            evidence["session"] = whose
            first_use = _first_use(case, origin)
            if first_use is not None:
                evidence["session first used"] = place(first_use)
            evidence["detached by"] = how
            if origin.location is not None:
                evidence["detached"] = place(origin.location)
            elif origin.how and origin.user is None:
                evidence["detached"] = "outside of any app context"
            if origin.user is not None and origin.user.record != case.scope.id:
                evidence["in"] = case.name(origin.user)
                related = (str(origin.user.record),)
        yield Found(
            message,
            evidence,
            None if origin is None else origin.serial,
            clue.location,
            related,
        )


@rule(
    "FSI402",
    "object-outlived-request",
    "warning",
    when=CLUE,
    meaning=marked(
        "An object that an earlier request loaded is still attached to a live session,"
        " and reading it ran SQL on that session in another request."
    ),
    fix=marked(
        "Do not keep mapped objects beyond their request: keep ids or plain values,"
        " and load the object through the session of the request that needs it."
    ),
)
def object_outlived_request(case: Case) -> cabc.Iterator[Found]:
    for clue in case.clues(Outlived):
        what = clue.relationship or clue.class_name
        before = clue.loaded_by
        yield Found(
            f"Reading {what}{at(clue.location)} ran SQL on {label(clue.serial)}: the"
            f" object belongs to {case.name(before)}, which is over.",
            {
                "object": clue.class_name,
                "loaded": clue.relationship or "an expired attribute",
                "read": place(clue.location),
                "loaded first in": case.name(before),
                "there": place(before.location),
            },
            clue.serial,
            clue.location,
            (str(before.record),),
        )


def _how(case: Case, origin: Detachment) -> str:
    if not origin.how:
        return "it was garbage-collected, since nothing referred to it"
    if not origin.at_teardown:
        return f"{origin.how}()"
    whose = origin.user
    if whose is None or whose.record == case.scope.id:
        kind = "request" if case.is_request else "record"
        return f"the teardown of an app context of this {kind}"
    return f"the end of {case.name(whose)}"


def _first_use(case: Case, origin: Detachment) -> RawLocation | None:
    used = case.session(origin.serial)
    if used is not None and used.first_use is not None:
        return used.first_use
    return None if origin.user is None else origin.user.location
