"""The demonstration's gallery, with our pages open beside it."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import re

import pytest
from flask import Flask
from playwright.sync_api import expect

from browser.conftest import NewPage
from browser.conftest import Serve
from browser.conftest import visit
from browser.watching import rows
from browser.watching import watch
from browser.watching import without_reload

pytest.importorskip("flask_admin", minversion="2.1")

from demo_app import create_app
from demo_app.models import db
from demo_app.scenarios.catalogue import SCENARIOS
from flask_session_inspector import SessionInspector

# What happens in another process is not on the pages of this one.
ELSEWHERE = {"FSI305"}
POSSIBLE = [
    code
    for code, each in SCENARIOS.items()
    if not each.obstacle and code not in ELSEWHERE
]


@pytest.fixture
def demo(tmp_path: pathlib.Path) -> cabc.Iterator[Flask]:
    app = create_app(
        {
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path / 'shop.sqlite'}",
            "SESSION_INSPECTOR_STRICT": True,
        }
    )
    yield app
    with app.app_context():
        db.engine.dispose()
    # It is strict for the whole process, as long as it is attached.
    SessionInspector().detach(app)


def test_every_fault_comes_to_the_open_pages(
    demo: Flask, serve: Serve, new_page: NewPage
) -> None:
    base = serve(demo)
    gallery, listed, found = new_page(), new_page(), new_page()
    watch(listed, f"{base}/admin/sessions/")
    watch(found, f"{base}/admin/sessions/findings")
    inspection = demo.extensions["session_inspector"]
    visit(gallery, f"{base}/scenarios/")
    with without_reload(listed), without_reload(found):
        for code in POSSIBLE:
            if inspection.findings():
                inspection.clear()
            expect(found.locator(f"#{code}")).to_have_count(0)
            gallery.request.post(f"{base}/scenarios/{code}/fault")
            expect(found.locator(f"#{code}")).to_be_visible()
            expect(
                listed.get_by_role("region", name="Verdict")
                .get_by_role("link", name=code)
                .first
            ).to_be_visible()
            if inspection.requests(finding=code):
                of_rows = rows(listed).locator(".c-find")
                expect(of_rows.get_by_text(code).first).to_be_visible()
    assert len(POSSIBLE) >= 20


def test_a_fault_by_its_button(demo: Flask, serve: Serve, new_page: NewPage) -> None:
    base = serve(demo)
    gallery, listed = new_page(), new_page()
    watch(listed, f"{base}/admin/sessions/")
    visit(gallery, f"{base}/scenarios/")
    gallery.get_by_role("button", name=re.compile("happen.*FSI502")).click()
    expect(gallery.locator("#fault")).to_contain_text("FSI502")
    of_rows = rows(listed).locator(".c-find")
    expect(of_rows.get_by_text("FSI502").first).to_be_visible()
    expect(listed.locator("[role=status]")).to_contain_text("FSI502")
    # The visit of the gallery itself is healthy.
    healthy = rows(listed).filter(has_text="/scenarios/FSI502").first
    expect(healthy.locator(".c-find")).to_be_empty()
