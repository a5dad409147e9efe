"""The page of findings: groups, evidence, links, and what it says of none."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import handmade
import msgspec
import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from flask_admin import Admin
from flask_admin.theme import Bootstrap4Theme
from markup import Markup

from flask_session_inspector import Finding
from flask_session_inspector import RequestRecord
from flask_session_inspector import SessionsView
from flask_session_inspector.lately import Audit
from flask_session_inspector.rules import RULES
from flask_session_inspector.web.grouping import group_findings
from flask_session_inspector.web.grouping import most_severe

if t.TYPE_CHECKING:
    from conftest import Shop

HOSTILE = "<script>alert(1)</script>"
LIST = "/admin/sessions/"
FINDINGS = f"{LIST}findings"

MakeShop = t.Callable[..., t.Any]


def inspected(make_shop: MakeShop, *admins: Admin, **config: t.Any) -> Shop:
    """Make a shop in debug mode whose front page reads."""
    shop: Shop = make_shop(**config)
    shop.app.debug = True
    for admin in admins or [Admin(name="Shop")]:
        admin.init_app(shop.app)

    def front() -> str:
        shop.db.session.execute(sa.text("SELECT 1")).all()
        return "front"

    shop.view(front)
    return shop


def with_findings(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *findings: Finding
) -> RequestRecord:
    """Let a recorded request have findings; those without an id are its own."""
    record = shop.get()
    own = tuple(
        msgspec.structs.replace(each, request_id=record.id)
        if each.request_id == "own"
        else each
        for each in findings
    )
    found = msgspec.structs.replace(
        record, findings=tuple(each for each in own if each.request_id == record.id)
    )
    inspection = shop.inspection
    requests, request = inspection.requests, inspection.request
    monkeypatch.setattr(inspection, "findings", lambda holders: list(own))
    monkeypatch.setattr(
        inspection,
        "requests",
        lambda *args, **filters: [
            found if each.id == found.id else each
            for each in requests(*args, **filters)
        ],
    )
    monkeypatch.setattr(
        inspection,
        "request",
        lambda record_id: found if record_id == found.id else request(record_id),
    )
    return found


def page(client: FlaskClient, path: str = FINDINGS, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, response.text
    assert response.content_type.startswith("text/html")
    assert response.headers["Cache-Control"] == "no-store"
    return response.text


def part(html: str) -> Markup:
    """Return our part of the page; the rest is Flask-Admin's."""
    return Markup(html[html.index('<main class="fsi') : html.index("</main>")])


def words(html: str) -> str:
    return part(html).words


def ids(html: str) -> list[str]:
    return [str(each["id"]) for _, each in part(html).elements if "id" in each]


class TestGroups:
    def test_the_most_severe_first_then_by_code(self) -> None:
        groups = group_findings(
            [
                handmade.finding("FSI105", severity="warning"),
                handmade.finding("FSI502", severity="info"),
                handmade.finding("FSI201"),
                handmade.finding("FSI101", at=1.0),
                handmade.finding("FSI101", at=3.0),
                handmade.finding("FSI101", at=2.0),
            ]
        )
        assert [each.code for each in groups] == [
            "FSI101",
            "FSI201",
            "FSI105",
            "FSI502",
        ]
        assert [each.at for each in groups[0].findings] == [3.0, 2.0, 1.0]
        assert groups[0].last_seen == 3.0

    def test_a_group_is_as_severe_as_the_worst_in_it(self) -> None:
        (group,) = group_findings(
            [
                handmade.finding("FSI108", severity="info", at=2.0),
                handmade.finding("FSI108", severity="warning", at=1.0),
            ]
        )
        assert group.severity == "warning"
        worst = most_severe(group.findings)
        assert worst is not None
        assert worst.severity == "warning"

    def test_the_meaning_is_the_rules(self) -> None:
        (known,) = group_findings([handmade.finding("FSI101")])
        (unknown,) = group_findings([handmade.finding("FSI999")])
        assert known.meaning == RULES["FSI101"].meaning
        assert unknown.meaning == ""

    def test_none(self) -> None:
        assert group_findings([]) == []
        assert most_severe([]) is None


