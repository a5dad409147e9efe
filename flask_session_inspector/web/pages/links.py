"""Where the parts of a page lead: to the admin's pages, where there are any."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass
from urllib.parse import urlencode

from ...records import RequestRecord
from ..translating import gettext
from .wording import spoken

if t.TYPE_CHECKING:
    from ...inspection import Inspection

_ID, _LABEL = "0-0", "S0"


@dataclass(frozen=True)
class Links:
    """The addresses of the admin's pages; each is empty where there are none.

    :param endpoint: The endpoint of the admin's view, or empty.
    :param url_for: Makes an address of an endpoint and its values.
    """

    endpoint: str
    url_for: t.Callable[..., str]

    def requests(self, **query: str) -> str:
        """Return the address of the list, filtered by what is not empty."""
        given = {name: value for name, value in query.items() if value}
        if not given or not self.endpoint:
            return self._index
        joint = "&" if "?" in self._index else "?"
        return f"{self._index}{joint}{urlencode(given, safe='/')}"

    def record(self, record_id: str, code: str = "") -> str:
        """Return the address of a record, or of a finding in it."""
        if not self.endpoint:
            return ""
        before, after = self.around_id
        return f"{before}{record_id}{after}" + (f"#{code}" if code else "")

    def findings(self, code: str = "") -> str:
        """Return the address of the findings, or of those with a code."""
        return self._url("findings_page", _anchor=code or None)

    def audit(self, session: str = "") -> str:
        """Return the address of the audit, or of what keeps a session alive."""
        if not session:
            return self._url("audit_page")
        return self._url("audit_page", session=session, _anchor="fsi-kept")

    def clear(self) -> str:
        """Return the address that forgets the records, for a form to be sent to."""
        return self._url("clear")

    def resume(self) -> str:
        """Return the address that lets the recording go on, likewise."""
        return self._url("resume")

    def export(self) -> str:
        """Return the address of the document that holds everything."""
        return str(self.url_for("session_inspector.export"))

    # A page has thousands of these, and an address takes long to be made.

    @functools.cached_property
    def _index(self) -> str:
        return self._url("index")

    @functools.cached_property
    def before_label(self) -> str:
        """What stands before the label in the address of a session's requests."""
        return self.requests(session=_LABEL).removesuffix(_LABEL)

    @functools.cached_property
    def around_id(self) -> tuple[str, str]:
        """What stands before and after the id in the address of a record."""
        if not self.endpoint:
            return "", ""
        before, _, after = self._url("record_page", record_id=_ID).rpartition(_ID)
        return before, after

    def _url(self, view: str, **values: str | None) -> str:
        if not self.endpoint:
            return ""
        return str(self.url_for(f"{self.endpoint}.{view}", **values))


@dataclass(frozen=True)
class RecordLink:
    """A record that is spoken of.

    :param id: Its id; empty where there is nothing to lead to.
    :param text: Its name, such as ``"GET /products"``, or the id of one that is
        not retained.
    """

    id: str
    text: str


class RecordNames:
    """Names records by what they are, and tells which are retained.

    :param known: Records that need not be looked up.
    """

    def __init__(
        self, inspection: Inspection, known: t.Iterable[RequestRecord] = ()
    ) -> None:
        self._inspection = inspection
        self._names = {each.id: spoken(each) for each in known}

    def find(self, record_id: str) -> RecordLink | None:
        """Name a record, ``None`` if it is not retained."""
        name = self._names.get(record_id)
        if name is None:
            record = self._inspection.request(record_id)
            name = self._names[record_id] = "" if record is None else spoken(record)
        return RecordLink(record_id, name) if name else None

    def link(self, record_id: str) -> RecordLink:
        """Name a record that there was, whether it is retained or not."""
        found = self.find(record_id)
        return found or RecordLink(
            "", gettext("%(record)s (no longer kept)", record=record_id)
        )
