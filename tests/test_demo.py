"""The demonstration shop, in this process and as the command that serves it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import typing as t
import urllib.request

import pytest

pytest.importorskip("flask_admin", minversion="2.1")
pytest.importorskip("flask_debugtoolbar")
pytest.importorskip("flask_sqlalchemy")

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine
from sqlalchemy import func
from sqlalchemy import make_url
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from demo_app import create_app
from demo_app.database import DatabaseError
from demo_app.models import Customer
from demo_app.models import Order
from demo_app.models import Product
from demo_app.models import db
from flask_session_inspector import RequestRecord

ROOT = pathlib.Path(__file__).parent.parent
TEAPOT, WHISK = 7, 9
# Digits to str.isdigit() and int(), but not to a reader of this port number.
ARABIC = "\N{ARABIC-INDIC DIGIT FIVE}\N{ARABIC-INDIC DIGIT ZERO}"


def make_app(url: str) -> Flask:
    return create_app(
        {
            "SQLALCHEMY_DATABASE_URI": url,
            "SESSION_INSPECTOR_STRICT": True,
            "TESTING": True,
        }
    )


def dispose(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def url(tmp_path: pathlib.Path) -> str:
    """A SQLite file of its own."""
    return f"sqlite:///{tmp_path / 'shop.sqlite'}"


@pytest.fixture
def app(url: str) -> cabc.Iterator[Flask]:
    """The shop on its first day."""
    app = make_app(url)
    yield app
    dispose(app)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A visitor."""
    return app.test_client()


def latest(app: Flask, path: str) -> RequestRecord:
    inspection = app.extensions["session_inspector"]
    assert inspection.flush()
    record = inspection.requests(limit=1, path=path)[0]
    assert isinstance(record, RequestRecord)
    return record


def stock(app: Flask, product_id: int) -> int:
    with app.app_context():
        product = db.session.get(Product, product_id)
        assert product is not None
        return product.stock


def test_the_front_page_lists_what_the_database_holds(
    app: Flask, client: FlaskClient
) -> None:
    page = client.get("/").text
    with app.app_context():
        products = db.session.scalars(select(Product)).all()
        assert len(products) == 9
        for product in products:
            assert f'href="/products/{product.id}"' in page
            assert product.name in page
    assert "€12.50" in page
    assert "24 in stock" in page
    assert "Only 3 left" in page
    assert "Sold out" in page


def test_the_toolbar_has_the_panel_and_the_admin_the_page(client: FlaskClient) -> None:
    assert "flDebugSessionsPanel" in client.get("/").text
    assert 'href="/admin/sessions/"' in client.get("/admin/").text
    assert "/admin/sessions/" in client.get("/").text
    page = client.get("/admin/sessions/")
    assert page.status_code == 200
    assert re.search(r"S\d", page.text)


def test_each_request_has_a_session_of_its_own(app: Flask, client: FlaskClient) -> None:
    for path in ("/", "/orders", "/products/1", "/admin/product/", "/admin/order/"):
        assert client.get(path).status_code == 200
    inspection = app.extensions["session_inspector"]
    assert [verdict.passed for verdict in inspection.verdicts()] == [True] * 3


# Flask-Admin's select fields do what WTForms 3.3 advises against.
@pytest.mark.filterwarnings("ignore:Yielding raw tuples:DeprecationWarning")
@pytest.mark.parametrize("view", ["product", "customer", "order", "orderline"])
def test_admin_pages(client: FlaskClient, view: str) -> None:
    assert client.get(f"/admin/{view}/").status_code == 200
    assert client.get(f"/admin/{view}/new/").status_code == 200
    assert client.get(f"/admin/{view}/edit/?id=1").status_code == 200


def test_a_purchase_is_written_in_one_transaction(
    app: Flask, client: FlaskClient
) -> None:
    client.post("/basket/1", data={"quantity": "2"})
    client.post(f"/basket/{TEAPOT}", data={"quantity": "1"})
    assert "€59.00" in client.get("/basket").text
    answer = client.post(
        "/checkout",
        data={"name": "Eva Larsson", "email": "eva@example.com"},
        follow_redirects=True,
    )
    assert "Thank you!" in answer.text
    assert "Eva Larsson" in answer.text
    assert (stock(app, 1), stock(app, TEAPOT)) == (22, 8)
    (session,) = latest(app, "/checkout").sessions
    (committed,) = [t for t in session.transactions if t.outcome == "commit"]
    assert committed.writes == {
        "customer": 1,
        "orders": 1,
        "order_line": 2,
        "product": 2,
    }
    assert "There is nothing in it yet" in client.get("/basket").text