class TestPage:
    def test_groups(self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch) -> None:
        shop = inspected(make_shop)
        record = with_findings(
            shop,
            monkeypatch,
            handmade.finding("FSI203", severity="warning", name="idle-in-transaction"),
            handmade.finding(request_id="own", message="S1 served GET /a and GET /b."),
            handmade.finding(request_id="own", message="S1 served two more."),
        )
        html = page(shop.app.test_client())
        assert [each for each in ids(html) if each.startswith("FSI")] == [
            "FSI101",
            "FSI203",
        ]
        text = words(html)
        assert "FSI101 session-shared Error 2 times, last seen" in text
        assert "FSI203 idle-in-transaction Warning 1 time, last seen" in text
        assert " ".join(RULES["FSI101"].meaning.split()) in text
        assert "S1 served GET /a and GET /b." in text
        assert "2 errors and 1 warning of 2 kinds, the most severe first" in text
        links = part(html).attributes("a", "href")
        assert links.count(f"{LIST}requests/{record.id}") == 2
        assert f"{LIST}?finding=FSI101" in links
        assert f"{LIST}?session=S1" in links
        assert "https://example.org/FSI101" in links
        # What the audit found is in no request.
        assert f"{LIST}?finding=FSI203" not in links
        assert part(html).inline() == []
        assert part(html).repeated_ids() == set()

    def test_a_fix_that_is_the_same_for_all_is_said_once(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        with_findings(
            shop,
            monkeypatch,
            handmade.finding(hint="Pass db."),
            handmade.finding(hint="Pass db."),
            handmade.finding("FSI102", hint="Remove it here."),
            handmade.finding("FSI102", hint="Remove it there."),
        )
        text = words(page(shop.app.test_client()))
        assert text.count("Pass db.") == 1
        assert text.count("Remove it here.") == 1
        assert text.count("Remove it there.") == 1

    def test_links_to_the_docs_tell_them_nothing(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        with_findings(
            shop,
            monkeypatch,
            handmade.finding(),
            handmade.finding("FSI102", docs_url="javascript:alert(1)"),
        )
        outside = [
            each
            for tag, each in part(page(shop.app.test_client())).elements
            if tag == "a" and not str(each["href"]).startswith("/")
        ]
        assert [(each["href"], each["rel"]) for each in outside] == [
            ("https://example.org/FSI101", "noreferrer")
        ]

    def test_many_of_one_code(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        many = [
            handmade.finding(message=f"Number {number}.", at=handmade.AT + number)
            for number in range(60)
        ]
        with_findings(shop, monkeypatch, *many)
        html = page(shop.app.test_client())
        shown, _, folded = html.partition("<summary>45 older</summary>")
        assert "Number 59." in shown
        assert "Number 55." in shown
        assert "Number 54." in folded
        assert "Number 10." in folded
        assert "Number 9." not in html
        assert "10 still older ones are not listed" in folded

    def test_the_other_requests(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        other = shop.get()
        with_findings(
            shop,
            monkeypatch,
            handmade.finding(
                request_id="00000000-7", related_requests=(other.id, "00000000-8")
            ),
        )
        html = page(shop.app.test_client())
        links = part(html).attributes("a", "href")
        assert f"{LIST}requests/{other.id}" in links
        assert "00000000-7 (no longer kept)" in words(html)
        assert "00000000-8 (no longer kept)" in words(html)
        assert not any("00000000" in each for each in links)

    def test_what_the_audit_found_leads_there(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        with_findings(shop, monkeypatch, handmade.finding("FSI103"))
        html = page(shop.app.test_client())
        assert "found by the audit" in html
        assert part(html).attributes("a", "href").count(f"{LIST}audit") == 2

    def test_no_findings_says_what_was_looked_at(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop, SESSION_INSPECTOR_IGNORE_FINDINGS=["FSI502"])
        shop.get()
        text = words(page(shop.app.test_client()))
        assert "No findings" in text
        assert "1 retained record and" in text
        assert "holder" in text
        assert "FSI502 is not reported" in text

    def test_nothing_recorded(self, make_shop: MakeShop) -> None:
        text = words(page(inspected(make_shop).app.test_client()))
        assert "No findings" in text
        assert "0 retained records" in text
        assert "not reported" not in text

    def test_paused_is_said_here_too(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        shop.inspection.pause()
        assert "Recording is paused." in page(shop.app.test_client())


class TestTabs:
    def test_on_all_three_pages(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        with_findings(shop, monkeypatch, handmade.finding(), handmade.finding("FSI102"))
        pinned = handmade.holder(verdict="pinned", holds="Session")
        audit = Audit([handmade.holder(), pinned], 1)
        monkeypatch.setattr(shop.inspection, "audit_for_page", lambda is_open: audit)
        client = shop.app.test_client()
        for path in (LIST, FINDINGS, f"{LIST}audit"):
            html = page(client, path)
            current = [
                str(each["href"])
                for tag, each in part(html).elements
                if tag == "a" and each.get("aria-current") == "page"
            ]
            assert current == [path]
            assert {LIST, FINDINGS, f"{LIST}audit"} <= set(
                part(html).attributes("a", "href")
            )
            assert "Findings 2" in words(html)
            assert "Audit 1 of 2 pinned" in words(html)

    def test_without_trouble(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        audit = Audit([handmade.holder()], 1)
        monkeypatch.setattr(shop.inspection, "audit_for_page", lambda is_open: audit)
        html = page(shop.app.test_client())
        assert "Audit 1 holder " in words(html)
        assert "is-bad" not in html


class TestOtherPages:
    def test_the_list_names_the_worst_and_leads_to_it(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        record = with_findings(
            shop,
            monkeypatch,
            handmade.finding(
                "FSI203", request_id="own", severity="warning", name="idle"
            ),
            handmade.finding("FSI201", request_id="own", name="discarded-writes"),
        )
        html = page(shop.app.test_client(), LIST)
        text = words(html)
        assert "Found: discarded-writes and idle" in text
        assert "FSI201 discarded-writes in GET /: S1 served two requests." in text
        assert "Findings 2" in text
        links = part(html).attributes("a", "href")
        assert f"{FINDINGS}#FSI201" in links
        assert f"{FINDINGS}#FSI203" in links
        assert f"{LIST}requests/{record.id}#FSI201" in links

    def test_the_list_is_filtered_by_a_finding(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        with_findings(shop, monkeypatch, handmade.finding(request_id="own"))
        client = shop.app.test_client()
        html = page(client, f"{LIST}?finding=FSI101")
        assert '<option value="FSI101" selected>FSI101 session-shared' in html
        html = page(client, f"{LIST}?finding=FSI999")
        assert "<option selected>FSI999</option>" in html
        assert "No request matches" in html
        html = page(client, f"{LIST}?finding={HOSTILE}", 400)
        assert HOSTILE not in html
        assert "finding must be a code" in html

    def test_the_detail_has_findings_first_and_says_the_message_once(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        record = with_findings(
            shop,
            monkeypatch,
            handmade.finding(request_id="own", message="S1 served GET /a too."),
            handmade.finding(request_id="own", message="And GET /b."),
            handmade.finding(
                "FSI203", request_id="own", severity="warning", message="It waited."
            ),
        )
        html = page(shop.app.test_client(), f"{LIST}requests/{record.id}")
        text = words(html)
        assert text.count("S1 served GET /a too.") == 1
        assert text.count("And GET /b.") == 1
        assert text.count("It waited.") == 1
        assert "FSI101 session-shared, and 2 more findings." in text
        assert text.index("And GET /b.") < text.index("Timeline")
        # The first of each code can be linked to.
        assert [each for each in ids(html) if each.startswith("FSI")] == [
            "FSI101",
            "FSI203",
        ]
        assert part(html).repeated_ids() == set()


class TestEvidence:
    @pytest.fixture
    def shown(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> cabc.Callable[..., str]:
        shop = inspected(make_shop)
        other = shop.get()

        def show(evidence: dict[str, t.Any]) -> str:
            if "request" in evidence:
                evidence["request"] = other.id
            finding = handmade.finding(evidence=evidence)
            with monkeypatch.context() as patch:
                patch.setattr(shop.inspection, "findings", lambda holders: [finding])
                return page(shop.app.test_client())

        return show

    @pytest.mark.parametrize(
        ("evidence", "text"),
        [
            ({"scope key": "0x7f"}, "Scope key 0x7f"),
            ({"times": 1204}, "Times 1,204"),
            ({"held_ms": 12.34}, "Held 12 ms"),
            ({"rate": 0.25}, "Rate 0.25"),
            ({"proxy_id": 0x7F3A9C1E2B50}, "Proxy id 0x7f3a9c1e2b50"),
            ({"autoflush": True, "closed": False}, "Autoflush yes Closed no"),
            (
                {"error": None, "rows": {}, "lines": []},
                "Error none Rows none Lines none",
            ),
            ({"note": ""}, "Note empty"),
            ({"sql": "SELECT 1"}, "SQL SELECT 1"),
            ({"first": {"session": 12}}, "First session S12"),
            ({"rows": {"order_item": 3, "orders": 1}}, "Rows order_item 3 orders 1"),
            ({"objects": ["User", "Post"]}, "Objects User Post"),
            (
                {"uses": [{"thread": "T-1", "pool": {"size": 5, "out": [1, 2]}}]},
                "Uses thread T-1 pool size 5 out 1 2",
            ),
            (
                {"made": "/srv/shop/app/views.py:42 in <module>"},
                "Made app/views.py:42 in <module>",
            ),
            (
                {"lines": {"/srv/shop/views.py:7 in show": 3, "users": 4}},
                "Lines shop/views.py:7 in show 3 users 4",
            ),
            (
                {"made": {"file": "/srv/shop/views.py", "line": 7, "function": "show"}},
                "Made shop/views.py:7 in show",
            ),
            (
                {"made": {"file": HOSTILE, "line": HOSTILE}},
                f"file {HOSTILE} line {HOSTILE}",
            ),
        ],
    )
    def test_every_shape(
        self, shown: cabc.Callable[..., str], evidence: dict[str, t.Any], text: str
    ) -> None:
        assert text in words(shown(evidence))

    def test_a_request_that_is_kept_is_a_link(
        self, shown: cabc.Callable[..., str]
    ) -> None:
        html = shown({"request": "", "other request": "00000000-9"})
        assert "Request GET / Other request 00000000-9" in words(html)

    def test_a_mapping_that_names_a_request_leads_to_it(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        other = shop.get()
        before = {"request": "GET /then", "id": other.id}
        gone = {"request": "GET /gone", "id": "00000000-1"}
        finding = handmade.finding(evidence={"before": before, "first": gone})
        with_findings(shop, monkeypatch, finding)
        html = page(shop.app.test_client())
        assert f'href="{LIST}requests/{other.id}">GET /then</a>' in html
        text = f"Before request GET /then id {other.id} First request GET /gone id"
        assert text in words(html)

    def test_the_session_concerned_is_said_once(
        self, shown: cabc.Callable[..., str]
    ) -> None:
        text = words(shown({"session": 1, "other session": "S2"}))
        assert text.count("S1 ") == 2  # With the message.
        assert "Session S1" not in text
        assert text.endswith("Other session S2")

    def test_nothing_is_left_out_of_long_lists_and_deep_mappings(
        self, shown: cabc.Callable[..., str]
    ) -> None:
        deep: t.Any = "the bottom"
        for _ in range(30):
            deep = {"deeper": deep}
        html = shown({"lines": [f"line {n}" for n in range(40)], "deep": deep})
        for number in range(40):
            assert f"line {number}" in html
        assert "35 more" in html
        assert "the bottom" in html

    def test_a_text_keeps_its_lines(self, shown: cabc.Callable[..., str]) -> None:
        assert "a\n  b" in shown({"tree": "a\n  b"})


class TestHostileData:
    def test_every_value_is_escaped(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        evil = f'"></a></details>{HOSTILE}\N{SNOWMAN}'
        record = with_findings(
            shop,
            monkeypatch,
            *(
                handmade.finding(
                    code,
                    request_id=request_id,
                    name=evil,
                    message=evil,
                    hint=evil,
                    evidence={
                        evil: evil,
                        "list": [evil],
                        "map": {evil: {evil: [evil]}},
                        "request": evil,
                        "place": {"file": evil, "line": 1, "function": evil},
                    },
                    location=handmade.Location(evil, 1, evil),
                    related_requests=(evil,),
                    docs_url=f"https://example.org/{evil}",
                )
                for code in ("FSI101", evil)
                for request_id in ("own", evil, None)
            ),
        )
        client = shop.app.test_client()
        for path in (FINDINGS, LIST, f"{LIST}requests/{record.id}"):
            html = page(client, path)
            assert HOSTILE not in html
            assert "&lt;script&gt;" in html
            assert part(html).inline() == []
            assert "script" not in {tag for tag, _ in part(html).elements}


class TestTone:
    def test_a_note_turns_nothing_red(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shop = inspected(make_shop)
        note = handmade.finding(
            "FSI502", request_id="own", severity="info", name="repeated-statement"
        )
        record = with_findings(shop, monkeypatch, note)
        client = shop.app.test_client()
        for path in (LIST, FINDINGS, f"{LIST}requests/{record.id}"):
            html = page(client, path)
            assert "FSI502" in html
            assert "Note" in html
            for colour in ("bad", "warn"):
                assert f"is-{colour}" not in html

    @pytest.mark.parametrize(
        ("swatch", "theme"), [("default", None), ("darkly", "dark")]
    )
    @pytest.mark.parametrize("path", [FINDINGS, f"{LIST}audit"])
    def test_light_and_dark_as_on_the_list(
        self, make_shop: MakeShop, swatch: str, theme: str | None, path: str
    ) -> None:
        admin = Admin(theme=Bootstrap4Theme(swatch=swatch))
        shop = inspected(make_shop, admin)
        main = part(page(shop.app.test_client(), path)).elements[0][1]
        assert main.get("data-theme") == theme


class TestAccess:
    @pytest.mark.parametrize(
        "path", [FINDINGS, f"{LIST}audit", f"{LIST}audit?session=1"]
    )
    def test_denied_by_the_rule(self, make_shop: MakeShop, path: str) -> None:
        shop = inspected(make_shop, SESSION_INSPECTOR_ACCESS=lambda: False)
        record = shop.get()
        html = page(shop.app.test_client(), path, 403)
        assert "SESSION_INSPECTOR_ACCESS did not allow this request" in html
        assert record.sessions[0].label not in html

    @pytest.mark.parametrize("path", ["findings", "audit"])
    def test_the_applications_own_view_decides(
        self, make_shop: MakeShop, path: str
    ) -> None:
        class Own(SessionsView):
            def is_accessible(self) -> bool:
                return "key" in flask.request.args

        admin = Admin()
        shop = inspected(make_shop, admin)
        with shop.app.app_context():
            pass  # The automatic page is added now.
        admin.add_view(Own(name="Records", url="/office"))
        client = shop.app.test_client()
        assert client.get(f"{LIST}{path}").status_code == 403
        assert "<h1>Records</h1>" in page(client, f"{LIST}{path}?key")

    @pytest.mark.parametrize("path", ["findings", "audit"])
    def test_a_type_error_is_not_tried_again(
        self, make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        shop = inspected(make_shop)

        def broken(**_: t.Any) -> t.NoReturn:
            raise TypeError("broken")

        monkeypatch.setattr(shop.inspection, "audit_for_page", broken)
        with pytest.raises(TypeError, match=r"^broken$"):
            shop.app.test_client().get(f"{LIST}{path}")

    def test_looking_records_nothing(self, make_shop: MakeShop) -> None:
        shop = inspected(make_shop)
        client = shop.app.test_client()
        page(client, FINDINGS)
        page(client, f"{LIST}audit")
        assert shop.inspection.requests() == []
