"""The answer in one sentence, of one record."""

from __future__ import annotations

import collections.abc as cabc
from dataclasses import dataclass

from ...phrases import marked
from ...phrases import marked_forms
from ...records import Finding
from ...records import RequestRecord
from ..grouping import most_severe
from ..translating import English
from ..translating import gettext
from ..translating import listed
from ..translating import ngettext
from .wording import Tone
from .wording import lost_rows
from .wording import severity

# By the kind of a record: other languages do not put a sentence together alike.
_UNUSED = {
    "request": marked("This request used no database session"),
    "cli": marked("This command used no database session"),
    "context": marked("This app context used no database session"),
}
_SHARED = {
    "request": marked("This request shared its session with others"),
    "cli": marked("This command shared its session with others"),
    "context": marked("This app context shared its session with others"),
}
_OUTLIVED = {
    "request": marked("%(sessions)s outlived this request"),
    "cli": marked("%(sessions)s outlived this command"),
    "context": marked("%(sessions)s outlived this app context"),
}
_NOT_FRESH = {
    "request": marked("This request did not start with a fresh session"),
    "cli": marked("This command did not start with a fresh session"),
    "context": marked("This app context did not start with a fresh session"),
}
_NOT_COMMITTED = {
    "request": marked("This request did not commit what it wrote"),
    "cli": marked("This command did not commit what it wrote"),
    "context": marked("This app context did not commit what it wrote"),
}
_BY_REQUEST = {
    "pending": marked_forms(
        "%(sessions)s was used by this request only; teardown pending.",
        "%(sessions)s were used by this request only; teardown pending.",
    ),
    "removed": marked_forms(
        "%(sessions)s was used by this request only and removed at teardown.",
        "%(sessions)s were used by this request only and removed at teardown.",
    ),
    "closed": marked_forms(
        "%(sessions)s was used by this request only and closed by its end.",
        "%(sessions)s were used by this request only and closed by its end.",
    ),
    "mixed": marked_forms(
        "%(sessions)s was used by this request only and removed or closed by its end.",
        "%(sessions)s were used by this request only and removed or closed by its end.",
    ),
}
_BY_OTHERS = {
    "pending": marked_forms(
        "%(sessions)s was used by it only; teardown pending.",
        "%(sessions)s were used by it only; teardown pending.",
    ),
    "removed": marked_forms(
        "%(sessions)s was used by it only and removed at teardown.",
        "%(sessions)s were used by it only and removed at teardown.",
    ),
    "closed": marked_forms(
        "%(sessions)s was used by it only and closed by its end.",
        "%(sessions)s were used by it only and closed by its end.",
    ),
    "mixed": marked_forms(
        "%(sessions)s was used by it only and removed or closed by its end.",
        "%(sessions)s were used by it only and removed or closed by its end.",
    ),
}


@dataclass(frozen=True)
class Headline:
    """A sentence to be read first, with what it rests on below.

    :param title: :class:`~.translating.English` where it is the message of a finding
        or of a verdict; likewise ``text``.
    :param finding: The finding that it says, if it says one.
    """

    tone: Tone
    icon: str
    title: str
    text: str
    finding: Finding | None = None


def of_record(
    record: RequestRecord, users: cabc.Mapping[int, int], *, pending: bool = False
) -> Headline:
    """Say whether a record kept its sessions to itself.

    :param users: How many requests each session served, by serial.
    :param pending: The record has not ended yet.
    """
    if record.sessions:
        own = _isolation(record, users, pending)
    else:
        own = _without_sessions(record)
    worst = most_severe(record.findings)
    if worst is None:
        return own
    others = len(record.findings) - 1
    if _says_more(worst, own, record, users):
        tone, icon, _ = severity(worst)
        text = f"{worst.code} {worst.name}."
        if others:
            text = ngettext(
                "%(finding)s, and %(num)s more finding.",
                "%(finding)s, and %(num)s more findings.",
                others,
                finding=text.removesuffix("."),
            )
        return Headline(tone, icon, English(worst.message), text, worst)
    if worst.severity == "info":
        title = ngettext(
            "%(headline)s, with %(num)s note",
            "%(headline)s, with %(num)s notes",
            others + 1,
            headline=own.title,
        )
    else:
        title = ngettext(
            "%(headline)s, with %(num)s finding",
            "%(headline)s, with %(num)s findings",
            others + 1,
            headline=own.title,
        )
    return Headline(own.tone, own.icon, title, own.text)


def _says_more(
    worst: Finding,
    own: Headline,
    record: RequestRecord,
    users: cabc.Mapping[int, int],
) -> bool:
    """Say whether a diagnosis is to be told instead of what is seen without one."""
    tone, _, _ = severity(worst)
    if not tone or own.tone != "bad" or tone == "bad":
        return bool(tone)
    # It is milder than what is seen. Only if it is about the same sessions does
    # it know better.
    troubled = shared_serials(record, users) | {
        each.serial for each in record.sessions if each.ended == "open"
    }
    return worst.session in troubled


