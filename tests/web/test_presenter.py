"""Records as labels, chips and sentences."""

from __future__ import annotations

import datetime

import handmade
import pytest

from flask_session_inspector import RequestRecord
from flask_session_inspector.digest import Summary
from flask_session_inspector.digest import summary_of
from flask_session_inspector.phrases import listed
from flask_session_inspector.records import Location
from flask_session_inspector.tally import tally_of
from flask_session_inspector.web.grouping import group_findings
from flask_session_inspector.web.pages import headlines
from flask_session_inspector.web.pages.finding_cards import finding_card
from flask_session_inspector.web.pages.formats import milliseconds
from flask_session_inspector.web.pages.formats import moment
from flask_session_inspector.web.pages.formats import place
from flask_session_inspector.web.pages.formats import shorten
from flask_session_inspector.web.pages.overall import overall
from flask_session_inspector.web.pages.presenter import finding_chips
from flask_session_inspector.web.pages.presenter import record_row
from flask_session_inspector.web.pages.record_rows import connection_row
from flask_session_inspector.web.pages.record_rows import session_row
from flask_session_inspector.web.pages.record_rows import statement_rows
from flask_session_inspector.web.pages.wording import numbered_statements
from flask_session_inspector.web.pages.wording import session_outcome


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.004, "0.00"),
        (0.42, "0.42"),
        (0.999, "1.0"),
        (9.14, "9.1"),
        (9.96, "10"),
        (1204.4, "1,204"),
    ],
)
def test_milliseconds(value: float, text: str) -> None:
    assert milliseconds(value) == text


def test_moment_of_today_and_before() -> None:
    then = datetime.datetime(2024, 5, 1, 14, 20, 12, 345_000)
    at = then.timestamp()
    today = moment(at, now=then)
    assert today.text == "14:20:12"
    assert today.full.startswith("2024-05-01 14:20:12.345")
    assert datetime.datetime.fromisoformat(today.iso).timestamp() == pytest.approx(at)
    assert datetime.datetime.fromisoformat(today.iso).tzinfo is not None
    assert moment(at, now=then + datetime.timedelta(days=1)).text == (
        "2024-05-01 14:20:12"
    )


def test_shorten() -> None:
    assert shorten("abc", 3) == "abc"
    assert shorten("abcd", 3) == "ab…"


def test_listed() -> None:
    assert listed([]) == ""
    assert listed(["A"]) == "A"
    assert listed(["A", "B"]) == "A and B"
    assert listed(["A", "B", "C", "D", "E"]) == "A, B, C and 2 more"


@pytest.mark.parametrize(
    "file", ["/srv/shop/views.py", "C:\\srv\\shop\\views.py", "shop/views.py"]
)
def test_place_is_short_on_every_system(file: str) -> None:
    found = place(Location(file, 42, "show"))
    assert found is not None
    assert found.short == "shop/views.py:42"
    assert found.full == f"{file}:42"


