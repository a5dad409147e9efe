"""FSI501 lazy-load-burst: one lazy load for each object."""

from __future__ import annotations

import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import line
from faults import sessions_closed as sessions_closed
from faults import the
from work import add_posts
from work import serve

CODE = "FSI501"


def a_loop(shop: Shop) -> None:
    add_posts(shop, users=10)

    def work() -> None:
        for user in shop.db.session.scalars(sa.select(User)):
            assert user.posts

    serve(shop, work)


def test_a_loop(shop: Shop) -> None:
    a_loop(shop)

    finding = the(shop.inspection, CODE)
    assert (finding.name, finding.severity) == ("lazy-load-burst", "warning")
    assert line(finding.location) == "assert user.posts"