def shared_serials(
    record: RequestRecord, users: cabc.Mapping[int, int]
) -> frozenset[int]:
    """Return the sessions of a request that served another request too.

    :param users: How many requests each session served, by serial.
    """
    if record.kind != "request":
        return frozenset()
    return frozenset(
        each.serial for each in record.sessions if users.get(each.serial, 0) > 1
    )


def _without_sessions(record: RequestRecord) -> Headline:
    number = len(record.connection_statements)
    text = gettext("It ran no SQL either.")
    if number:
        text = ngettext(
            "%(num)s statement ran on a connection without a session.",
            "%(num)s statements ran on a connection without a session.",
            number,
        )
    return Headline("", "info", gettext(_UNUSED[record.kind]), text)


def _isolation(
    record: RequestRecord, users: cabc.Mapping[int, int], pending: bool
) -> Headline:
    shared = shared_serials(record, users)
    common = [each for each in record.sessions if each.serial in shared]
    if common:
        first, others = common[0], len(common) - 1
        served = f"{users[first.serial]:,}"
        # It always served several.
        text = gettext(
            "%(session)s served %(requests)s requests.",
            session=first.label,
            requests=served,
        )
        if others:
            text = ngettext(
                "%(session)s served %(requests)s requests,"
                " and %(num)s other session likewise.",
                "%(session)s served %(requests)s requests,"
                " and %(num)s other sessions likewise.",
                others,
                session=first.label,
                requests=served,
            )
        return Headline("bad", "bad", gettext(_SHARED[record.kind]), text)
    earlier = [each for each in record.sessions if each.first_request_id != record.id]
    left = [each for each in record.sessions if each.ended == "open" and not pending]
    if left:
        objects = sum(each.identity_map_size for each in left)
        names = listed([each.label for each in left])
        if len(left) == 1:
            text = ngettext(
                "%(session)s was still open after the app context was popped, with"
                " %(num)s object attached.",
                "%(session)s was still open after the app context was popped, with"
                " %(num)s objects attached.",
                objects,
                session=names,
            )
        else:
            text = ngettext(
                "%(sessions)s were still open after the app context was popped, with"
                " %(num)s object attached.",
                "%(sessions)s were still open after the app context was popped, with"
                " %(num)s objects attached.",
                objects,
                sessions=names,
            )
        title = gettext(_OUTLIVED[record.kind], sessions=names)
        return Headline("bad", "bad", title, text)
    if earlier:
        names = listed([each.label for each in earlier])
        return Headline(
            "warn",
            "warn",
            gettext(_NOT_FRESH[record.kind]),
            gettext(
                "%(sessions)s had been used before, outside this record.",
                sessions=names,
            ),
        )
    return _own(record, pending)


def _own(record: RequestRecord, pending: bool) -> Headline:
    lost = [each for each in record.sessions if lost_rows(each)]
    if lost:
        rows = sum(lost_rows(each) for each in lost)
        names = listed([each.label for each in lost])
        discarded = ngettext(
            "%(sessions)s closed without a commit, which discarded %(num)s written"
            " row.",
            "%(sessions)s closed without a commit, which discarded %(num)s written"
            " rows.",
            rows,
            sessions=names,
        )
        alone = ngettext(
            "No other request used it.", "No other request used them.", len(lost)
        )
        title = gettext(_NOT_COMMITTED[record.kind])
        return Headline("bad", "bad", title, f"{discarded} {alone}")
    if pending:
        return Headline("", "use", _has_own(record), _used_only_here(record, "pending"))
    ends = {each.ended for each in record.sessions}
    end = "removed" if ends == {"removed"} else "mixed" if len(ends) > 1 else "closed"
    return Headline("ok", "okring", _had_own(record), _used_only_here(record, end))


def _has_own(record: RequestRecord) -> str:
    number = len(record.sessions)
    if record.kind == "request":
        return ngettext(
            "This request has its own session",
            "This request has %(num)s sessions of its own",
            number,
        )
    if record.kind == "cli":
        return ngettext(
            "This command has its own session",
            "This command has %(num)s sessions of its own",
            number,
        )
    return ngettext(
        "This app context has its own session",
        "This app context has %(num)s sessions of its own",
        number,
    )


def _had_own(record: RequestRecord) -> str:
    number = len(record.sessions)
    if record.kind == "request":
        return ngettext(
            "This request had its own session",
            "This request had %(num)s sessions of its own",
            number,
        )
    if record.kind == "cli":
        return ngettext(
            "This command had its own session",
            "This command had %(num)s sessions of its own",
            number,
        )
    return ngettext(
        "This app context had its own session",
        "This app context had %(num)s sessions of its own",
        number,
    )


def _used_only_here(record: RequestRecord, end: str) -> str:
    """Say that nothing else used the sessions, and what became of them.

    :param end: ``"pending"``, ``"removed"``, ``"closed"``, or ``"mixed"``.
    """
    forms = (_BY_REQUEST if record.kind == "request" else _BY_OTHERS)[end]
    labels = [each.label for each in record.sessions]
    return ngettext(*forms, len(labels), sessions=listed(labels))
