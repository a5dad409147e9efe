"""FSI502 repeated-statement: the same query with the same parameters."""

from __future__ import annotations

import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import line
from faults import sessions_closed as sessions_closed
from faults import the
from work import serve

CODE = "FSI502"


def a_loop(shop: Shop) -> None:
    def work() -> None:
        for _ in range(5):
            shop.db.session.scalars(sa.select(User)).all()

    serve(shop, work)


def test_a_loop(shop: Shop) -> None:
    a_loop(shop)

    finding = the(shop.inspection, CODE)
    assert (finding.name, finding.severity) == ("repeated-statement", "info")
    assert line(finding.location) == "shop.db.session.scalars(sa.select(User)).all()"