class TestRecordRow:
    def test_healthy(self) -> None:
        row = record_row(handmade.record(1, handmade.session(7)), {7: 1}, idle_ms=500)
        assert (row.verb, row.target, row.status.label) == ("GET", "/products/1", "200")
        assert [(chip.text, chip.tone) for chip in row.sessions] == [("S7", "")]
        assert [glyph.icon for glyph in row.transactions] == ["closed"]
        assert row.tone == ""
        assert row.mini is not None

    def test_shared(self) -> None:
        row = record_row(handmade.record(1, handmade.session(7)), {7: 3}, idle_ms=500)
        assert row.sessions[0].title == "shared by 3 requests"
        assert row.tone == "bad"

    def test_left_open(self) -> None:
        left = handmade.session(7, ended="open")
        request = record_row(handmade.record(1, left), {7: 1}, idle_ms=500)
        assert request.tone == "bad"
        assert request.sessions[0].title == "not removed"
        command = record_row(handmade.record(1, left, kind="cli"), {}, idle_ms=500)
        assert command.tone == "warn"

    def test_a_command_and_a_context(self) -> None:
        changes = {"kind": "cli", "method": None, "path": "rebuild", "status": None}
        row = record_row(handmade.record(1, **changes), {}, idle_ms=500)
        assert (row.verb, row.target, row.status.label) == (
            "command",
            "rebuild",
            "done",
        )
        changes = {"kind": "context", "method": None, "path": None, "status": None}
        row = record_row(handmade.record(1, **changes), {}, idle_ms=500)
        assert (row.verb, row.target) == ("app context", "")
        failed = handmade.record(1, error="KeyError", **changes)
        assert record_row(failed, {}, idle_ms=500).status.tone == "bad"

    def test_many_sessions_show_the_troubled_one(self) -> None:
        sessions = [handmade.session(n) for n in range(1, 40)]
        bad = handmade.session(40, ended="open")
        row = record_row(handmade.record(1, *sessions, bad), {}, idle_ms=500)
        assert row.sessions[0].text == "S40"
        assert row.more_sessions == 36
        assert row.more_transactions == 34

    def test_server_errors_are_red(self) -> None:
        tones = {
            status: record_row(
                handmade.record(1, status=status), {}, idle_ms=500
            ).status.tone
            for status in (200, 404, 500)
        }
        assert tones == {200: "", 404: "", 500: "bad"}

    def test_findings(self) -> None:
        record = handmade.record(
            1,
            findings=(
                handmade.finding("FSI203", severity="warning"),
                handmade.finding(),
                handmade.finding(),
            ),
        )
        row = record_row(record, {}, idle_ms=500)
        chips = [(chip.code, chip.times) for chip in row.findings]
        assert chips == [("FSI101", " \N{MULTIPLICATION SIGN} 2"), ("FSI203", "")]
        assert row.tone == "bad"


def test_outcomes_of_a_session() -> None:
    def outcome(*transactions: object) -> str:
        made = handmade.session(1, transactions=transactions)
        return session_outcome(made).label

    commit = handmade.transaction(outcome="commit", writes={"users": 1})
    rollback = handmade.transaction(outcome="rollback", writes={"users": 1})
    assert outcome(handmade.transaction()) == "read only"
    assert outcome(commit, commit) == "2 commits"
    assert outcome(rollback) == "1 rollback"
    assert outcome(commit, rollback) == "1 commit, 1 rollback"
    assert outcome(handmade.transaction(writes={"users": 1})) == "not committed"
    # What a SAVEPOINT wrote is its own affair.
    savepoint = handmade.transaction(nested=True, outcome="rollback")
    assert outcome(commit, savepoint) == "1 commit"
    assert outcome(handmade.transaction(ended=None, outcome="open")) == "not ended"


def test_session_row() -> None:
    session = handmade.session(
        7, first_request_id="r0", pending_new=2, pending_deleted=1, python_id=0xABC
    )
    row = session_row(handmade.record(1, session), session, {7: 2})
    assert row.python_id == "0xabc"
    assert row.proxy_id == f"{handmade.PROXY:#x}"
    assert row.first_record == "r0"
    assert row.pending == "2 new, 1 deleted"
    assert row.shared == "shared by 2 requests"
    own = handmade.record(1, handmade.session(8))
    row = session_row(own, own.sessions[0], {8: 1})
    assert (row.first_record, row.shared, row.pending, row.tone) == ("", "", "", "")


def test_statements_are_numbered_over_all_sessions_by_time() -> None:
    record = handmade.record(
        1,
        handmade.session(
            1, statements=(handmade.statement(5.0), handmade.statement(1.0))
        ),
        handmade.session(2, statements=(handmade.statement(3.0, 8.0),)),
        connection_statements=(handmade.statement(2.0),),
    )
    rows = statement_rows(numbered_statements(record))
    assert [(row.number, row.session) for row in rows] == [
        (1, "S1"),
        (2, ""),
        (3, "S2"),
        (4, "S1"),
    ]
    assert [row.share for row in rows] == [0.25, 0.25, 1.0, 0.25]


def test_long_sql_and_parameters_fold() -> None:
    short = handmade.statement(sql="SELECT 1\nFROM x")
    long = handmade.statement(sql="SELECT " + "x, " * 200)
    bound = handmade.statement(parameters=({"id": "1"},))
    none = handmade.statement(took=0.0, rows=0)
    record = handmade.record(
        1, handmade.session(1, statements=(short, long, bound, none))
    )
    rows = statement_rows(numbered_statements(record))
    assert [row.folded for row in rows] == [False, True, True, False]
    assert rows[0].short == "SELECT 1 FROM x"
    assert rows[1].sql == long.sql
    assert rows[2].parameters == ((("id", "1"),),)
    assert [row.rows for row in rows] == ["", "", "", "0"]


