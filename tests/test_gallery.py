"""The demo's gallery: every finding really happens, and its fixed twin has none."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import pathlib
import re
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("flask_admin", minversion="2.1")
pytest.importorskip("flask_debugtoolbar")
pytest.importorskip("flask_sqlalchemy")

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy.orm import Session

from demo_app import create_app
from demo_app.models import db
from demo_app.scenarios.book import WATCHED
from demo_app.scenarios.book import Note
from demo_app.scenarios.book import Taster
from demo_app.scenarios.catalogue import SCENARIOS
from flask_session_inspector import Finding
from flask_session_inspector import Inspection
from flask_session_inspector import SessionInspector
from flask_session_inspector.rules import RULES

# A test that shows a fault, or its absence, needs a system on which it can happen.
POSSIBLE = [code for code, each in SCENARIOS.items() if not each.obstacle]
WAYS = ("fault", "fixed")


@pytest.fixture
def code() -> str:
    """The code that a test is about; its parameter of this name goes first."""
    return ""


@pytest.fixture
def app(tmp_path: pathlib.Path, code: str) -> cabc.Iterator[Flask]:
    """The shop, with a database file of its own."""
    config: dict[str, t.Any] = {
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'shop.sqlite'}",
        "SESSION_INSPECTOR_STRICT": True,
        "TESTING": True,
    }
    if code != "FSI203":
        # A machine that is busy elsewhere is no transaction that waits.
        config["SESSION_INSPECTOR_IDLE_TRANSACTION_MS"] = 60_000
    app = create_app(config)
    yield app
    with app.app_context():
        db.engine.dispose()
    # It is strict for the whole process, as long as it is attached.
    SessionInspector().detach(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor."""
    return app.test_client()


@pytest.fixture
def inspection(app: Flask) -> Inspection:
    """What the shop's inspector recorded."""
    return t.cast(Inspection, app.extensions["session_inspector"])


def run(client: FlaskClient, code: str, way: str) -> str:
    """Press a button of the gallery, and return the page that it leads to."""
    answer = client.post(f"/scenarios/{code}/{way}")
    assert answer.status_code == 303
    assert answer.location == f"/scenarios/{code}#{way}"
    return client.get(answer.location).text


def outcome(page: str, way: str) -> str:
    """Cut out what a page says about the latest run of one way."""
    section = page.partition(f'<section id="{way}"')[2].partition("</section>")[0]
    return section.partition('<div class="outcome">')[2]


def codes_in(html: str) -> set[str]:
    return set(re.findall(r"<strong>(FSI\d+)</strong>", html))


def of_a_scenario(inspection: Inspection) -> list[Finding]:
    return [
        finding
        for record in inspection.requests(limit=1000)
        if record.thread.startswith("FSI")
        for finding in record.findings
    ]


def test_there_is_a_scenario_for_every_rule() -> None:
    assert list(SCENARIOS) == list(RULES)


@pytest.mark.parametrize("code", POSSIBLE)
def test_the_fault_happens(
    client: FlaskClient, inspection: Inspection, code: str
) -> None:
    page = run(client, code, "fault")
    assert code in codes_in(outcome(page, "fault"))
    links = re.findall(
        r'href="(/admin/sessions/requests/[^"]+)"', outcome(page, "fault")
    )
    assert bool(links) != (code == "FSI305")
    for link in links:
        assert client.get(link).status_code == 200


@pytest.mark.parametrize("code", POSSIBLE)
def test_the_fixed_twin_is_clean(
    client: FlaskClient, inspection: Inspection, code: str
) -> None:
    page = run(client, code, "fixed")
    assert "Nothing was found." in outcome(page, "fixed")
    assert codes_in(outcome(page, "fixed")) == set()
    assert of_a_scenario(inspection) == []
    assert bool(inspection.requests(path="/steps/")) != (code == "FSI305")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("tried", POSSIBLE)
def test_the_shop_is_healthy_afterwards(
    app: Flask, client: FlaskClient, inspection: Inspection, tried: str, way: str
) -> None:
    with app.app_context():
        pool: t.Any = db.engine.pool
        held_before = pool.checkedout()
    run(client, tried, way)
    for path in ("/", "/orders", "/admin/product/"):
        assert client.get(path).status_code == 200
        record = inspection.requests(limit=1, path=path)[0]
        assert record.path == path
        assert record.findings == ()
    assert [each for each in inspection.audit() if each.verdict == "pinned"] == []
    assert pool.checkedout() == held_before
    for proxy in WATCHED.values():
        registry: t.Any = proxy.registry
        assert registry.registry == {}
    with app.app_context():
        assert db.session.scalar(select(func.count(Note.id))) == 12
        assert db.session.scalar(select(func.count(Taster.id))) == 12


