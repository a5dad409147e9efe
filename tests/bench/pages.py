"""What the inspector's own pages cost the server: ``python -m tests.bench.pages``.

Every time is that of a whole request to the application, from its WSGI callable to
the last byte of the body: the median of several. It is the processor's time, which
other processes on the machine do not lengthen; nothing here waits. The first number of
a line is what was asked for first, with nothing read or built before.
"""

from __future__ import annotations

import collections.abc as cabc
import gc
import statistics
import sys
import tempfile
import typing as t
from time import process_time

import flask
import sqlalchemy as sa
from flask_admin import Admin  # type: ignore[import-untyped] # it has no types
from flask_admin.contrib.sqla import ModelView  # type: ignore[import-untyped] # as above
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session
from werkzeug.test import Client
from werkzeug.test import EnvironBuilder

from flask_session_inspector import Inspection
from flask_session_inspector import SessionInspector

from .variants import Base
from .variants import Item
from .variants import fill

LIST = "/admin/sessions/"
API = "/_session_inspector/api"
MANY = 100_000
RUNS = 15


class Line(t.NamedTuple):
    """What was measured.

    :ivar first: The milliseconds of the first request, ``None`` if it is not told.
    :ivar median: Those of the others.
    :ivar budget: The most that it may take, ``None`` where there is no such number.
    """

    what: str
    first: float | None
    median: float
    budget: float | None = None


class Site:
    """An application with an admin, and some requests that were recorded.

    :param retained: How many records are kept, and made.
    :param path: What is requested for each.
    """

    def __init__(self, retained: int, path: str = "/one") -> None:
        self._folder = tempfile.TemporaryDirectory()
        database = f"sqlite:///{self._folder.name}/bench.db"
        fill(database)
        self.app = _make_app(database, retained)
        self.inspection: Inspection = self.app.extensions["session_inspector"]
        self.visit(1, path)
        newest = self.inspection.requests(1)[0].id
        # The templates are compiled once in the life of a process.
        for page in ("", "findings", "audit", f"requests/{newest}"):
            self.ask(f"{LIST}{page}")
        self.ask(f"/_session_inspector/panel/{newest}")
        self.inspection.clear()
        self.visit(retained, path)

    def visit(self, times: int, path: str = "/one") -> None:
        """Send requests that are recorded."""
        client = Client(self.app)
        environ = EnvironBuilder(path).get_environ()
        for _ in range(times):
            client.open(environ.copy()).close()

    def ask(
        self, path: str, etag: str = "", times: int = 1
    ) -> tuple[float, int, bytes, str]:
        """Send a request.

        :param times: How often, where one is too short for the clock.
        :return: The milliseconds it took, the status, the body and the entity tag.
        """
        headers = [("If-None-Match", etag)] if etag else []
        builder = EnvironBuilder(path, headers=headers)
        environs = [builder.get_environ() for _ in range(times)]
        answers: list[tuple[str, dict[str, str]]] = []

        def start(status: str, headers: list[tuple[str, str]], *rest: t.Any) -> None:
            answers.append((status, dict(headers)))

        gc.collect()
        began = process_time()
        for environ in environs:
            answer = self.app.wsgi_app(environ, start)  # type: ignore[arg-type] # as WSGI has it
            body = b"".join(answer)
            answer.close()  # type: ignore[attr-defined] # Flask's have it
        took = (process_time() - began) * 1000 / times
        status, answered = answers[-1]
        return took, int(status[:3]), body, answered.get("ETag", "")

    def end(self) -> None:
        """Free what it holds."""
        SessionInspector().detach(self.app)
        with self.app.app_context():
            self.app.extensions["sqlalchemy"].engine.dispose()
        self._folder.cleanup()


def _make_app(database: str, retained: int) -> flask.Flask:
    app = flask.Flask(__name__)
    app.config |= {
        "SECRET_KEY": "bench",
        "SQLALCHEMY_DATABASE_URI": database,
        "SESSION_INSPECTOR_ENABLED": True,
        "SESSION_INSPECTOR_MAX_REQUESTS": retained,
        # Ten of them are slower than that on a machine that is busy.
        "SESSION_INSPECTOR_IDLE_TRANSACTION_MS": 60_000,
    }
    app.debug = True
    db = SQLAlchemy(app, model_class=Base)
    SessionInspector(app)
    admin = Admin(app, name="bench")
    admin.add_view(ModelView(Item, db))

    @app.get("/one")
    def one() -> str:
        return db.session.get_one(Item, 7).name

    @app.get("/lost")
    def lost() -> str:
        db.session.add(Item(name="lost"))
        db.session.flush()
        return "never committed"

    @app.get("/thousand")
    def thousand() -> str:
        for _ in range(1000):
            with Session(db.engine) as session:
                session.execute(sa.select(Item.id).limit(1)).all()
        return "a thousand sessions"

    return app


def repeated(
    what: str,
    ask: cabc.Callable[[], float],
    budget: float | None = None,
    *,
    prepare: cabc.Callable[[], object] = lambda: None,
    runs: int = RUNS,
    tell_first: bool = False,
) -> Line:
    """Measure something several times.

    :param ask: Does it, and returns the milliseconds.
    :param prepare: Runs before each time, and is not measured.
    :param tell_first: The first time is of interest.
    """
    took = []
    for _ in range(runs + 1):
        prepare()
        took.append(ask())
    first = took[0] if tell_first else None
    return Line(what, first, statistics.median(took[1:]), budget)


