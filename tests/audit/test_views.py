"""The audit of Flask-Admin's views, and of what hangs on them."""

from __future__ import annotations

import functools
import importlib.metadata
import typing as t

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from places import Author
from places import Book
from places import Library
from places import library as library  # A fixture.
from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session
from sqlalchemy.orm import sessionmaker

pytest.importorskip("flask_admin")

from flask_admin import Admin
from flask_admin import BaseView
from flask_admin import expose
from flask_admin.contrib.sqla import ModelView
from flask_admin.contrib.sqla.ajax import QueryAjaxModelLoader
from flask_admin.contrib.sqla.fields import QuerySelectField
from flask_admin.contrib.sqla.validators import Unique
from flask_admin.model.form import InlineFormAdmin
from wtforms.fields import StringField

ADMIN = tuple(map(int, importlib.metadata.version("flask-admin").split(".")[:3]))
#: Those whose forms resolve the session of a Unique validator when they are made.
RESOLVES_EARLY = (2, 1) <= ADMIN < (2, 2, 1)

pytestmark = pytest.mark.filterwarnings("ignore:Passing a session object")


@pytest.fixture
def db(library: Library) -> SQLAlchemy:
    return library.add_db()


@pytest.fixture
def admin(library: Library) -> Admin:
    return Admin(library.app)


