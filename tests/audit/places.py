"""An application with modules of its own, and what the audit says about it."""

from __future__ import annotations

import collections.abc as cabc
import gc
import pathlib
import sys
import types
import typing as t

import flask
import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import Session
from sqlalchemy.orm import mapped_column
from sqlalchemy.orm import relationship

from flask_session_inspector import Holder
from flask_session_inspector import audit


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(50), unique=True)
    books: Mapped[list[Book]] = relationship(back_populates="author")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(50), unique=True)
    author_id: Mapped[int | None] = mapped_column(sa.ForeignKey("author.id"))
    author: Mapped[Author | None] = relationship(back_populates="books")


class Library:
    """An application in a package ``library``, whose modules tests make.

    :ivar session: A session that is not closed, for tests to pin.
    """

    def __init__(self, root: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._monkeypatch = monkeypatch
        self.engine = sa.create_engine("sqlite://")
        self.session = Session(self.engine)
        self.app = flask.Flask("library", root_path=str(root))
        self.app.config["SECRET_KEY"] = "not a secret"
        self.app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"

    def add_db(self) -> SQLAlchemy:
        return SQLAlchemy(self.app, model_class=Base)

    def module(self, name: str, **attributes: t.Any) -> types.ModuleType:
        """Make a module of the application, as if it was imported."""
        module = types.ModuleType(name)
        module.__file__ = str(self._root / f"{name.rpartition('.')[2]}.py")
        vars(module).update(attributes)
        self._monkeypatch.setitem(sys.modules, name, module)
        return module

    def told(self) -> list[Holder]:
        """Audit the application; nothing may be told twice."""
        found = audit.holders(self.app, {})
        told = [(each.where, each.proxy_id, each.session) for each in found]
        assert len(told) == len(set(told)), told
        return found

    def holders(self) -> dict[str, Holder]:
        """Audit the application, which may hold one thing in each place."""
        found = self.told()
        wheres = [each.where for each in found]
        assert len(wheres) == len(set(wheres)), wheres
        return {each.where: each for each in found}

    def pinned(self) -> list[str]:
        """Return the places that pin :attr:`session`; no other may be pinned."""
        found = [each for each in self.told() if each.verdict == "pinned"]
        for holder in found:
            assert holder.holds == "Session"
            assert holder.session == self.session.hash_key
            assert holder.hint
        return [each.where for each in found]


@pytest.fixture
def library(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> cabc.Iterator[Library]:
    library = Library(tmp_path, monkeypatch)
    yield library
    library.session.close()
    library.engine.dispose()
    extension = library.app.extensions.get("sqlalchemy")
    if extension is not None:
        with library.app.app_context():
            for engine in extension.engines.values():
                engine.dispose()
    gc.collect()


def newest_serial() -> int:
    """Return the serial of a new session: how many there were so far."""
    return Session().hash_key
