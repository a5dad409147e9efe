"""FSI402 object-outlived-request: an object of a past request sends SQL."""

from __future__ import annotations

import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import engine_of
from faults import line
from faults import sessions_closed as sessions_closed
from faults import the
from sqlalchemy.orm import Session
from work import add_posts
from work import serve

CODE = "FSI402"


def a_lazy_load(shop: Shop) -> None:
    add_posts(shop)
    session = Session(engine_of(shop))
    kept: list[User] = []

    def work() -> None:
        if kept:
            assert kept[0].posts
        else:
            kept.append(session.scalars(sa.select(User)).one())

    serve(shop, work, times=2)


def test_a_lazy_load(shop: Shop) -> None:
    a_lazy_load(shop)

    finding = the(shop.inspection, CODE)
    assert (finding.name, finding.severity) == ("object-outlived-request", "warning")
    assert line(finding.location) == "assert kept[0].posts"