def test_one_fault_after_another(client: FlaskClient) -> None:
    for code in POSSIBLE:
        if code == "FSI203":
            continue  # It takes a less patient inspector; see app().
        assert code in codes_in(outcome(run(client, code, "fault"), "fault"))
        assert codes_in(outcome(run(client, code, "fixed"), "fixed")) == set()


def test_several_people_at_once(app: Flask) -> None:
    def press(code: str) -> set[str]:
        return codes_in(outcome(run(app.test_client(), code, "fault"), "fault"))

    codes = ["FSI101", "FSI105", "FSI101", "FSI201"] * 3
    with ThreadPoolExecutor(4) as people:
        assert all(
            code in found
            for code, found in zip(codes, people.map(press, codes), strict=True)
        )


def test_the_cards(client: FlaskClient) -> None:
    page = client.get("/scenarios/").text
    for code, rule in RULES.items():
        card = page.partition(f'id="{code}"')[2].partition("</li>")[0]
        assert rule.name in card
        assert f'class="severity {rule.severity}"' in card
        assert f'href="/scenarios/{code}"' in card
        for way in WAYS:
            button = f'action="/scenarios/{code}/{way}"'
            assert (button in card) == (code in POSSIBLE)
    assert 'href="/scenarios/"' in client.get("/").text


def test_a_card_that_was_not_tried(client: FlaskClient) -> None:
    page = client.get("/scenarios/FSI201").text
    assert page.count("Not run yet.") == 2
    assert "db.session.flush()" in page
    assert "db.session.commit()" in page
    assert RULES["FSI201"].docs_url in page
    assert "Nothing was found." not in page


def test_the_outcome_names_the_line(client: FlaskClient) -> None:
    page = outcome(run(client, "FSI501", "fault"), "fault")
    assert re.search(r"<code>fsi501\.py:\d+</code> in <code>list_notes_", page)
    assert RULES["FSI501"].name in page


def test_what_the_sessions_page_forgot(
    client: FlaskClient, inspection: Inspection
) -> None:
    run(client, "FSI201", "fixed")
    inspection.clear()
    page = outcome(client.get("/scenarios/FSI201").text, "fixed")
    assert "has forgotten some of it" in page
    assert "Nothing was found." not in page


@pytest.mark.parametrize(
    "path", ["/scenarios/FSI999", "/scenarios/fsi101", "/scenarios/FSI101/other"]
)
def test_an_unknown_scenario(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post("/scenarios/FSI999/fault").status_code == 404


@pytest.mark.parametrize("way", WAYS)
def test_looking_does_not_run(client: FlaskClient, way: str) -> None:
    assert client.get(f"/scenarios/FSI101/{way}").status_code == 405
    assert client.get("/scenarios/FSI101").text.count("Not run yet.") == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.com"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    ],
)
def test_another_site_cannot_run_it(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    answer = client.post("/scenarios/FSI101/fault", headers=headers)
    assert answer.status_code == 403
    assert client.get("/scenarios/FSI101").text.count("Not run yet.") == 2


def test_the_shops_own_page_can_run_it(client: FlaskClient) -> None:
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    answer = client.post("/scenarios/FSI201/fixed", headers=headers)
    assert answer.status_code == 303


def test_a_scenario_that_is_not_possible_here(
    client: FlaskClient, inspection: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = dataclasses.replace(SCENARIOS["FSI201"], obstacle="Not on a boat.")
    monkeypatch.setitem(SCENARIOS, "FSI201", impossible)
    page = run(client, "FSI201", "fault")
    assert "Not on a boat." in page
    assert "/scenarios/FSI201/fault" not in page
    assert "Not on a boat." in client.get("/scenarios/").text
    assert inspection.requests(path="/steps/") == []


def test_while_recording_is_paused(client: FlaskClient, inspection: Inspection) -> None:
    inspection.pause()
    page = run(client, "FSI201", "fixed")
    assert "Recording is paused" in page
    assert "Nothing was found." not in page
    inspection.resume()
    page = run(client, "FSI201", "fixed")
    assert "Recording is paused" not in page
    assert "Nothing was found." in page


def test_a_step_is_for_runs_alone(client: FlaskClient) -> None:
    for code, scenario in SCENARIOS.items():
        for name in scenario.views:
            assert client.get(f"/scenarios/{code}/steps/{name}").status_code == 404


def test_a_mistake_in_a_scenario_is_not_taken_for_its_fault(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*given: t.Any, **named: t.Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Session, "scalar", closed)
    with pytest.raises(ZeroDivisionError):
        client.post("/scenarios/FSI101/fault")


def test_without_debug_there_is_no_gallery(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    app = create_app({"SQLALCHEMY_DATABASE_URI": url, "DEBUG": False})
    client = app.test_client()
    assert client.get("/scenarios/").status_code == 404
    assert "/scenarios/" not in client.get("/").text
    with app.app_context():
        db.engine.dispose()
