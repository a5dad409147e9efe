"""The visitor's basket, kept in the signed cookie."""

from __future__ import annotations

import typing as t

from flask import session as cookie
from sqlalchemy import select

from .models import Product
from .models import db

_KEY = "basket"
MOST = 99


class Line(t.NamedTuple):
    """One product in the basket, and how many of it."""

    product: Product
    quantity: int

    @property
    def total_cents(self) -> int:
        """What the line costs."""
        return self.product.price_cents * self.quantity


def count() -> int:
    """How many things are in the basket."""
    return sum(_quantities().values())


def put(product_id: int, quantity: int) -> None:
    """Set how many of a product are in the basket; none takes it out."""
    quantities = _quantities()
    quantities.pop(product_id, None)
    if quantity > 0:
        quantities[product_id] = min(quantity, MOST)
    _keep(quantities)


def add(product_id: int, quantity: int) -> None:
    """Put some more of a product into the basket."""
    put(product_id, _quantities().get(product_id, 0) + quantity)


def empty() -> None:
    """Take everything out."""
    cookie.pop(_KEY, None)


def lines() -> list[Line]:
    """The products in the basket that the shop still has, in the order added."""
    quantities = _quantities()
    if not quantities:
        return []
    found = db.session.scalars(select(Product).where(Product.id.in_(quantities)))
    products = {product.id: product for product in found}
    return [
        Line(products[product_id], quantity)
        for product_id, quantity in quantities.items()
        if product_id in products
    ]


def _quantities() -> dict[int, int]:
    # A list of pairs: a JSON object would sort the basket by number.
    return {product_id: quantity for product_id, quantity in cookie.get(_KEY, [])}


def _keep(quantities: dict[int, int]) -> None:
    cookie[_KEY] = list(quantities.items())