def nothing_new(retained: int) -> list[Line]:
    """Ask the API and the pages for what is new, where nothing is."""
    site = Site(retained)
    lines = []
    kept = f"{retained:,} retained"
    cursor = site.inspection.cursor
    path = f"{API}/requests?after={cursor}"
    _, _, body, tag = site.ask(path)
    assert b'"requests":[]' in body
    lines.append(
        repeated(f"API, 200 and empty, {kept}", lambda: site.ask(path, "", 50)[0], 1)
    )
    assert site.ask(path, tag)[1] == 304
    lines.append(repeated(f"API, 304, {kept}", lambda: site.ask(path, tag, 50)[0], 1))
    if retained <= 1000:
        page = f"{LIST}?since={cursor}"
        tag = site.ask(page)[3]
        assert site.ask(page, tag)[1] == 304
        what = f"list, poll with nothing new, {kept}"
        lines.append(repeated(what, lambda: site.ask(page, tag, 50)[0], 1))
    site.end()
    return lines


def some_new(retained: int, new: int) -> list[Line]:
    """Ask the API and the list for some new records, not built yet."""
    site = Site(retained)
    kept = f"{new:,} new of {retained:,}"
    seen = [""]

    def prepare() -> None:
        seen[0] = site.inspection.cursor
        site.visit(new)

    def api() -> float:
        took, _, body, _ = site.ask(f"{API}/requests?after={seen[0]}")
        assert body.count(b'"started_at"') == min(new, 50)
        return took

    def poll() -> float:
        took, _, body, _ = site.ask(f"{LIST}?since={seen[0]}")
        assert body.count(b"data-fsi-place") == new
        return took

    budget = 5 if new == 50 else None
    lines = [repeated(f"API, {kept}", api, budget, prepare=prepare)]
    site.ask(LIST)
    lines.append(repeated(f"list, poll, {kept}", poll, prepare=prepare))
    site.end()
    return lines


def pages(retained: int, path: str = "/one", of_what: str = "") -> list[Line]:
    """Load each page, and ask the API for what it tells, over many records."""
    site = Site(retained, path)
    kept = of_what or f"{retained:,} retained"
    lines = []

    def asked(what: str, path: str, budget: float | None = None) -> None:
        def ask() -> float:
            took, status, _, _ = site.ask(path)
            assert status == 200
            return took

        runs = RUNS if retained < MANY else 5
        what = f"{what}, {kept}"
        lines.append(repeated(what, ask, budget, runs=runs, tell_first=True))

    asked("list, 50 rows", LIST)
    if retained >= 1000:
        asked("list, 1,000 rows", f"{LIST}?limit=1000", 100)
    asked("findings", f"{LIST}findings")
    asked("audit", f"{LIST}audit")
    newest = site.inspection.requests(1)[0].id
    asked("newest record", f"{LIST}requests/{newest}")
    oldest = site.inspection.requests(retained if retained <= 10_000 else 10_000)[-1]
    asked("old record", f"{LIST}requests/{oldest.id}")
    asked("panel of the newest", f"/_session_inspector/panel/{newest}")
    asked("API, counters", f"{API}/counters")
    asked("API, findings", f"{API}/findings")

    def one_new() -> None:
        site.visit(1, path)

    cursor = site.inspection.cursor

    def poll() -> float:
        nonlocal cursor
        took, _, body, _ = site.ask(f"{LIST}?since={cursor}")
        assert b"data-fsi-place" in body
        cursor = site.inspection.cursor
        return took

    lines.append(repeated(f"list, poll with one new, {kept}", poll, prepare=one_new))
    if retained >= MANY:
        tag = site.ask(f"{LIST}?since={cursor}")[3]
        page = f"{LIST}?since={cursor}"
        assert site.ask(page, tag)[1] == 304
        what = f"list, poll with nothing new, {kept}"
        lines.append(repeated(what, lambda: site.ask(page, tag, 50)[0], 1))
    site.end()
    return lines


SECTIONS: dict[str, cabc.Callable[[], list[Line]]] = {
    "nothing-10": lambda: nothing_new(10),
    "nothing-1000": lambda: nothing_new(1000),
    "nothing-100000": lambda: nothing_new(MANY),
    "new-1": lambda: some_new(1000, 1),
    "new-50": lambda: some_new(1000, 50),
    "pages-1000": lambda: pages(1000),
    "pages-100000": lambda: pages(MANY),
    "findings": lambda: pages(10_000, "/lost", "10,000 findings"),
    "sessions": lambda: pages(1, "/thousand", "1,000 sessions in the one request"),
}


# With 100,000 records; each was built from a request.
LONG = {"nothing-100000", "pages-100000"}


def main() -> None:
    """Measure what is named on the command line; print a table.

    Without names everything but :data:`LONG`, which takes minutes.
    """
    print("| what | first, ms | median, ms | budget, ms |")
    print("|---|---:|---:|---:|")
    for name in sys.argv[1:] or [each for each in SECTIONS if each not in LONG]:
        for line in SECTIONS[name]():
            first = "" if line.first is None else f"{line.first:,.2f}"
            budget = "" if line.budget is None else f"{line.budget:g}"
            print(f"| {line.what} | {first} | {line.median:,.2f} | {budget} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
