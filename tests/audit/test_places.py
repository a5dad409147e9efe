"""The audit of extensions, registered functions and modules."""

from __future__ import annotations

import functools
import types
import typing as t

import flask
import flask.views
import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from places import Base
from places import Library
from places import library as library  # A fixture.
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.asyncio import async_scoped_session
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

from flask_session_inspector import audit


class Service:
    def __init__(self, session: t.Any) -> None:
        self.session = session


class Slotted:
    __slots__ = ("session",)

    def __init__(self, session: t.Any) -> None:
        self.session = session


class TestExtensions:
    @pytest.mark.parametrize(
        ("make", "path"),
        [
            (lambda s: s, ""),
            (Service, ".session"),
            (Slotted, ".session"),
            (lambda s: {"main": s}, '["main"]'),
            (lambda s: {1: [None, s]}, "[0x1][1]"),
            (lambda s: Service({"main": Slotted(s)}), '.session["main"].session'),
        ],
    )
    def test_pinned(
        self, library: Library, make: t.Callable[[Session], t.Any], path: str
    ) -> None:
        library.app.extensions["reports"] = make(library.session)
        assert library.pinned() == [f'app.extensions["reports"]{path}']

    def test_safe(self, library: Library) -> None:
        registry = scoped_session(sessionmaker(library.engine))
        library.app.extensions["reports"] = Service(registry)
        holder = library.holders()['app.extensions["reports"].session']
        assert (holder.verdict, holder.proxy_id) == ("ok", id(registry))


class TestFunctions:
    def test_a_view(self, library: Library) -> None:
        session = library.session

        def report() -> str:
            return str(session)

        blueprint = flask.Blueprint("shop", __name__)
        blueprint.add_url_rule("/", "report", report)
        library.app.register_blueprint(blueprint)
        where = 'view function "shop.report" > closure variable "session"'
        assert library.pinned() == [where]

    def test_a_decorated_view(self, library: Library) -> None:
        def with_session(view: t.Callable[..., str]) -> t.Callable[[], str]:
            session = library.session

            @functools.wraps(view)
            def wrapper() -> str:
                return view(session)

            return wrapper

        library.app.add_url_rule("/", "report", with_session(lambda session: ""))
        where = 'view function "report" > closure variable "session"'
        assert library.pinned() == [where]

    def test_a_wrapped_view(self, library: Library) -> None:
        session = library.session

        def report() -> str:
            return str(session)

        @functools.wraps(report)
        def wrapper() -> str:
            return report()

        library.app.add_url_rule("/", "report", wrapper)
        where = 'view function "report" > closure variable "session"'
        assert library.pinned() == [where]

    @pytest.mark.parametrize("each_request", [True, False])
    def test_a_class_based_view(self, library: Library, each_request: bool) -> None:
        class Report(flask.views.View):
            init_every_request = each_request

            def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
                pass

        positional = Report.as_view("positional", library.session)
        keyword = Report.as_view("keyword", session=library.session)
        library.app.add_url_rule("/p", view_func=positional)
        library.app.add_url_rule("/k", view_func=keyword)
        expected = {
            'view function "positional" > argument 0',
            'view function "keyword" > argument "session"',
        }
        # Without an instance for each request, Python keeps no arguments.
        assert set(library.pinned()) == (expected if each_request else set())

    def test_an_instance_of_a_view_that_lives_as_long_as_the_app(
        self, library: Library
    ) -> None:
        class Report(flask.views.View):
            init_every_request = False

            def __init__(self) -> None:
                self.session = library.session

        library.app.add_url_rule("/", view_func=Report.as_view("report"))
        where = 'view function "report" > closure variable "self".session'
        assert library.pinned() == [where]

    def test_a_class_attribute_of_a_view(self, library: Library) -> None:
        class Report(flask.views.MethodView):
            session = library.session

        library.app.add_url_rule("/", view_func=Report.as_view("report"))
        assert library.pinned() == ['view function "report" > Report.session']

    @pytest.mark.parametrize(
        ("decorator", "kind"),
        [
            ("before_request", "before_request function"),
            ("after_request", "after_request function"),
            ("teardown_request", "teardown_request function"),
            ("teardown_appcontext", "teardown_appcontext function"),
            ("context_processor", "context processor"),
            ("url_value_preprocessor", "url_value_preprocessor function"),
        ],
    )
    def test_functions_around_requests(
        self, library: Library, decorator: str, kind: str
    ) -> None:
        session = library.session

        def hook(*args: t.Any) -> t.Any:
            return session

        getattr(library.app, decorator)(hook)
        assert library.pinned() == [f'{kind} "hook" > closure variable "session"']

    def test_an_error_handler(self, library: Library) -> None:
        session = library.session
        library.app.register_error_handler(404, lambda error: str(session))
        where = 'error handler "<lambda>" > closure variable "session"'
        assert library.pinned() == [where]

    def test_a_method_of_the_session_itself(self, library: Library) -> None:
        library.app.teardown_appcontext(library.session.close)
        assert library.pinned() == ['teardown_appcontext function "close"']

    def test_views_that_use_db_are_told_once(self, library: Library) -> None:
        db = library.add_db()
        for name in ("a", "b", "c"):
            library.app.add_url_rule(f"/{name}", name, lambda: str(db))
        assert list(library.holders()) == [
            'app.extensions["sqlalchemy"]',
            'view function "a" > closure variable "db"',
        ]

    def test_a_variable_that_is_not_set_yet(self, library: Library) -> None:
        def view() -> str:
            return str(session)

        library.app.add_url_rule("/", "view", view)
        assert library.holders() == {}
        session = library.session
        assert len(library.pinned()) == 1


