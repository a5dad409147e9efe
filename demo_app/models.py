"""What the shop keeps: customers, products, orders and their lines."""

from __future__ import annotations

import datetime

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy import String
from sqlalchemy import Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship


class Base(DeclarativeBase):
    """The declarative base of the models."""


db = SQLAlchemy(model_class=Base)


def now() -> datetime.datetime:
    """The time in UTC, to the second, without a zone: not every database keeps one."""
    utc = datetime.datetime.now(datetime.timezone.utc)
    return utc.replace(microsecond=0, tzinfo=None)


class Customer(db.Model):  # type: ignore[name-defined]
    """Somebody who has ordered."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    email: Mapped[str] = mapped_column(String(120), unique=True)
    orders: Mapped[list[Order]] = relationship(
        back_populates="customer", cascade="all, delete-orphan"
    )

    def __str__(self) -> str:
        return self.name


class Product(db.Model):  # type: ignore[name-defined]
    """Something on the shelf. ``drawing`` names a symbol of ``static/art.svg``."""

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    drawing: Mapped[str] = mapped_column(String(20))
    description: Mapped[str] = mapped_column(Text)
    unit: Mapped[str] = mapped_column(String(20))
    price_cents: Mapped[int]
    stock: Mapped[int]
    lines: Mapped[list[OrderLine]] = relationship(back_populates="product")

    def __str__(self) -> str:
        return self.name


class Order(db.Model):  # type: ignore[name-defined]
    """What one customer ordered at one time."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    placed_at: Mapped[datetime.datetime] = mapped_column(default=now)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    lines: Mapped[list[OrderLine]] = relationship(
        back_populates="order", cascade="all, delete-orphan"
    )

    @property
    def total_cents(self) -> int:
        """What the whole order cost."""
        return sum(line.total_cents for line in self.lines)

    def __str__(self) -> str:
        return f"Order {self.id}"


class OrderLine(db.Model):  # type: ignore[name-defined]
    """A number of one product in an order, at the price of that day."""

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"))
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    quantity: Mapped[int]
    price_cents: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="lines")
    product: Mapped[Product] = relationship(back_populates="lines")

    @property
    def total_cents(self) -> int:
        """What the line cost."""
        return self.quantity * self.price_cents

    def __str__(self) -> str:
        return f"{self.quantity} x product {self.product_id}"
