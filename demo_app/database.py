"""Connects the shop to its database, creates the tables and fills them once."""

from __future__ import annotations

import typing as t

from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import NoSuchModuleError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from .goods import fill
from .models import Product
from .models import db
from .scenarios import book


class DatabaseError(Exception):
    """The database cannot be used; the message is one sentence that says why."""


# Several workers may start at once: one fills the database, the others wait.
# PostgreSQL and SQLite release the lock at the end of the transaction.
_LOCKS = {
    "sqlite": ("BEGIN IMMEDIATE", None),
    "postgresql": ("SELECT pg_advisory_xact_lock(20261122)", None),
    "mysql": ("SELECT GET_LOCK('demo_app', 30)", "SELECT RELEASE_LOCK('demo_app')"),
    "mariadb": ("SELECT GET_LOCK('demo_app', 30)", "SELECT RELEASE_LOCK('demo_app')"),
}


def start_database(app: Flask) -> None:
    """Make the engine that ``SQLALCHEMY_DATABASE_URI`` names.

    :raises DatabaseError: The URL is malformed or its driver is not installed.
    """
    try:
        db.init_app(app)
    except (SQLAlchemyError, ImportError, OSError, ValueError) as error:
        raise DatabaseError(_sentence(error)) from error


def prepare(app: Flask) -> None:
    """Create what is missing: the tables, and the first goods and orders.

    :raises DatabaseError: The database does not answer, or refuses.
    """
    try:
        with app.app_context():
            _create_and_fill()
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseError(_sentence(error)) from error


def _create_and_fill() -> None:
    lock, unlock = _LOCKS.get(db.engine.dialect.name, (None, None))
    with db.engine.connect() as connection:
        if lock:
            connection.exec_driver_sql(lock)
        try:
            db.metadata.create_all(connection)
            with Session(connection) as session:
                if session.scalar(select(Product.id).limit(1)) is None:
                    fill(session)
                    session.commit()
                book.fill(session)
            connection.commit()
        finally:
            if unlock:
                connection.exec_driver_sql(unlock)


def _sentence(error: Exception) -> str:
    # The URL itself is never repeated: it may hold a password.
    key = "The database URL (DEMO_DATABASE_URL)"
    if isinstance(error, NoSuchModuleError):
        return f"{key} names a database or driver that SQLAlchemy does not know."
    if isinstance(error, (ArgumentError, ValueError)):
        return f"{key} is malformed; it should look like 'sqlite:////tmp/demo.sqlite'."
    if isinstance(error, ImportError):
        return f"{key} needs the driver {error.name!r}, which is not installed."
    reason: t.Any = error
    if isinstance(error, DBAPIError):
        # PyMySQL's errors carry a number first and the text last.
        reason = error.orig.args[-1] if error.orig and error.orig.args else error.orig
    first_line = (str(reason).strip().splitlines() or ["no reason given"])[0]
    return f"{key} leads to a database that cannot be used: {first_line.rstrip('.')}."