class TestModules:
    def test_a_session_in_several_places(self, library: Library) -> None:
        session = library.session
        library.module("library.database", session=session)
        library.module("library.reports", s=session, cache={"report": session})
        library.module("elsewhere_below_the_root", session=session)
        assert library.pinned() == [
            "library.database.session",
            "library.reports.s",
            'library.reports.cache["report"]',
            "elsewhere_below_the_root.session",
        ]

    def test_classes_functions_and_instances(self, library: Library) -> None:
        session = library.session

        def report() -> Session:
            return session

        @functools.lru_cache
        def only_session() -> Session:
            return session

        @functools.cache
        def session_of(name: str) -> Session:
            return session

        only_session()
        session_of("main")
        cache = type("Cache", (), {"session": session, "__module__": "library.a"})
        report.__module__ = "library.a"
        library.module(
            "library.a",
            Cache=cache,
            report=report,
            only_session=only_session,
            session_of=session_of,
            service=Service({"x": session}),
            query=session.query(sa.literal(1)),
        )
        # What it imports is another module's.
        library.module("library.b", Cache=cache, report=report)
        assert library.pinned() == [
            "library.a.Cache.session",
            'library.a.report > closure variable "session"',
            "library.a.only_session > cached result",
            'library.a.only_session > closure variable "session"',
            "library.a.session_of > cached result",
            'library.a.session_of > closure variable "session"',
            'library.a.service.session["x"]',
            "library.a.query.session",
        ]

    def test_a_form_class(self, library: Library) -> None:
        wtforms = pytest.importorskip("wtforms")
        session = library.session

        def is_known(form: t.Any, field: t.Any) -> None:
            session.get(Service, 1)

        class OrderForm(wtforms.Form):
            number = wtforms.StringField(validators=[is_known])

        OrderForm.__module__ = "library.forms"
        library.module("library.forms", OrderForm=OrderForm)
        assert library.pinned() == [
            'library.forms.OrderForm > form field "number" > validator "is_known"'
            ' > closure variable "session"'
        ]

    def test_safe(self, library: Library) -> None:
        db = library.add_db()
        factory = sessionmaker(library.engine)
        registry = scoped_session(factory)
        library.module("library", db=db, Session=registry)
        library.module(
            "library.database",
            SQLAlchemy=SQLAlchemy,
            scoped_session=scoped_session,
            factory=factory,
            db=db,
            Session=registry,
        )
        library.module("library.views", db=db, Session=registry, make=factory)
        found = {
            x.where: (x.holds, x.verdict, x.hint) for x in library.holders().values()
        }
        # The module that made them names them.
        assert found == {
            'app.extensions["sqlalchemy"]': ("db", "ok", ""),
            "library.database.db": ("db", "ok", ""),
            "library.database.Session": ("scoped_session", "ok", ""),
            "library.database.factory": ("sessionmaker", "ok", ""),
        }

    def test_flask_sqlalchemy_lite(self, library: Library) -> None:
        lite = pytest.importorskip("flask_sqlalchemy_lite")
        library.app.config["SQLALCHEMY_ENGINES"] = {"default": "sqlite://"}
        db = lite.SQLAlchemy(library.app)
        library.module("library.database", db=db)
        holders = library.holders()
        assert list(holders) == ['app.extensions["sqlalchemy"]', "library.database.db"]
        assert {(x.holds, x.verdict) for x in holders.values()} == {("db", "ok")}

    def test_asyncio(self, library: Library) -> None:
        maker = async_sessionmaker()
        session = AsyncSession(sync_session_class=Session)
        library.module(
            "library.database",
            maker=maker,
            Session=async_scoped_session(maker, scopefunc=lambda: 1),
            session=session,
        )
        holders = library.holders()
        assert [(x.where, x.holds, x.verdict) for x in holders.values()] == [
            ("library.database.maker", "sessionmaker", "ok"),
            ("library.database.Session", "scoped_session", "ok"),
            ("library.database.session", "Session", "pinned"),
        ]
        serial = session.sync_session.hash_key
        assert holders["library.database.session"].session == serial

    def test_what_is_not_the_applications(self, library: Library) -> None:
        session = library.session
        other = types.ModuleType("not_the_librarys")
        other.session = session  # type: ignore[attr-defined]
        library.module("flask.library", session=session)
        monkeypatched = library.module("another", session=session)
        monkeypatched.__file__ = "/somewhere/else/another.py"
        installed = library.module("installed", session=session)
        installed.__file__ = str(library.app.root_path) + "/site-packages/installed.py"
        assert library.pinned() == []

    def test_what_lives_for_the_request_only(self, library: Library) -> None:
        library.module("library.database", g=flask.g, current=flask.current_app)
        with library.app.app_context():
            flask.g.session = library.session
            assert library.pinned() == []

    def test_the_main_module(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = flask.Flask("__main__", root_path=library.app.root_path)
        library.app = app
        library.module("__main__", session=library.session)
        assert library.pinned() == ["__main__.session"]


class TestNames:
    def test_registries_of_modules(self, library: Library) -> None:
        registry = scoped_session(sessionmaker(library.engine))
        other = async_scoped_session(async_sessionmaker(), scopefunc=lambda: 1)
        library.module("library", Session=registry)
        library.module("library.database", Session=registry, sa_orm=sa.orm, sa=sa)
        library.module("library.aio", Session=other)
        assert list(audit.module_registries(library.app)) == [
            ("library.database.Session", registry),
            ("library.aio.Session", other),
        ]

    def test_registries_of_closures(self, library: Library) -> None:
        db = library.add_db()
        named = scoped_session(sessionmaker(library.engine))
        nameless = scoped_session(sessionmaker(library.engine))
        library.module("library.database", Session=named)

        def view() -> str:
            return f"{db} {named} {nameless}"

        library.app.add_url_rule("/", "view", view)
        library.app.teardown_appcontext(lambda exc: nameless.remove())
        assert list(audit.other_registries(library.app)) == [nameless]


def test_a_registry_that_is_watched_under_two_names(library: Library) -> None:
    registry = scoped_session(sessionmaker(library.engine))
    found = audit.holders(library.app, {"a": registry, "b": registry})
    names = [each.where for each in found]
    assert names == ['watched registry "a"', 'watched registry "b"']


def test_the_order_of_places(library: Library) -> None:
    db = SQLAlchemy(library.app, model_class=Base)
    registry = scoped_session(sessionmaker(library.engine))
    library.app.extensions["x"] = library.session
    library.app.add_url_rule("/", "view", lambda: str(registry))
    library.module("library.database", db=db)
    found = audit.holders(library.app, {"reporting": registry})
    assert [each.where for each in found] == [
        'app.extensions["sqlalchemy"]',
        'watched registry "reporting"',
        'app.extensions["x"]',
        'view function "view" > closure variable "registry"',
        "library.database.db",
    ]
