"""The pages of the shop."""

from __future__ import annotations

import typing as t

from flask import Blueprint
from flask import Flask
from flask import abort
from flask import current_app
from flask import flash
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import select
from sqlalchemy.orm import joinedload
from sqlalchemy.orm import selectinload
from werkzeug.exceptions import NotFound

from . import basket
from .models import Customer
from .models import Order
from .models import OrderLine
from .models import Product
from .models import db
from .money import money
from .orders import SoldOut
from .orders import place

blueprint = Blueprint("shop", __name__)
blueprint.add_app_template_filter(money)


@blueprint.app_context_processor
def _in_every_page() -> dict[str, t.Any]:
    return {
        "basket_count": basket.count(),
        "recorded": current_app.config["SESSION_INSPECTOR_ENABLED"],
    }


@blueprint.get("/")
def front() -> str:
    """The shelf."""
    products = db.session.scalars(select(Product).order_by(Product.id)).all()
    return render_template("shop/front.html", products=products)


@blueprint.get("/products/<int:product_id>")
def product(product_id: int) -> str:
    """One product."""
    found = db.session.get(Product, product_id) or abort(404)
    related = db.session.scalars(
        select(Product)
        .where(Product.kind == found.kind, Product.id != found.id)
        .order_by(Product.id)
        .limit(3)
    ).all()
    return render_template("shop/product.html", product=found, related=related)


@blueprint.get("/basket")
def show_basket() -> str:
    """The basket, with the form that orders it."""
    return _basket_page({}, {})


@blueprint.post("/basket/<int:product_id>")
def change_basket(product_id: int) -> ResponseReturnValue:
    """Put a product into the basket, or change how many there are."""
    found = db.session.get(Product, product_id) or abort(404)
    quantity = request.form.get("quantity", type=int)
    if quantity is None or not 0 <= quantity <= basket.MOST:
        flash(f"Please give a number from 0 to {basket.MOST}.")
    elif request.form.get("change") == "set":
        basket.put(product_id, quantity)
        flash(f"{found.name}: {'removed' if not quantity else 'changed'}.")
    else:
        basket.add(product_id, quantity)
        flash(f"{found.name} is in your basket.")
    return redirect(url_for("shop.show_basket"), code=303)


@blueprint.post("/checkout")
def checkout() -> ResponseReturnValue:
    """Order what is in the basket."""
    filled_in = {key: request.form.get(key, "").strip() for key in ("name", "email")}
    errors = _errors(filled_in)
    lines = basket.lines()
    if not lines:
        flash("Your basket is empty.")
        return redirect(url_for("shop.show_basket"), code=303)
    if errors:
        return _basket_page(filled_in, errors), 422
    try:
        order = place(filled_in["name"], filled_in["email"], lines)
    except SoldOut as sold_out:
        flash(str(sold_out))
        return redirect(url_for("shop.show_basket"), code=303)
    basket.empty()
    flash("Thank you! Your order is on its way to the packing table.")
    return redirect(url_for("shop.orders", _anchor=f"order-{order.id}"), code=303)


@blueprint.get("/orders")
def orders() -> str:
    """The latest orders."""
    latest = db.session.scalars(
        select(Order)
        .options(
            joinedload(Order.customer),
            selectinload(Order.lines).joinedload(OrderLine.product),
        )
        .order_by(Order.id.desc())
        .limit(20)
    ).all()
    return render_template("shop/orders.html", orders=latest)


def register_error_pages(app: Flask) -> None:
    """Show the shop's own page where there is nothing."""
    app.register_error_handler(NotFound, _not_found)


def _not_found(error: NotFound) -> ResponseReturnValue:
    return render_template("shop/not_found.html"), 404


def _basket_page(filled_in: dict[str, str], errors: dict[str, str]) -> str:
    lines = basket.lines()
    return render_template(
        "shop/basket.html",
        lines=lines,
        total=sum(line.total_cents for line in lines),
        filled_in=filled_in,
        errors=errors,
        most=basket.MOST,
    )


def _errors(filled_in: dict[str, str]) -> dict[str, str]:
    errors = {}
    if not 0 < len(filled_in["name"]) <= Customer.name.type.length:
        errors["name"] = "Please give your name, in at most 80 characters."
    name, at, host = filled_in["email"].partition("@")
    too_long = len(filled_in["email"]) > Customer.email.type.length
    if not (name and at and host) or too_long:
        errors["email"] = "Please give an e-mail address such as you@example.com."
    return errors
