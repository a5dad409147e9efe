"""Flask-Admin's own pages, through ``db`` and through ``db.session``."""

from __future__ import annotations

import importlib.metadata
import io
import typing as t
import warnings

import flask
import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from silence import assert_silent
from silence import inspection_of
from silence import of_path
from silence import outcomes
from silence import sessions
from silence import written
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship
from werkzeug.test import TestResponse

from flask_session_inspector import SessionInspector

pytest.importorskip("flask_admin")
form = pytest.importorskip("flask_admin.form")
sqla = pytest.importorskip("flask_admin.contrib.sqla")

VERSION = tuple(map(int, importlib.metadata.version("flask-admin").split(".")[:3]))


class Base(DeclarativeBase):
    pass


class Category(Base):
    __tablename__ = "categories"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    products: Mapped[list[Product]] = relationship(back_populates="category")

    def __str__(self) -> str:
        return self.name


class Product(Base):
    __tablename__ = "products"
    __table_args__ = (sa.CheckConstraint("price >= 0"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    price: Mapped[int] = mapped_column(default=0)
    category_id: Mapped[int | None] = mapped_column(sa.ForeignKey("categories.id"))
    category: Mapped[Category | None] = relationship(back_populates="products")

    def __str__(self) -> str:
        return self.name


class ProductView(sqla.ModelView):
    can_export = True
    can_view_details = True
    column_list = ("name", "price", "category")
    column_searchable_list = ("name", "category.name")
    column_filters = ("price", "category.name")
    column_editable_list = ("name", "price")
    form_columns = ("name", "price", "category", "picture")
    form_ajax_refs: t.ClassVar = {"category": {"fields": ("name",)}}


class CategoryView(sqla.ModelView):
    inline_models = (Product,)


@pytest.fixture(params=["db", "db.session"])
def app(
    request: pytest.FixtureRequest,
    make_app: t.Callable[..., flask.Flask],
    tmp_path: t.Any,
) -> flask.Flask:
    """An application with an admin of two views."""
    from flask_admin import Admin

    if request.param == "db" and VERSION < (2, 2, 1):
        pytest.skip("Before 2.2.1 Flask-Admin pins a session in its validators.")
    app = make_app(SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/shop.db")
    db = SQLAlchemy(app, model_class=Base)
    SessionInspector(app)
    admin = Admin(app)

    class View(ProductView):
        form_extra_fields: t.ClassVar = {
            "picture": form.FileUploadField(
                base_path=str(tmp_path), allowed_extensions=["png"]
            )
        }

        def on_model_change(self, form: t.Any, model: Product, new: bool) -> None:
            if model.name == "forbidden":
                raise ValueError("No such name.")

    handed = db if request.param == "db" else db.session
    with app.app_context(), warnings.catch_warnings():
        # Flask-Admin 2.1 and newer would rather have ``db``.
        warnings.simplefilter("ignore", DeprecationWarning)
        db.create_all()
        admin.add_view(CategoryView(Category, handed))
        admin.add_view(View(Product, handed))
        db.session.add(Category(name="tools"))
        db.session.add_all(
            Product(name=f"p{n}", price=n, category_id=1) for n in range(1, 10)
        )
        db.session.commit()
    inspection_of(app).clear()
    return app


def send(app: flask.Flask, path: str, **data: t.Any) -> TestResponse:
    """Get a page of the admin, or post to it; follow no redirect."""
    client = app.test_client()
    path = f"/admin{path}"
    with client.post(path, data=data) if data else client.get(path) as response:
        response.get_data()
        return response


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/product/",
        "/product/?search=p1",
        "/product/?flt0_0=3",
        "/product/?sort=1&desc=1&page=0",
        "/product/new/",
        "/product/edit/?id=1",
        "/product/details/?id=1",
        "/product/export/csv/",
        "/product/ajax/lookup/?name=category&query=to",
        "/category/edit/?id=1",
    ],
)
def test_pages_that_only_read(app: flask.Flask, path: str) -> None:
    for _ in range(3):
        assert send(app, path).status_code == 200

    records = assert_silent(inspection_of(app))
    assert len(records) == 3
    reads = any(sessions(record) for record in records)
    assert reads == (path not in ("/", "/product/new/"))
    assert set(outcomes(*records)) <= {"close"}


def test_create_edit_and_delete(app: flask.Flask) -> None:
    picture = (io.BytesIO(b"a picture"), "saw.png")
    created = {"name": "saw", "price": "3", "category": "1", "picture": picture}
    assert send(app, "/product/new/", **created).status_code == 302
    assert send(app, "/product/edit/?id=10", name="axe", price="4").status_code == 302
    inline = {"list_form_pk": "10", "price": "5"}
    assert send(app, "/product/ajax/update/", **inline).status_code == 200
    assert send(app, "/product/delete/", id="10").status_code == 302
    action = {"action": "delete", "rowid": ["1", "2"]}
    assert send(app, "/product/action/", **action).status_code == 302

    records = assert_silent(inspection_of(app))
    assert [record.status for record in records] == [302, 302, 200, 302, 302]
    assert [written(record)["products"] for record in records] == [1, 1, 1, 1, 2]


def test_inline_models(app: flask.Flask) -> None:
    answer = send(
        app,
        "/category/new/",
        **{"name": "toys", "products-0-name": "ball", "products-0-price": "1"},
    )
    assert answer.status_code == 302

    (record,) = assert_silent(inspection_of(app))
    assert written(record) == {"categories": 1, "products": 1}


@pytest.mark.parametrize(
    ("path", "data", "says"),
    [
        ("/product/new/", {"name": "p1", "price": "1"}, "Already exists."),
        ("/product/new/", {"name": "", "price": "1"}, "This field is required."),
        ("/product/new/", {"name": "x", "price": "-1"}, "CHECK constraint failed"),
        ("/product/new/", {"name": "forbidden", "price": "1"}, "No such name."),
        ("/product/edit/?id=1", {"name": "p2", "price": "1"}, "Already exists."),
        ("/product/edit/?id=1", {"name": "p1", "price": "-1"}, "CHECK constraint"),
    ],
)
def test_forms_that_are_refused(
    app: flask.Flask, path: str, data: dict[str, str], says: str
) -> None:
    for _ in range(2):
        answer = send(app, path, **data)
        assert (answer.status_code, says in answer.text) == (200, True)
    assert send(app, "/product/").status_code == 200

    records = assert_silent(inspection_of(app))
    assert len(records) == 3
    assert written(*records) == {}


def test_a_file_that_is_refused(app: flask.Flask) -> None:
    script = (io.BytesIO(b"#!"), "evil.sh")
    data = {"name": "saw", "price": "1", "picture": script}
    assert "Invalid file extension" in send(app, "/product/new/", **data).text

    (record,) = assert_silent(inspection_of(app))
    assert written(record) == {}


def test_an_inline_edit_and_an_id_that_are_refused(app: flask.Flask) -> None:
    bad = {"list_form_pk": "1", "price": "-5"}
    assert send(app, "/product/ajax/update/", **bad).status_code == 500
    gone = {"list_form_pk": "999", "price": "5"}
    assert "Record does not exist" in send(app, "/product/ajax/update/", **gone).text
    assert send(app, "/product/edit/?id=999").status_code == 302
    assert send(app, "/product/delete/", id="999").status_code == 302

    records = assert_silent(inspection_of(app))
    assert len(of_path(records, "/admin/product/ajax/update/")) == 2
    assert outcomes(records[0])[0] == "rollback"
    assert written(*records) == {}


def test_the_audit_of_the_views(app: flask.Flask) -> None:
    held = inspection_of(app).audit()
    assert len([h for h in held if h.where.startswith("admin view")]) >= 2
    assert {h.verdict for h in held} <= {"ok", "deprecated"}
    assert_silent(inspection_of(app))
