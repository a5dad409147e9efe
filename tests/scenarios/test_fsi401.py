"""FSI401 detached-access: an object has to load, and its session is gone."""

from __future__ import annotations

import sqlalchemy as sa
from conftest import Shop
from conftest import User
from faults import line
from faults import sessions_closed as sessions_closed
from faults import the
from work import add_posts
from work import serve

CODE = "FSI401"


def expunged(shop: Shop) -> None:
    add_posts(shop)

    def work() -> None:
        user = shop.db.session.scalars(sa.select(User)).one()
        shop.db.session.expunge(user)
        assert user.posts

    serve(shop, work)


def test_it_was_expunged(shop: Shop) -> None:
    expunged(shop)

    finding = the(shop.inspection, CODE)
    assert (finding.name, finding.severity) == ("detached-access", "error")
    assert line(finding.location) == "assert user.posts"
