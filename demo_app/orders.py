"""Writes an order: the customer, the lines and the stock, in one transaction."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from sqlalchemy import CursorResult
from sqlalchemy import select
from sqlalchemy import update

from .basket import Line
from .models import Customer
from .models import Order
from .models import OrderLine
from .models import Product
from .models import db


class SoldOut(Exception):
    """There is less on the shelf than was ordered; the message says of what."""


def place(name: str, email: str, lines: cabc.Sequence[Line]) -> Order:
    """Place an order.

    :param name: The customer's name, used if the address is new.
    :param email: The customer's e-mail address.
    :param lines: What is ordered; at least one line.
    :raises SoldOut: Something is not in stock any more; nothing was written.
    """
    customer = db.session.scalar(select(Customer).where(Customer.email == email))
    order = Order(customer=customer or Customer(name=name, email=email))
    db.session.add(order)
    for product, quantity in lines:
        _take_from_shelf(product, quantity)
        order.lines.append(
            OrderLine(
                product=product, quantity=quantity, price_cents=product.price_cents
            )
        )
    db.session.commit()
    return order


def _take_from_shelf(product: Product, quantity: int) -> None:
    # Asked and taken in one statement, so that two customers cannot both get
    # the last one.
    taken = db.session.execute(
        update(Product)
        .where(Product.id == product.id, Product.stock >= quantity)
        .values(stock=Product.stock - quantity)
    )
    if not t.cast("CursorResult[t.Any]", taken).rowcount:
        name = product.name
        db.session.rollback()
        left = db.session.scalar(select(Product.stock).where(Product.name == name))
        raise SoldOut(f"Not enough on the shelf: {name}, {left or 0} left.")