def test_no_division_by_a_time_of_zero() -> None:
    none = handmade.session(1, statements=(handmade.statement(took=0.0),))
    rows = statement_rows(numbered_statements(handmade.record(1, none)))
    assert rows[0].share == 0


def test_connection_that_was_not_returned() -> None:
    row = connection_row(handmade.checkout(None, checked_in_ms=None), 11.0)
    assert (row.session, row.back, row.held) == ("", "still held", "10")
    assert row.is_held


def test_a_finding_links_to_https_only() -> None:
    names = handmade.names()
    assert finding_card(handmade.finding(), names).docs_url
    script = handmade.finding(docs_url="javascript:alert(1)")
    assert finding_card(script, names).docs_url == ""


def test_chips_count_by_code_most_severe_first() -> None:
    chips = finding_chips(
        [handmade.finding("FSI900", severity="info"), handmade.finding("FSI102")]
    )
    assert [chip.code for chip in chips] == ["FSI102", "FSI900"]


class TestHeadlineOfARecord:
    def test_own_session(self) -> None:
        record = handmade.record(1, handmade.session(7))
        headline = headlines.of_record(record, {7: 1})
        assert headline.title == "This request had its own session"
        assert (
            headline.text == "S7 was used by this request only and removed at teardown."
        )
        assert headline.tone == "ok"

    def test_pending(self) -> None:
        record = handmade.record(1, handmade.session(7, ended="open"))
        headline = headlines.of_record(record, {}, pending=True)
        assert (headline.tone, headline.icon) == ("", "use")
        assert headline.text.endswith("; teardown pending.")

    def test_shared(self) -> None:
        record = handmade.record(1, handmade.session(7, first_request_id="r0"))
        headline = headlines.of_record(record, {7: 3})
        assert headline.tone == "bad"
        assert headline.text == "S7 served 3 requests."

    def test_left_open(self) -> None:
        record = handmade.record(
            1, handmade.session(7, ended="open", identity_map_size=5)
        )
        headline = headlines.of_record(record, {7: 1})
        assert headline.title == "S7 outlived this request"
        assert "with 5 objects attached" in headline.text

    def test_used_before_by_no_request(self) -> None:
        # Such as a session of an app context around the request.
        record = handmade.record(1, handmade.session(7, first_request_id="context"))
        assert headlines.of_record(record, {7: 1}).tone == "warn"

    def test_lost_writes(self) -> None:
        lost = handmade.session(
            7, transactions=(handmade.transaction(writes={"users": 2, "posts": 1}),)
        )
        headline = headlines.of_record(handmade.record(1, lost), {7: 1})
        assert headline.title == "This request did not commit what it wrote"
        assert "3 written rows" in headline.text

    def test_no_session(self) -> None:
        assert (
            headlines.of_record(handmade.record(1), {}).text == "It ran no SQL either."
        )
        bare = handmade.record(1, connection_statements=(handmade.statement(),))
        assert "without a session" in headlines.of_record(bare, {}).text

    def test_a_command_is_not_judged_by_the_requests(self) -> None:
        record = handmade.record(1, handmade.session(7), kind="cli", method=None)
        headline = headlines.of_record(record, {7: 5})
        assert headline.title == "This command had its own session"


