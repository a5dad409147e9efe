"""The page of the audit: who holds a session, and what keeps one alive."""

from __future__ import annotations

import typing as t

import handmade
import pytest
from flask.testing import FlaskClient
from flask_admin import Admin
from markup import Markup

from flask_session_inspector.lately import Audit

if t.TYPE_CHECKING:
    from conftest import Shop

    from flask_session_inspector import Holder

HOSTILE = "<script>alert(1)</script>"
AUDIT = "/admin/sessions/audit"

MakeShop = t.Callable[..., t.Any]


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    shop: Shop = make_shop()
    shop.app.debug = True
    Admin(shop.app, name="Shop")
    return shop


def holding(shop: Shop, monkeypatch: pytest.MonkeyPatch, *holders: Holder) -> None:
    audit = Audit(list(holders), 1)
    monkeypatch.setattr(shop.inspection, "audit_for_page", lambda is_open: audit)
    monkeypatch.setattr(shop.inspection, "findings", lambda holders: [])


def kept_alive(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, lines: dict[int, list[str]]
) -> list[int]:
    asked: list[int] = []

    def kept_alive_by(serial: int) -> list[str]:
        asked.append(serial)
        return lines.get(serial, [])

    monkeypatch.setattr(shop.inspection, "kept_alive_by", kept_alive_by)
    return asked


def page(client: FlaskClient, path: str = AUDIT, status: int = 200) -> Markup:
    response = client.get(path)
    assert response.status_code == status, response.text
    assert response.headers["Cache-Control"] == "no-store"
    html = response.text
    assert HOSTILE not in html
    found = Markup(html[html.index('<main class="fsi') : html.index("</main>")])
    assert found.inline() == []
    assert found.repeated_ids() == set()
    return found


def rows(markup: Markup) -> list[str]:
    """Return the classes of the rows of the table."""
    return [
        str(each.get("class", ""))
        for tag, each in markup.elements
        if tag == "tr" and each.get("role") == "row"
    ][1:]


def test_trouble_comes_first_and_says_so_in_words(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    holding(
        shop,
        monkeypatch,
        handmade.holder("the db"),
        handmade.holder("a proxy", holds="scoped_session", verdict="deprecated"),
        handmade.holder("a thing", holds="other", verdict="unknown", proxy_id=None),
        handmade.holder(
            'admin view "post" > form field "email" > Unique validator',
            holds="Session",
            verdict="pinned",
            proxy_id=None,
            session=12,
            hint="Pass db.",
        ),
    )
    found = page(shop.app.test_client())
    text = found.words
    places = [
        text.index(each) for each in ("Unique val", "a thing", "a proxy", "the db")
    ]
    assert places == sorted(places)
    assert rows(found) == ["is-bad", "", "", ""]
    assert 'admin view "post" > form field "email" > Unique validator' in text
    assert "pinned FSI103 Pass db." in text
    for word in ("unknown", "safe, deprecated", "ok", f"{handmade.PROXY:#x}"):
        assert word in text
    links = found.attributes("a", "href")
    assert f"{AUDIT}?session=S12#fsi-kept" in links
    assert "/admin/sessions/?session=S12" in links
    assert "/admin/sessions/findings#FSI103" in links


def test_nothing_pinned_is_not_red(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    holding(
        shop,
        monkeypatch,
        handmade.holder(),
        handmade.holder("x", verdict="deprecated"),
        handmade.holder("y", verdict="unknown"),
    )
    found = page(shop.app.test_client())
    classes = " ".join(str(each.get("class", "")) for _, each in found.elements)
    assert "is-bad" not in classes
    assert "is-warn" not in classes


def test_no_holder(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    holding(shop, monkeypatch)
    assert "No holder was found" in page(shop.app.test_client()).words


def test_hostile_names(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = f'"></td>{HOSTILE}'
    holding(
        shop,
        monkeypatch,
        handmade.holder(f"{evil} > {evil}", hint=evil, verdict="pinned", session=1),
    )
    kept_alive(shop, monkeypatch, {1: [evil]})
    found = page(shop.app.test_client(), f"{AUDIT}?session=1")
    assert "script" not in {tag for tag, _ in found.elements}
    assert found.words.count(HOSTILE) == 4


class TestWhatKeepsASessionAlive:
    @pytest.mark.parametrize("asked", ["12", "S12", "s12", "%20S12%20"])
    def test_it_is_named(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, asked: str
    ) -> None:
        serials = kept_alive(shop, monkeypatch, {12: ["the module shop.reports"]})
        found = page(shop.app.test_client(), f"{AUDIT}?session={asked}")
        text = found.words
        assert "What keeps S12 alive" in text
        assert "the module shop.reports" in text
        assert serials == [12]
        assert "fsi-kept" in [each.get("id") for _, each in found.elements]

    def test_one_that_is_gone(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept_alive(shop, monkeypatch, {})
        text = page(shop.app.test_client(), f"{AUDIT}?session=S999999").words
        assert "S999999 is gone" in text

    @pytest.mark.parametrize("query", ["", "?session=", "?session=%20", "?other=1"])
    def test_it_is_searched_for_on_demand_only(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, query: str
    ) -> None:
        serials = kept_alive(shop, monkeypatch, {})
        text = page(shop.app.test_client(), AUDIT + query).words
        assert "is gone" not in text
        assert serials == []

    @pytest.mark.parametrize(
        "asked", ["x", "-1", "S", "1.5", "%D9%A1", "9" * 400, "%3Cscript%3Ealert(1)"]
    )
    def test_a_malformed_session_is_refused_in_one_sentence(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch, asked: str
    ) -> None:
        serials = kept_alive(shop, monkeypatch, {})
        found = page(shop.app.test_client(), f"{AUDIT}?session={asked}", 400)
        assert "session must be a number such as 12 or S12" in found.words
        assert "alert" in [each.get("role") for _, each in found.elements]
        assert serials == []

    def test_raw_bytes(self, shop: Shop) -> None:
        response = shop.app.test_client().get(
            AUDIT, environ_overrides={"QUERY_STRING": "session=\xff"}
        )
        assert response.status_code == 400