def test_a_known_customer_is_not_written_twice(app: Flask, client: FlaskClient) -> None:
    client.post("/basket/1", data={"quantity": "1"})
    client.post("/checkout", data={"name": "Ada", "email": "ada@example.com"})
    with app.app_context():
        ada = select(Customer).where(Customer.email == "ada@example.com")
        assert len(db.session.scalars(ada).one().orders) == 3


def test_what_is_sold_out_is_not_sold(app: Flask, client: FlaskClient) -> None:
    client.post("/basket/1", data={"quantity": "1"})
    client.post(f"/basket/{WHISK}", data={"quantity": "1"})
    answer = client.post(
        "/checkout",
        data={"name": "Eva", "email": "eva@example.com"},
        follow_redirects=True,
    )
    assert "Not enough on the shelf: Bamboo Whisk, 0 left." in answer.text
    assert stock(app, 1) == 24, "the other line must not have been taken"
    with app.app_context():
        assert db.session.scalar(select(func.count(Order.id))) == 5


def test_the_basket_can_be_changed(client: FlaskClient) -> None:
    client.post("/basket/1", data={"quantity": "1"})
    client.post("/basket/1", data={"quantity": "1"})
    assert 'value="2"' in client.get("/basket").text
    client.post("/basket/1", data={"quantity": "5", "change": "set"})
    assert 'value="5"' in client.get("/basket").text
    client.post("/basket/1", data={"quantity": "0", "change": "set"})
    assert "There is nothing in it yet" in client.get("/basket").text


@pytest.mark.parametrize("quantity", ["", "-1", "100", "1e3", "many", "\x00"])
def test_a_quantity_that_is_none(client: FlaskClient, quantity: str) -> None:
    answer = client.post(
        "/basket/1", data={"quantity": quantity}, follow_redirects=True
    )
    assert answer.status_code == 200
    assert "Please give a number from 0 to 99." in answer.text
    assert "There is nothing in it yet" in answer.text


@pytest.mark.parametrize(
    ("filled_in", "complaint"),
    [
        ({"name": " ", "email": "eva@example.com"}, "Please give your name"),
        ({"name": "E" * 81, "email": "eva@example.com"}, "Please give your name"),
        ({"name": "Eva", "email": "nothing"}, "Please give an e-mail address"),
        ({"name": "Eva", "email": "@example.com"}, "Please give an e-mail address"),
        ({}, "Please give your name"),
    ],
)
def test_a_checkout_that_is_not_filled_in(
    client: FlaskClient, filled_in: dict[str, str], complaint: str
) -> None:
    client.post("/basket/1", data={"quantity": "1"})
    answer = client.post("/checkout", data=filled_in)
    assert answer.status_code == 422
    assert complaint in answer.text
    assert "Misty Terrace Sencha" in answer.text


def test_an_empty_basket_cannot_be_ordered(client: FlaskClient) -> None:
    answer = client.post(
        "/checkout", data={"name": "Eva", "email": "e@x.org"}, follow_redirects=True
    )
    assert "Your basket is empty." in answer.text


@pytest.mark.parametrize("path", ["/products/999", "/nowhere", "/basket/1/2"])
def test_what_is_not_there(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "There is no such page." in answer.text


def test_what_somebody_typed_is_shown_and_not_run(client: FlaskClient) -> None:
    client.post("/basket/1", data={"quantity": "1"})
    answer = client.post("/checkout", data={"name": "<script>alert(1)</script>"})
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script>alert(1)" not in answer.text


def test_a_second_start_changes_nothing(app: Flask, url: str) -> None:
    again = make_app(url)
    with again.app_context():
        assert db.session.scalar(select(func.count(Product.id))) == 9
        assert db.session.scalar(select(func.count(Order.id))) == 5
    dispose(again)


def test_without_debug_the_shop_works_and_nothing_is_recorded(url: str) -> None:
    app = create_app({"SQLALCHEMY_DATABASE_URI": url, "DEBUG": False})
    client = app.test_client()
    page = client.get("/")
    assert page.status_code == 200
    assert "sessions/" not in page.text
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/sessions/").status_code == 404
    dispose(app)


def scratch_database(variable: str, default: str) -> cabc.Iterator[str]:
    """A database of its own on a server that runs, or a skip."""
    server = make_url(os.environ.get(variable, default))
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"demo_app_{os.getpid()}"
    try:
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name}")
        except OperationalError as error:
            if os.environ.get("SESSION_INSPECTOR_TESTS_REQUIRE_SERVICES"):
                raise
            pytest.skip(f"{server.get_backend_name()} does not answer: {error}")
        yield server.set(database=name).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def any_url(request: pytest.FixtureRequest, url: str) -> cabc.Iterator[str]:
    """An empty database of each kind that the shop knows to lock."""
    if request.param == "sqlite":
        yield url
    elif request.param == "postgresql":
        yield from scratch_database(
            "TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/test"
        )
    else:
        yield from scratch_database(
            "TEST_MARIADB_URL", "mysql+pymysql://root@127.0.0.1:3306/test"
        )


