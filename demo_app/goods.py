"""What the shop starts with."""

from __future__ import annotations

import datetime

from sqlalchemy.orm import Session

from .models import Customer
from .models import Order
from .models import OrderLine
from .models import Product
from .models import now

# Name, kind, drawing, unit, price in cents, stock, description.
_PRODUCTS = (
    (
        "Misty Terrace Sencha",
        "green",
        "tin",
        "80 g tin",
        1250,
        24,
        "A first-harvest sencha from a north-facing slope: bright, a little"
        " grassy, and forgiving when the water is too hot.",
    ),
    (
        "Harbour Breakfast",
        "black",
        "tin",
        "100 g tin",
        890,
        61,
        "Assam for strength and Ceylon for lift. Stands up to milk, to a long"
        " morning, and to being forgotten in the pot.",
    ),
    (
        "Lamplight Earl Grey",
        "black",
        "tin",
        "100 g tin",
        990,
        38,
        "Black tea scented with real bergamot oil and a few cornflowers, for"
        " the hour when the lamps go on.",
    ),
    (
        "Old Orchard Oolong",
        "oolong",
        "tin",
        "60 g tin",
        1690,
        12,
        "Half-oxidised and slowly roasted. Baked apple first, then toast, then"
        " something floral that keeps you guessing for five infusions.",
    ),
    (
        "Silver Path White",
        "white",
        "tin",
        "40 g tin",
        2140,
        3,
        "Young buds, simply dried. Quiet, sweet and pale; best on its own and"
        " without hurry.",
    ),
    (
        "Evening Meadow",
        "herbal",
        "tin",
        "50 g tin",
        760,
        45,
        "Camomile, lemon verbena and a little mint. No caffeine, no deadlines.",
    ),
    (
        "Everyday Teapot",
        "ware",
        "pot",
        "0.9 litres",
        3400,
        9,
        "Stoneware with a spout that does not drip. It took eleven attempts,"
        " and we kept the good one.",
    ),
    (
        "Two-Sip Cup",
        "ware",
        "cup",
        "pair",
        1800,
        17,
        "A pair of small cups without handles. If it is too hot to hold, it is"
        " too hot to drink.",
    ),
    (
        "Bamboo Whisk",
        "ware",
        "whisk",
        "each",
        1400,
        0,
        "Eighty tines, split by hand. Back in stock when the bamboo has dried.",
    ),
)

_CUSTOMERS = (
    ("Ada Marsh", "ada@example.com"),
    ("Bela Novak", "bela@example.com"),
    ("Chidi Okafor", "chidi@example.com"),
    ("Dunja Petric", "dunja@example.com"),
)

# How many hours ago, the customer, and of which products how many; customer and
# products are places in the lists above.
_ORDERS = (
    (75, 0, ((0, 1), (6, 1))),
    (52, 1, ((1, 2),)),
    (30, 2, ((3, 1), (4, 1), (7, 2))),
    (26, 0, ((5, 3),)),
    (3, 3, ((2, 1), (1, 1))),
)


def fill(session: Session) -> None:
    """Put the products, customers and orders of the first days into a database."""
    products = [
        Product(
            name=name,
            kind=kind,
            drawing=drawing,
            unit=unit,
            price_cents=price,
            stock=stock,
            description=description,
        )
        for name, kind, drawing, unit, price, stock, description in _PRODUCTS
    ]
    customers = [Customer(name=name, email=email) for name, email in _CUSTOMERS]
    for things in (products, customers):
        # One kind at a time, so that they are numbered as they are listed.
        session.add_all(things)
        session.flush()
    for hours, customer, lines in _ORDERS:
        order = Order(
            customer=customers[customer],
            placed_at=now() - datetime.timedelta(hours=hours),
        )
        for place, quantity in lines:
            product = products[place]
            order.lines.append(
                OrderLine(
                    product=product,
                    quantity=quantity,
                    price_cents=product.price_cents,
                )
            )
        session.add(order)
        session.flush()
