"""What the page of the audit shows, read from an inspection."""

from __future__ import annotations

import collections.abc as cabc
import typing as t
from dataclasses import dataclass

from ...phrases import marked
from ...records import Holder
from ..serials import serial_of
from ..translating import English
from ..translating import gettext
from ..translating import stated
from .shell import Shell
from .shell import shell
from .wording import Glyph

if t.TYPE_CHECKING:
    from ...inspection import Inspection

_VERDICTS = {
    "pinned": Glyph("bad", marked("pinned"), "bad"),
    "unknown": Glyph("info", marked("unknown")),
    "deprecated": Glyph("ok", marked("safe, deprecated"), "ok"),
    "ok": Glyph("ok", marked("ok"), "ok"),
}
_ORDER = {verdict: number for number, verdict in enumerate(_VERDICTS)}


@dataclass(frozen=True)
class HolderRow:
    """A holder in the table.

    :param session: The label of the session that is held, or empty.
    :param proxy_id: The proxy, or empty.
    """

    where: tuple[str, ...]
    holds: str
    verdict: Glyph
    session: str
    proxy_id: str
    hint: str


@dataclass(frozen=True)
class KeptAlive:
    """The answer to what keeps a session alive.

    :param lines: One holder each; none of a session that is gone.
    """

    session: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class AuditPage:
    """Who holds a session.

    :param asked: The session as it was typed.
    :param problem: What is wrong with it, one sentence.
    :param kept: What keeps it alive, if that was asked.
    """

    shell: Shell
    rows: tuple[HolderRow, ...]
    asked: str
    problem: str
    kept: KeptAlive | None


def audit_page(
    inspection: Inspection, session: str, holders: cabc.Sequence[Holder]
) -> AuditPage:
    """Read the audit.

    :param session: A session such as ``"12"`` or ``"S12"`` to search for what
        keeps it alive; empty for none.
    :param holders: What the audit found.
    """
    asked = session.strip()
    problem, kept = "", None
    if asked:
        try:
            serial = serial_of(asked)
        except ValueError as error:
            problem = English(error)
        else:
            lines = inspection.kept_alive_by(serial)
            kept = KeptAlive(f"S{serial}", tuple(lines))
    rows = sorted(holders, key=lambda each: _ORDER[each.verdict])
    return AuditPage(
        shell(inspection, "audit", inspection.findings(holders), holders),
        tuple(_row(each) for each in rows),
        asked,
        problem,
        kept,
    )


def _row(holder: Holder) -> HolderRow:
    verdict = _VERDICTS[holder.verdict]
    return HolderRow(
        tuple(holder.where.split(" > ")),
        holder.holds,
        verdict._replace(label=gettext(verdict.label)),
        "" if holder.session is None else f"S{holder.session}",
        "" if holder.proxy_id is None else f"{holder.proxy_id:#x}",
        stated(holder.hint),
    )
