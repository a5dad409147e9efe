"""Which line of the application's own code a statement comes from."""

from __future__ import annotations

import asyncio
import inspect
import pathlib
import sys
import types
import typing as t

import flask
import pytest
import sqlalchemy as sa
from conftest import Post
from conftest import Shop
from conftest import User
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from flask_session_inspector import Location
from flask_session_inspector import StatementRecord
from flask_session_inspector.locations import LocationFinder

HERE = LocationFinder("/nowhere")


@pytest.fixture
def shop(make_shop: t.Callable[..., Shop]) -> Shop:
    shop = make_shop(SQLALCHEMY_DATABASE_URI="sqlite://")
    with shop.app.app_context():
        shop.db.session.add(User(name="ada", posts=[Post(title="first")]))
        shop.db.session.commit()
    return shop


def serve(shop: Shop, view: t.Callable[[], object]) -> list[StatementRecord]:
    shop.app.add_url_rule("/", "index", lambda: str(view()))
    record = shop.get()
    assert record.error is None
    statements = [x for session in record.sessions for x in session.statements]
    return [*statements, *record.connection_statements]


def line_of(function: t.Callable[..., object], text: str) -> int:
    lines, start = inspect.getsourcelines(function)
    (offset,) = [n for n, line in enumerate(lines) if text in line]
    return start + offset


def test_orm_core_and_lazy_loads(shop: Shop) -> None:
    def view() -> None:
        user = shop.db.session.scalars(sa.select(User)).one()  # ORM
        assert user.posts  # lazy
        shop.db.session.add(User(name="b"))
        shop.db.session.flush()  # flush
        with shop.db.engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))  # Core

    statements = serve(shop, view)
    marks = ["# ORM", "# lazy", "# flush", "# Core"]
    assert [x.location for x in statements] == [
        Location(__file__, line_of(view, mark), "view") for mark in marks
    ]


def test_the_innermost_frame_of_own_code(shop: Shop) -> None:
    def query() -> int:
        return shop.db.session.execute(sa.select(User)).all().__len__()

    (statement,) = serve(shop, lambda: sorted([1], key=lambda _: query()))
    assert statement.location is not None
    assert statement.location.function == "query"


def test_one_call_that_leads_to_several_places(shop: Shop) -> None:
    def own(statement: t.Any) -> t.Any:
        return shop.db.session.registry().execute(statement)

    def view() -> None:
        through = (shop.db.session.execute, own)
        for execute in (*through, *through, own, *through):
            execute(sa.text("SELECT 1"))

    functions = [x.location and x.location.function for x in serve(shop, view)]
    assert functions == ["view", "own", "view", "own", "own", "view", "own"]


def test_the_line_of_a_template(shop: Shop, tmp_path: pathlib.Path) -> None:
    template = tmp_path / "page.html"
    template.write_text(
        "{% for user in users %}\n\n{{ user.posts[0].title }}{% endfor %}"
    )
    base = tmp_path / "macros.html"
    base.write_text("\n\n{% macro name(post) %}\n{{ post.user.name }}{% endmacro %}")
    shop.app.jinja_loader = __import__("jinja2").FileSystemLoader(tmp_path)

    def view() -> str:
        users = shop.db.session.scalars(sa.select(User))
        return flask.render_template("page.html", users=users)

    _, lazy = serve(shop, view)
    assert lazy.relationship == "User.posts"
    assert lazy.location == Location(str(template), 3, "<template>")


def test_the_line_of_a_macro(shop: Shop, tmp_path: pathlib.Path) -> None:
    (tmp_path / "macros.html").write_text(
        "\n{% macro name(post) %}\n\n{{ post.user.name }}{% endmacro %}"
    )
    (tmp_path / "page.html").write_text(
        "{% from 'macros.html' import name %}\n{{ name(post) }}"
    )
    shop.app.jinja_loader = __import__("jinja2").FileSystemLoader(tmp_path)

    def view() -> str:
        post = shop.db.session.scalars(sa.select(Post)).one()
        return flask.render_template("page.html", post=post)

    _, lazy = serve(shop, view)
    assert lazy.location == Location(str(tmp_path / "macros.html"), 4, "<template>")


def test_a_template_without_a_file_is_the_line_that_renders_it(shop: Shop) -> None:
    def view() -> str:
        user = shop.db.session.scalars(sa.select(User)).one()
        return flask.render_template_string("{{ user.posts }}", user=user)  # render

    _, lazy = serve(shop, view)
    assert lazy.location == Location(__file__, line_of(view, "# render"), "view")


def test_asynchronous_code(shop: Shop) -> None:
    async def work() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with AsyncSession(engine) as session:
            await session.execute(sa.select(1))  # async
            await session.run_sync(inner)
        await engine.dispose()

    def inner(session: Session) -> None:
        session.execute(sa.select(2))  # inner

    first, second = serve(shop, lambda: asyncio.run(work()))
    assert first.location == Location(__file__, line_of(work, "# async"), "work")
    assert second.location == Location(__file__, line_of(inner, "# inner"), "inner")


def test_no_locations(make_shop: t.Callable[..., Shop]) -> None:
    shop = make_shop(SESSION_INSPECTOR_LOCATIONS=False)

    (statement,) = serve(shop, lambda: shop.db.session.execute(sa.select(1)))
    assert statement.location is None
    assert shop.newest().sessions[0].first_use is None


def frame_of(file: str, name: object = "app") -> types.FrameType:
    """A frame of code that claims to be in some file and module."""
    code = compile("import sys\nframe = sys._getframe()", file, "exec")
    namespace: dict[str, t.Any] = {"__name__": name}
    exec(code, namespace)
    return t.cast(types.FrameType, namespace["frame"])


def found(frame: types.FrameType, root: str = "/nowhere") -> str | None:
    location = LocationFinder(root).find(frame)
    assert location is not None, "this test's own frame at the latest"
    return location[0]


LIBRARY = str(pathlib.Path(sa.__file__).parents[1])


@pytest.mark.parametrize(
    ("file", "name", "own"),
    [
        ("/srv/shop/views.py", "shop.views", True),
        ("/srv/shop/views.py", None, True),
        ("relative.py", "__main__", True),
        (f"{LIBRARY}/thing/x.py", "thing.x", False),
        ("/other/env/lib/python3.12/site-packages/x.py", "x", False),
        ("/usr/lib/python3/dist-packages/x.py", "x", False),
        (f"{pathlib.Path(pathlib.__file__).parent}/json/x.py", "json.x", False),
        ("/srv/checkouts/flask/src/flask/app.py", "flask.app", False),
        ("/srv/shop/flask_things.py", "flask_things", True),
        ("<string>", "x", False),
        ("<frozen importlib._bootstrap>", "importlib", False),
    ],
)
def test_own_code(file: str, name: object, own: bool) -> None:
    assert (found(frame_of(file, name)) == file) == own


def test_an_application_that_is_an_installed_package() -> None:
    root = f"{LIBRARY}/shop"
    frame = frame_of(f"{root}/views.py", "shop.views")
    assert found(frame) != f"{root}/views.py"
    assert found(frame, root) == f"{root}/views.py"
    assert (
        found(frame_of(f"{LIBRARY}/shopping/x.py"), root) != f"{LIBRARY}/shopping/x.py"
    )


def test_no_frame_of_own_code() -> None:
    assert HERE.find(None) is None
    assert HERE.find(sys._getframe()) is not None