# Imports first, then waits to be told, so that all of them create at once.
WORKER = """
import demo_app
print("ready", flush=True)
input()
demo_app.create_app()
print("up")
"""


def test_several_workers_may_start_at_once(any_url: str) -> None:
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(start("-c", WORKER, DEMO_DATABASE_URL=any_url))
            for _ in range(4)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        for worker in workers:
            out, err = worker.communicate(timeout=60)
            assert (worker.returncode, out) == (0, "up\n"), err
    app = make_app(any_url)
    with app.app_context():
        assert db.session.scalar(select(func.count(Product.id))) == 9
        assert db.session.scalar(select(func.count(Order.id))) == 5
    client = app.test_client()
    client.post("/basket/1", data={"quantity": "2"})
    client.post("/checkout", data={"name": "Eva", "email": "eva@example.com"})
    assert stock(app, 1) == 22
    dispose(app)


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    env = {key: value for key, value in os.environ.items() if key != "PORT"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**env, "PYTHONIOENCODING": "utf-8", **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts() -> None:
    # A shell lets what it runs in the background ignore them, tests included.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def serve(**environment: str) -> tuple[int, str, str]:
    process = start("-m", "demo_app", **environment)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_serving_it(url: str) -> None:
    with start("-m", "demo_app", PORT="0", DEMO_DATABASE_URL=url) as process:
        try:
            look_around(process)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in err


def look_around(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    seen = ""
    while "Ctrl-C" not in seen:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        seen += line
    match = re.search(r"The shop +(http://127\.0\.0\.1:\d+)/\n", seen)
    assert match
    base = match[1]
    assert f"{base}/admin/sessions/" in seen
    assert f"{base}/scenarios/" in seen
    assert f"{base}/_session_inspector/api/requests" in seen
    with urllib.request.urlopen(f"{base}/", timeout=30) as answer:
        assert "Misty Terrace Sencha" in answer.read().decode("utf-8")
    with urllib.request.urlopen(f"{base}/admin/sessions/", timeout=30) as answer:
        assert answer.status == 200


def test_a_busy_port(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, out, err = serve(PORT=str(port), DEMO_DATABASE_URL=url)
    assert (code, out) == (1, "")
    assert err.startswith(f"Port {port} is in use by another program;")
    assert err.count("\n") == 1


@pytest.mark.parametrize("port", ["http", "-1", "65536", "5000.0", ARABIC])
def test_a_port_that_is_none(url: str, port: str) -> None:
    code, out, err = serve(PORT=port, DEMO_DATABASE_URL=url)
    assert (code, out) == (1, "")
    assert err == f"PORT must be a whole number from 0 to 65535, not {port!r}.\n"


BAD_URLS = [
    ("nonsense", "is malformed"),
    ("postgresql://u:s3cret@host:port/x", "is malformed"),
    ("nosuchdb://u:s3cret@127.0.0.1/x", "SQLAlchemy does not know"),
    ("sqlite:////no/such/folder/shop.sqlite", "unable to open database file"),
    ("postgresql+psycopg://u:s3cret@127.0.0.1:1/x", "cannot be used: "),
    ("mysql+pymysql://u:s3cret@127.0.0.1:1/x", "cannot be used: "),
]


@pytest.mark.parametrize(("bad_url", "reason"), BAD_URLS)
def test_a_bad_database_url(bad_url: str, reason: str) -> None:
    code, out, err = serve(PORT="0", DEMO_DATABASE_URL=bad_url)
    assert (code, out) == (1, "")
    assert err.startswith("The database URL (DEMO_DATABASE_URL) ")
    assert reason in err
    assert err.count("\n") == 1
    assert "s3cret" not in err


def test_a_bad_database_url_in_the_factory() -> None:
    with pytest.raises(DatabaseError, match="SQLAlchemy does not know"):
        make_app("nosuchdb://127.0.0.1/x")


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", "\N{CHECK MARK} "), ("ascii", "[ok] ")]
)
def test_the_reproduction_script(encoding: str, mark: str) -> None:
    done: t.Any = subprocess.run(
        [sys.executable, "-W", "error", "-m", "demo_app.reproduction_script"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        encoding=encoding,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for title in ("ModelView(User, db)\n", "ModelView(User, db.session)\n", "Lite\n"):
        assert title in done.stdout
    tried = done.stdout.count("Request 3: GET /admin/user/ 200")
    assert tried == 3 - done.stdout.count("Skipped: ")
    assert done.stdout.count(mark) == 3 * tried
