"""What may be counted of the cost: calls, listeners and bytes. Times are measured by
``make bench`` alone.
"""

from __future__ import annotations

import collections.abc as cabc
import gc
import sys
import types
import typing as t

import pytest
import sqlalchemy as sa

# Where it is imported, a session may be the inner one of an asynchronous one.
import sqlalchemy.ext.asyncio
from conftest import Shop
from conftest import User
from sqlalchemy.orm import Session

import flask_session_inspector

PACKAGE = flask_session_inspector.__path__[0]
MakeShop = t.Callable[..., Shop]


@pytest.fixture
def busy(shop: Shop) -> Shop:
    """A shop with one user that has served its first requests."""
    with shop.app.app_context():
        shop.db.session.add(User(name="Ada"))
        shop.db.session.commit()

    def none() -> str:
        return "nothing"

    def one() -> str:
        return str(shop.db.session.get(User, 1))

    def direct() -> str:
        with Session(shop.db.engine) as session:
            return str(session.get(User, 1))

    shop.view(direct, "/direct")
    shop.view(none, "/none")
    shop.view(one, "/one")
    for _ in range(3):
        shop.get("/none")
        shop.get("/one")
    return shop


def calls_in_package(work: cabc.Callable[[], object]) -> list[str]:
    """Return the functions of the package that are called, once for each call."""
    calls: list[str] = []

    def profile(frame: types.FrameType, what: str, _: object) -> None:
        if what == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls.append(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


# As measured; more than that has to be worth it.
@pytest.mark.parametrize(("path", "most"), [("/none", 33), ("/one", 85)])
def test_calls_for_a_request(busy: Shop, path: str, most: int) -> None:
    client = busy.app.test_client()
    found = [calls_in_package(lambda: client.get(path).close()) for _ in range(5)]
    calls = min(found, key=len)
    assert len(calls) <= most, "\n".join(calls)


def test_calls_for_each_further_statement(shop: Shop) -> None:
    def many(n: int) -> str:
        for number in range(n):
            shop.db.session.scalars(sa.select(User).filter_by(id=number)).all()
        return "done"

    shop.app.add_url_rule("/many/<int:n>", "many", many)
    client = shop.app.test_client()
    counts = []
    for n in (2, 2, 12):
        counts.append(
            len(calls_in_package(lambda n=n: client.get(f"/many/{n}").close()))
        )
    # The listener, and what finds the line.
    assert counts[2] - counts[1] <= 10 * 2 + 1


def test_a_disabled_inspector_listens_to_nothing(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_ENABLED=False)
    shop.view(lambda: str(shop.db.session.get(User, 1)))
    client = shop.app.test_client()
    assert calls_in_package(lambda: client.get("/").close()) == []


def test_a_record_needs_no_collector(busy: Shop) -> None:
    def garbage(path: str) -> set[str]:
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(5):
                busy.app.test_client().get(path).close()
            gc.collect()
            return {type(each).__module__ for each in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    for path in ("/none", "/one", "/direct"):
        assert not {name for name in garbage(path) if name.startswith("flask_session")}


def test_what_is_retained_is_nothing_for_the_collector(make_shop: MakeShop) -> None:
    shop = make_shop(SESSION_INSPECTOR_MAX_REQUESTS=10_000)
    shop.view(lambda: str(shop.db.session.get(User, 1)))

    def tracked() -> int:
        for _ in range(200):
            shop.app.test_client().get("/").close()
        gc.collect()
        return len(gc.get_objects())

    tracked()
    first, second = tracked(), tracked()
    assert second - first < 50