class TestHeadlineWithFindings:
    def test_the_worst_finding_speaks_for_itself(self) -> None:
        worst = handmade.finding("FSI201", name="discarded-writes", message="Lost.")
        record = handmade.record(
            1,
            handmade.session(7),
            findings=(handmade.finding("FSI203", severity="warning"), worst),
        )
        headline = headlines.of_record(record, {7: 1})
        assert headline.title == "Lost."
        assert headline.text == "FSI201 discarded-writes, and 1 more finding."
        assert (headline.tone, headline.icon) == ("bad", "bad")
        assert headline.finding is worst

    def test_a_record_without_sessions(self) -> None:
        held = handmade.finding("FSI202", name="connection-held", message="Held.")
        record = handmade.record(1, findings=(held,))
        assert headlines.of_record(record, {}).title == "Held."

    def test_a_note_leaves_the_answer_as_it_is(self) -> None:
        note = handmade.finding("FSI502", severity="info")
        record = handmade.record(1, handmade.session(7), findings=(note,))
        headline = headlines.of_record(record, {7: 1})
        assert headline.title == "This request had its own session, with 1 note"
        assert headline.tone == "ok"
        assert headline.finding is None

    def test_a_warning_about_the_shared_session_knows_better(self) -> None:
        # Of a context that was pushed before the request, for instance.
        reused = handmade.finding(
            "FSI104", severity="warning", session=7, message="It ran in a test's."
        )
        record = handmade.record(1, handmade.session(7), findings=(reused,))
        headline = headlines.of_record(record, {7: 3})
        assert headline.title == "It ran in a test's."
        assert headline.tone == "warn"

    def test_a_warning_about_something_else_does_not_hide_a_shared_session(
        self,
    ) -> None:
        idle = handmade.finding("FSI203", severity="warning", session=8)
        record = handmade.record(
            1, handmade.session(7), handmade.session(8), findings=(idle,)
        )
        headline = headlines.of_record(record, {7: 3, 8: 1})
        assert headline.title == (
            "This request shared its session with others, with 1 finding"
        )
        assert headline.tone == "bad"


def summed(records: list[RequestRecord]) -> Summary:
    return summary_of(tally_of(records))


class TestOverall:
    def test_nothing_yet(self) -> None:
        headline = overall(summed([]))
        assert headline.title == "No evidence yet"
        assert headline.tone == ""

    def test_healthy(self) -> None:
        records = [handmade.record(n, handmade.session(n)) for n in range(3)]
        headline = overall(summed(records))
        assert headline.title == "3 requests, 3 sessions: each request had its own"
        assert headline.tone == "ok"

    def test_shared_comes_first_and_names_the_holder(self) -> None:
        records = [
            handmade.record(n, handmade.raw_session(7, first_request_id="r0"))
            for n in range(3)
        ]
        pinned = handmade.holder('admin view "post"', holds="Session", verdict="pinned")
        headline = overall(summed(records), pinned=[pinned])
        assert headline.title == "3 requests shared a session"
        assert 'Admin view "post" holds a Session' in headline.text

    def test_left_open(self) -> None:
        records = [handmade.record(1, handmade.session(1, ended="open"))]
        headline = overall(summed(records))
        assert headline.title == "1 request left a session open"

    def test_changed_proxy(self) -> None:
        records = [
            handmade.record(1, handmade.session(1)),
            handmade.record(2, handmade.session(2, proxy_id=1)),
        ]
        headline = overall(summed(records))
        assert headline.title == "The proxy was not the same object"

    def test_a_pinned_holder_is_trouble_before_it_is_used(self) -> None:
        records = [handmade.record(1, handmade.session(1))]
        pinned = handmade.holder(verdict="pinned", holds="Session")
        assert overall(summed(records), pinned=[pinned]).tone == "bad"

    def test_findings_tell_why(self) -> None:
        records = [
            handmade.record(n, handmade.raw_session(7, first_request_id="r0"))
            for n in range(3)
        ]
        findings = [
            handmade.finding("FSI203", severity="warning", name="idle-in-transaction"),
            handmade.finding(message="S7 was made in reports.py."),
        ]
        headline = overall(summed(records), group_findings(findings))
        assert headline.title == "3 requests shared a session"
        assert headline.text == "FSI101 session-shared: S7 was made in reports.py."

    def test_findings_without_a_failed_verdict(self) -> None:
        records = [handmade.record(1, handmade.session(1))]
        idle = handmade.finding("FSI203", severity="warning", name="idle")
        headline = overall(summed(records), group_findings([idle]))
        assert headline.title == "Found: idle"
        assert (headline.tone, headline.icon) == ("warn", "warn")

    def test_notes_change_no_verdict(self) -> None:
        records = [handmade.record(1, handmade.session(1))]
        note = handmade.finding("FSI502", severity="info")
        headline = overall(summed(records), group_findings([note]))
        assert headline.tone == "ok"
        assert headline.text.endswith("There is 1 note.")

    def test_a_finding_before_the_first_request(self) -> None:
        pinned = handmade.finding("FSI103", name="session-pinned")
        headline = overall(summed([]), group_findings([pinned]))
        assert headline.title == "Found: session-pinned"
        assert headline.tone == "bad"
