"""The shop's back office: a Flask-Admin page for each model."""

from __future__ import annotations

import typing as t

from flask import Flask
from flask_admin import Admin
from flask_admin.contrib.sqla import ModelView
from flask_admin.theme import Bootstrap4Theme

from .models import Customer
from .models import Order
from .models import OrderLine
from .models import Product
from .models import db
from .money import money


def _price(view: t.Any, context: t.Any, model: t.Any, name: str) -> str:
    return money(getattr(model, name))


class ProductView(ModelView):
    """The shelf."""

    column_list = ("name", "kind", "unit", "price_cents", "stock")
    column_labels: t.ClassVar = {"price_cents": "Price"}
    column_formatters: t.ClassVar = {"price_cents": _price}
    column_searchable_list = ("name", "description")
    column_filters = ("kind", "stock")
    column_editable_list = ("stock",)
    form_excluded_columns = ("lines",)


class CustomerView(ModelView):
    """The customers."""

    column_searchable_list = ("name", "email")
    form_excluded_columns = ("orders",)


class OrderView(ModelView):
    """The orders, with their lines."""

    column_list = ("id", "placed_at", "customer", "total_cents")
    column_labels: t.ClassVar = {"id": "Number", "total_cents": "Total"}
    column_formatters: t.ClassVar = {"total_cents": _price}
    column_default_sort = ("id", True)
    inline_models = (OrderLine,)


class OrderLineView(ModelView):
    """The lines of all orders."""

    column_list = ("order", "product", "quantity", "price_cents")
    column_labels: t.ClassVar = {"price_cents": "Price"}
    column_formatters: t.ClassVar = {"price_cents": _price}


def add_admin(app: Flask) -> None:
    """Add the back office at ``/admin/``."""
    theme = Bootstrap4Theme(fluid=True, base_template="backoffice.html")
    admin = Admin(app, name="Leaf & Kettle", theme=theme)
    admin.add_view(ProductView(Product, db, name="Products"))
    admin.add_view(CustomerView(Customer, db, name="Customers"))
    admin.add_view(OrderView(Order, db, name="Orders"))
    admin.add_view(OrderLineView(OrderLine, db, name="Order lines"))