@pytest.fixture
def without_lite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flask-Admin refuses a session where Flask-SQLAlchemy-Lite is installed."""
    if ADMIN >= (2, 1):
        compat = "flask_admin.contrib.sqla._compat.T_SQLALCHEMY_LITE"
        monkeypatch.setattr(compat, None)


def names(where: str, view: str = "book") -> str:
    return f'admin view "{view}" > {where}'


class TestSafe:
    def test_two_admins_inline_models_and_ajax(
        self, library: Library, db: SQLAlchemy, admin: Admin
    ) -> None:
        class AuthorView(ModelView):
            inline_models = (Book,)

        class BookView(ModelView):
            form_ajax_refs: t.ClassVar = {"author": {"fields": ["email"]}}
            column_editable_list: t.ClassVar = ["title"]

        second = Admin(library.app, url="/other", endpoint="other")
        if ADMIN < (2, 1):  # It knows sessions only, and takes no db.
            admin.add_view(AuthorView(Author, db.session))
            admin.add_view(BookView(Book, db.session))
            second.add_view(BookView(Book, db.session, endpoint="book2"))
            held = "scoped_session"
        else:
            admin.add_view(AuthorView(Author, db))
            admin.add_view(BookView(Book, db))
            second.add_view(BookView(Book, db, endpoint="book2"))
            held = "db"
        holders = library.holders()
        assert list(holders) == [
            'app.extensions["sqlalchemy"]',
            'admin view "author"',
            names('form field "books" > inline model', "author"),
            names(
                'form field "books" > form field "title" > Unique validator', "author"
            ),
            names('form field "email" > Unique validator', "author"),
            'admin view "book"',
            names('form field "author" > AJAX loader'),
            names('form field "title" > Unique validator'),
            'admin view "book2"',
            names('form field "author" > AJAX loader', "book2"),
            names('form field "title" > Unique validator', "book2"),
        ]
        assert {each.verdict for each in holders.values()} == {"ok"}
        assert holders['admin view "book"'].holds == held
        assert {each.proxy_id for each in holders.values()} == {id(db.session)}

    def test_a_scoped_session_is_deprecated_in_the_view_alone(
        self, library: Library, db: SQLAlchemy, admin: Admin
    ) -> None:
        admin.add_view(ModelView(Book, db.session))
        holders = library.holders()
        validator = names('form field "title" > Unique validator')
        factory = names('form field "author" > query factory > closure variable "self"')
        assert list(holders) == [
            'app.extensions["sqlalchemy"]',
            'admin view "book"',
            validator,
            factory,
        ]
        holder = holders['admin view "book"']
        assert holder.verdict == ("deprecated" if ADMIN >= (2, 1) else "ok")
        for where in (validator, factory):
            assert (holders[where].holds, holders[where].verdict) == (
                "scoped_session",
                "ok",
            )

    def test_another_registry_in_a_field_is_told(
        self, library: Library, db: SQLAlchemy, admin: Admin
    ) -> None:
        other = scoped_session(sessionmaker(library.engine))

        class BookView(ModelView):
            form_args: t.ClassVar = {
                "author": {"query_factory": lambda: other.query(Author)}
            }

        admin.add_view(BookView(Book, db.session))
        where = names('form field "author" > query factory > closure variable "other"')
        holder = library.holders()[where]
        assert (holder.holds, holder.verdict) == ("scoped_session", "ok")
        assert holder.proxy_id == id(other)


class TestPinned:
    @pytest.mark.usefixtures("without_lite", "db")
    def test_the_view_and_all_that_has_its_session(
        self, library: Library, admin: Admin
    ) -> None:
        class AuthorView(ModelView):
            inline_models = (Book,)

        class AjaxView(ModelView):
            form_ajax_refs: t.ClassVar = {"author": {"fields": ["email"]}}

        admin.add_view(AuthorView(Author, library.session))
        admin.add_view(AjaxView(Book, library.session, endpoint="ajax"))
        admin.add_view(ModelView(Book, library.session))
        books = 'form field "books"'
        factory = 'form field "author" > query factory > closure variable "self"'
        assert set(library.pinned()) == {
            'admin view "author"',
            names(f"{books} > inline model", "author"),
            names(f'{books} > form field "title" > Unique validator', "author"),
            names('form field "email" > Unique validator', "author"),
            'admin view "ajax"',
            names('form field "author" > AJAX loader', "ajax"),
            names('form field "title" > Unique validator', "ajax"),
            'admin view "book"',
            names('form field "title" > Unique validator'),
            names(factory),
        }
        hint = library.holders()[names(factory)].hint
        assert "comes from the view" in hint

    def test_a_view_that_is_no_model_view(self, library: Library, admin: Admin) -> None:
        class ReportsView(BaseView):
            session = library.session

            @expose("/")
            def index(self) -> str:
                return ""

        admin.add_view(ReportsView(endpoint="reports"))
        assert library.pinned() == ['admin view "reports"']

    def test_methods_of_a_view_that_is_made_in_a_function(
        self, library: Library, db: SQLAlchemy, admin: Admin
    ) -> None:
        session = library.session

        class BookView(ModelView):
            def get_query(self) -> t.Any:
                return session.query(Book)

        admin.add_view(BookView(Book, db.session))
        where = 'admin view "book".get_query > closure variable "session"'
        assert library.pinned() == [where]

    @pytest.mark.parametrize(
        ("make", "path"),
        [
            (lambda s: lambda: s.query(Author), ' > closure variable "s"'),
            (lambda s: s.query, ""),
            (lambda s: functools.partial(s.query, Author), ""),
            (lambda s: functools.partial(sa.select, s), " > argument 0"),
            (lambda s: functools.partial(sa.select, x=s), ' > argument "x"'),
            (lambda s: lambda q=s: q.query(Author), ' > default of "q"'),
            (lambda s: lambda *, q=s: q.query(Author), ' > default of "q"'),
            (lambda s: Repository(s).authors, ".session"),
        ],
    )
    def test_query_factories(
        self,
        library: Library,
        db: SQLAlchemy,
        admin: Admin,
        make: t.Callable[[Session], t.Any],
        path: str,
    ) -> None:
        class BookView(ModelView):
            form_args: t.ClassVar = {"author": {"query_factory": make(library.session)}}

        admin.add_view(BookView(Book, db.session))
        assert library.pinned() == [names(f'form field "author" > query factory{path}')]

    def test_a_field_of_an_extra_form(
        self, library: Library, db: SQLAlchemy, admin: Admin
    ) -> None:
        session = library.session

        def is_known(form: t.Any, field: t.Any) -> None:
            session.query(Book)

        class BookView(ModelView):
            form_extra_fields: t.ClassVar = {
                "other": QuerySelectField(query_factory=lambda: session.query(Book)),
                "isbn": StringField(validators=[Unique(session, Book, Book.title)]),
                "shelf": StringField("Shelf", [is_known]),
            }

        admin.add_view(BookView(Book, db.session))
        assert set(library.pinned()) == {
            names('form field "other" > query factory > closure variable "session"'),
            names('form field "isbn" > Unique validator'),
            names(
                'form field "shelf" > validator "is_known" > closure variable "session"'
            ),
        }

    def test_a_loader_of_its_own(
        self, library: Library, db: SQLAlchemy, admin: Admin
    ) -> None:
        loader = QueryAjaxModelLoader(
            "author", library.session, Author, fields=["email"]
        )

        class BookView(ModelView):
            form_ajax_refs: t.ClassVar = {"author": loader}

        admin.add_view(BookView(Book, db.session))
        where = names('form field "author" > AJAX loader')
        assert library.pinned() == [where]
        assert "loader" in library.holders()[where].hint

    def test_a_field_of_an_inline_model(
        self, library: Library, db: SQLAlchemy, admin: Admin
    ) -> None:
        class BookForm(InlineFormAdmin):
            form_args: t.ClassVar = {
                "title": {"validators": [Unique(library.session, Book, Book.title)]}
            }

        class AuthorView(ModelView):
            inline_models = (BookForm(Book),)

        admin.add_view(AuthorView(Author, db.session))
        field = 'form field "books" > form field "title" > Unique validator'
        assert names(field, "author") in library.pinned()


def test_a_sessionmaker_is_no_session(
    library: Library,
    db: SQLAlchemy,
    admin: Admin,
    without_lite: None,
) -> None:
    admin.add_view(ModelView(Book, sessionmaker(library.engine)))
    holder = library.holders()['admin view "book"']
    assert (holder.holds, holder.verdict) == ("sessionmaker", "unknown")
    assert "query() on it, which fails" in holder.hint
    # That is what happens.
    library.app.testing = True
    with pytest.raises(AttributeError, match="query"):
        library.app.test_client().get("/admin/book/")


def test_what_is_neither_is_unknown(
    library: Library, db: SQLAlchemy, admin: Admin
) -> None:
    view = ModelView(Book, db.session)
    admin.add_view(view)
    view.session = object()
    holder = library.holders()['admin view "book"']
    assert (holder.holds, holder.verdict) == ("other", "unknown")


def test_a_property_named_session_is_not_asked(library: Library, admin: Admin) -> None:
    class ReportsView(BaseView):
        @property
        def session(self) -> Session:
            raise AssertionError("asked")

        @expose("/")
        def index(self) -> str:
            return ""

    admin.add_view(ReportsView(endpoint="reports"))
    assert library.holders() == {}


@pytest.mark.skipif(
    ADMIN < (2, 1), reason="This Flask-Admin does not know the extension."
)
def test_the_unique_validator_before_2_2_1(library: Library, admin: Admin) -> None:
    """Flask-Admin 2.1 and 2.2.0 asked for ``db.session`` when they made the form.

    What Flask-SQLAlchemy-Lite gives then is the session of that moment.
    """
    lite = pytest.importorskip("flask_sqlalchemy_lite")
    library.app.config["SQLALCHEMY_ENGINES"] = {"default": "sqlite://"}
    db = lite.SQLAlchemy(library.app)
    with library.app.app_context():
        admin.add_view(ModelView(Book, db))
    holders = library.holders()
    pinned = [x for x in holders.values() if x.verdict == "pinned"]
    if RESOLVES_EARLY:
        (holder,) = pinned
        assert holder.where == names('form field "title" > Unique validator')
        assert holder.session is not None
        assert "2.2.1" in holder.hint
    else:
        assert pinned == []
    assert holders['admin view "book"'].holds == "db"


class Repository:
    def __init__(self, session: Session) -> None:
        self.session = session

    def authors(self) -> t.Any:
        return self.session.query(Author)
