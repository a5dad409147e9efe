"""A page with faults, which the shop has only while it has its picture taken.

The scenarios show their faults one by one and tidy up. This is how a fault looks in
the panel of the page that made it, and in the audit.
"""

from __future__ import annotations

from flask import Flask
from flask import render_template_string
from sqlalchemy.orm import Session

from .models import Product
from .models import db

_PAGE = """
{% extends "shop/base.html" %}
{% block title %}Stocktaking{% endblock %}
{% block main %}
<h1>Stocktaking</h1>
<p class="lead">There are {{ product.stock }} of {{ product.name }}.</p>
{% endblock %}
"""


class Report:
    """What an extension could be, had nobody told it of scoped sessions."""

    def __init__(self, session: Session) -> None:
        self.session = session


def add_stocktaking(app: Flask) -> None:
    """Add the page, which counts and then forgets to commit."""

    @app.get("/stocktaking")
    def take_stock() -> str:
        product = db.session.get_one(Product, 1)
        product.stock += 1
        db.session.flush()
        return render_template_string(_PAGE, product=product)


def keep_session(app: Flask) -> None:
    """Let an extension hold a session for the life of the application."""
    with app.app_context():
        session = Session(db.engine)
    app.extensions["stocktaking"] = Report(session)
