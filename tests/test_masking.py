"""What must not get into a record."""

from __future__ import annotations

import datetime as dt
import decimal
import sqlite3
import subprocess
import sys
import time
import typing as t
import uuid

import msgspec
import pytest
import sqlalchemy as sa
import sqlalchemy.dialects.sqlite as sqlite
from conftest import Shop
from werkzeug.routing import BaseConverter

from flask_session_inspector import RequestRecord
from flask_session_inspector.config import DEFAULT_SENSITIVE_KEYS
from flask_session_inspector.masking import Masker
from flask_session_inspector.sqltext import sql_literals

MASKER = Masker(DEFAULT_SENSITIVE_KEYS)
SECRET = "hunter2"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "new_password2",
        "user[password]",
        "passwordHash",
        "api_key",
        "apikey",
        "apiKey",
        "api-key",
        "keys",
        "apikeys",
        "api_keys",
        "db_pass",
        "pw",
        "session",
        "sessionid",
        "connect.sid",
        "sig",
        "bearer",
        "key_1",
        "X-Auth-Token",
        "pin",
        "card.pin",
        "client_secret_1",
    ],
)
def test_sensitive_names(name: str) -> None:
    assert MASKER.is_sensitive(name)


@pytest.mark.parametrize(
    "name",
    [
        *("keyboard", "author", "pinned", "passing", "page", "", "1", "name", "opt"),
        *("postcode", "country_code", "signal", "passenger", "sidebar", "design"),
    ],
)
def test_harmless_names(name: str) -> None:
    assert not MASKER.is_sensitive(name)


def test_own_sensitive_names_replace_the_defaults() -> None:
    masker = Masker(["Tax ID"])
    assert masker.is_sensitive("taxId")
    assert masker.is_sensitive("tax_id_2")
    assert not masker.is_sensitive("password")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'hunter2'",
        "SELECT 'it''s hunter2'",
        "SELECT '''hunter2'",
        "SELECT N'hunter2', n'hunter2'",
        "SELECT B'1' || x'AB' || U&'hunter2'",
        "SELECT E'it\\'s hunter2', 'hunter2'",
        "SELECT e'\\\\', 'hunter2'",
        "SELECT E'a'\n  'b\\'hunter2'",
        "SELECT 'C:\\', 'hunter2'",
        "SELECT * FROM t WHERE a LIKE 'x\\%' ESCAPE '\\' AND b = 'hunter2'",
        "SELECT $$it's hunter2$$",
        "SELECT $a1$it's $$ hunter2$a1$, 'hunter2'",
        "SELECT $ü$ it's hunter2 $ü$",
        "SELECT $$ hunter2",
        "SELECT 1 -- hunter2, it's\n, 'hunter2'",
        "SELECT 1 /* hunter2, it's */, 'hunter2'",
        "SELECT 1 /* a /* it's */ hunter2 */, 'hunter2'",
        "SELECT 1 /* hunter2",
        "SELECT '--', 'hunter2'",
        "SELECT '/*', 'hunter2', '*/'",
        "SELECT 'hunter2",
        "SELECT [it's], 'hunter2'",
        "SELECT [a\"b], 'hunter2'",
        "SELECT ARRAY['hunter2', 'x'], data['hunter2'], 'hunter2'",
        "SELECT ARRAY['a]b'], 'hunter2'",
        "SELECT `it's`, 'hunter2'",
        "SELECT \"it's\", 'hunter2'",
        "SELECT \"it''s\"\"\", 'hunter2'",
        "SELECT q'[it's hunter2]', nq'!it's hunter2!', 'hunter2'",
        "SELECT 5 %('hunter2')s",
        'SELECT * FROM users WHERE name = "hunter2"',
        'SELECT * FROM users WHERE name != "hunter2" OR name LIKE "%hunter2%"',
        'SELECT * FROM users WHERE name IN ("a", "hunter2")',
        'SELECT * FROM users WHERE name BETWEEN "a" AND "hunter2"',
        'SELECT * FROM users WHERE name = lower("hunter2")',
        'SELECT * FROM users WHERE name IS NOT "hunter2"',
        'UPDATE users SET name = name || "hunter2"',
        'SELECT CASE id WHEN "hunter2" THEN "hunter2" ELSE "hunter2" END',
        'INSERT INTO users ("name") VALUES ("x"), ("hunter2")',
        'SELECT "hunter2',
        "SELECT `hunter2",
        "ALTER USER scott IDENTIFIED BY hunter2",
        'ALTER USER scott IDENTIFIED BY "hunter2"',
        'GRANT SELECT ON t TO scott IDENTIFIED BY "hunter2"',
        "/* x */ PRAGMA key = hunter2",
        "PRAGMA main.rekey(hunter2)",
        'PRAGMA key("hunter2")',
        "ATTACH DATABASE 'x' AS y KEY hunter2",
        'ATTACH DATABASE "file:x?key=hunter2" AS y KEY "hunter2"',
        'CREATE ROLE "a" PASSWORD "hunter2"',
        "SET PASSWORD FOR x = hunter2",
        "SELECT 'a'::text, '\ud800hunter2'",
        "SELECT '\x00hunter2', 'x\r\nhunter2'",
    ],
)
def test_no_literal_gets_through(sql: str) -> None:
    assert SECRET not in sql_literals(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT \"hunter2\", 'hunter2'",
        "SELECT \"it's hunter2\", 'hunter2'",
        "SELECT 'it\\'s hunter2', 'hunter2'",
        'SELECT "it\\"s hunter2", \'hunter2\'',
        "SELECT 'C:\\', 'hunter2'",
        "SELECT 'a\\\\', 'hunter2'",
        "SELECT 1 # it's\n, 'hunter2'",
        "SELECT 1 # hunter2",
        "SELECT 5--'a\n', 'hunter2'",
        "SELECT 5 -- it's hunter2\n, 'hunter2'",
        "SELECT /*! 'hunter2' */ 1",
        "SELECT _utf8'hunter2', _utf8\"hunter2\", N'hunter2'",
        "INSERT INTO users VALUES ('a', \"hunter2\")",
        "SELECT `it's`, 'hunter2', `a``'b`, 'hunter2'",
    ],
)
def test_no_literal_of_mysql_gets_through(sql: str) -> None:
    assert SECRET not in sql_literals(sql, mysql=True)


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT 1, -2.5, 1e-5, .5, 0xFF, 1_000", "SELECT ?, -?, ?, ?, ?, ?"),
        ("SELECT arr[1:2000], x::int", "SELECT arr[?:?], x::int"),
        ("SELECT a1, b$2, _3c FROM t4", "SELECT a1, b$2, _3c FROM t4"),
        ("WHERE a = ? AND b = $2 AND c = :name", None),
        ("WHERE a = %(a_1)s AND b = %s", None),
        ("SELECT $123.45", "SELECT $?"),
        ('SELECT "user"."id" FROM "user" WHERE "user"."id" = ?', None),
        ('JOIN "post" ON "user"."id" = "post"."user_id"', None),
        ("SELECT `user`.`id` FROM `user`", None),
        ("CREATE TABLE t (password VARCHAR, PRIMARY KEY (id))", None),
        ("INSERT INTO t (a) VALUES (?) ON DUPLICATE KEY UPDATE a = ?", None),
        ("PRAGMA foreign_keys", None),
        ('PRAGMA main.table_info("member")', None),
        ("SELECT 'ß', 'a'", "SELECT ?, ?"),
        ("SELECT a FROM größe LIMIT 10", "SELECT a FROM größe LIMIT ?"),
        ("SELECT 1 /* c */ + 2 -- d", "SELECT ? /* */ + ? --"),
    ],
)
def test_what_is_no_literal_stays(sql: str, shown: str | None) -> None:
    assert sql_literals(sql) == (sql if shown is None else shown)


# Each of them makes some pattern of this kind scan to the end again and again.
PIECES = (
    *("'", "''", "%(", "[", "[]", "['", "/*", "$a", "$a$b$", "'\\", "E'", "q'[", "q'"),
    *('"a" ', "1e", "(", "`", "--\n", ":", "E'a' ", "['a'", "#", " ", "x = 'a' AND "),
)


@pytest.mark.parametrize("mysql", [False, True])
@pytest.mark.parametrize("piece", PIECES)
def test_time_grows_with_the_length_only(piece: str, mysql: bool) -> None:
    sql = piece * (200_000 // len(piece))
    began = time.process_time()
    sql_literals(sql, mysql=mysql)
    assert time.process_time() - began < 3, "1 MB would take minutes"


LINEAR = """
from flask_session_inspector.masking import Masker
from flask_session_inspector.sqltext import statement_kind
masker = Masker(["password", "key"])
for piece in ("a", "[a", "a(", "=", ":", "//", "a=", ";a", "%25", "SELECT ", "a, ",
              "INSERT(", "INSERT (a) VALUES", "a AS a,", "1", "key1", '"', " "):
    text = piece * (200_000 // len(piece))
    masker.query_string(text)
    masker.path(text)
    masker.holds_secret(text)
    for head in ("", "SELECT ", "INSERT INTO t (", "INSERT INTO t (a) VALUES (",
                 "WITH a AS (SELECT 1) "):
        masker.without_indirect({"a": "b"}, head + text, raw=False)
        statement_kind(head + text)
"""


def test_long_texts_take_time_in_proportion() -> None:
    # Where the work grows with the square of the length, this takes minutes.
    subprocess.run([sys.executable, "-c", LINEAR], check=True, timeout=60)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("token=hunter2", "token=***"),
        ("a=1&TOKEN=hunter2;api%5Fkey=hunter2&b=2", "a=1&TOKEN=***&b=2"),
        ("token=abc;hunter2", "token=***"),
        ("a=1;token=abc;hunter2", "a=1;token=***"),
        ("next=%2Flogin%3Ftoken%3Dhunter2", "next=***"),
        ("next=%252Flogin%253Ftoken%253Dhunter2&a=b", "next=***&a=b"),
        ("url=https://bob:hunter2@h/&page=2", "url=***&page=2"),
        ("url=https://bob:hun;ter2@h/", "url=***"),
        ("data=%7B%22password%22%3A%22hunter2%22%7D", "data=***"),
        ('data={"a":{"api_key" : "x;hunter2"}}', "data=***"),
        ('{"password":"hunter2=="}', "***"),
        ("token%3Dhunter2", "***"),
        ("next=/orders%3Fpage%3D2&at=10:30", "next=/orders%3Fpage%3D2&at=10:30"),
        (
            "to+ken=hunter2&user%5Bpassword%5D=hunter2",
            "to+ken=***&user%5Bpassword%5D=***",
        ),
        ("token=a=hunter2", "token=***"),
        ("token", "token"),
        ("=&&;x=", "=&&;x="),
        ("", ""),
    ],
)
def test_query_strings(query: str, shown: str) -> None:
    assert MASKER.query_string(query) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/x;token=hunter2", "/x;token=***"),
        ("/x?token=hunter2", "/x?token=***"),
        ("/x?a=1&token=hun/ter2", "/x?a=1&token=***"),
        ("/x/token%3Dhunter2/y", "/x/***/y"),
        ("/proxy/https://bob:hunter2@host/y", "/proxy/https://***@host/y"),
        ("/x;page=2/token/y:z", "/x;page=2/token/y:z"),
        ("/v1/keys:batchGet", "/v1/keys:batchGet"),
        ("/", "/"),
    ],
)
def test_names_and_values_in_paths(path: str, shown: str) -> None:
    assert MASKER.path(path) == shown


def path_of(shop: Shop, rule: str, url: str) -> str | None:
    shop.app.add_url_rule(rule, "index", lambda **values: "")
    return shop.get(url).path


@pytest.mark.parametrize(
    ("rule", "url", "shown"),
    [
        ("/reset/<token>", "/reset/hunter2", "/reset/***"),
        (
            "/reset/<path:token>",
            "/reset/a/hunter2?secret=hunter2",
            "/reset/***?secret=***",
        ),
        ("/pin/<int(fixed_digits=3):pin>", "/pin/042", "/pin/0***"),
        ("/user/<name>", "/user/ada?page=2", "/user/ada?page=2"),
        ("/user/<name>", "/user/%E4%B8%AD?a=%ff", "/user/中?a=%ff"),
        ("/x/<float:key>", "/x/1.50", "/x/***0"),
    ],
)
def test_paths(shop: Shop, rule: str, url: str, shown: str) -> None:
    assert path_of(shop, rule, url) == shown


def test_a_converted_value_in_the_path(shop: Shop) -> None:
    token = str(uuid.uuid4()).upper()
    assert path_of(shop, "/r/<uuid:token>/x", f"/r/{token}/x") == "/r/***/x"


USERS = sa.Table(
    "members",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("token", sa.String),
    sa.Column("data", sa.JSON),
)
LONG = "… (201 characters)"


class Pair(BaseConverter):
    def to_python(self, value: str) -> list[str]:
        return value.split("+")


def test_an_object_that_a_converter_made(shop: Shop) -> None:
    shop.app.url_map.converters["pair"] = Pair
    assert path_of(shop, "/p/<pair:name>", "/p/a+hunter2") == "/p/a+hunter2"


def test_a_sensitive_object_that_a_converter_made(shop: Shop) -> None:
    shop.app.url_map.converters["pair"] = Pair
    assert path_of(shop, "/p/<pair:token>", "/p/a+hunter2") == "/***"


def run(shop: Shop, *arguments: t.Any) -> RequestRecord:
    with shop.app.app_context():
        USERS.create(shop.db.engine, checkfirst=True)

    def index() -> str:
        shop.db.session.execute(*arguments)
        return ""

    shop.view(index)
    return shop.get()


def test_sql_is_masked_unless_parameters_are_captured(make_shop: t.Any) -> None:
    sql = "SELECT 'hunter2', 5"
    for captured, shown in ((False, "SELECT ?, ?"), (True, sql)):
        record = run(
            make_shop(SESSION_INSPECTOR_CAPTURE_PARAMETERS=captured), sa.text(sql)
        )
        (statement,) = record.sessions[0].statements
        assert statement.sql == shown
        assert statement.parameters == (({},) if captured else None)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((sa.text("SELECT :a, :b"), {"a": 1, "b": "x"}), ({"a": "1", "b": "x"},)),
        ((sa.text("SELECT :password"), {"password": SECRET}), ({"password": "***"},)),
        ((sa.text("SELECT :b"), {"b": b"abc"}), ({"b": "<3 bytes>"},)),
        ((sa.text("SELECT :b"), {"b": "x" * 201}), ({"b": "x" * 200 + LONG},)),
        ((sa.text("SELECT 1 AS token, :p"), {"p": SECRET}), ({"p": "***"},)),
        (
            (sa.select(USERS.c.id).where(USERS.c.token == SECRET),),
            ({"token_1": "***"},),
        ),
        (
            (sa.select(USERS.c.id).where(USERS.c.token == sa.func.lower(SECRET)),),
            ({"lower_1": "***"},),
        ),
        (
            (
                sa.select(USERS.c.id).where(USERS.c.token == sa.bindparam("p")),
                {"p": SECRET},
            ),
            ({"p": "***"},),
        ),
        (
            (sa.update(USERS).values(token=sa.case((USERS.c.id == 1, SECRET))),),
            ({"id_1": "***", "param_1": "***"},),
        ),
        (
            (
                sa.select(USERS.c.id).where(
                    sa.tuple_(USERS.c.id, USERS.c.token).in_([(1, SECRET)])
                ),
            ),
            ({"param_1_1_1": "***", "param_1_1_2": "***"},),
        ),
        (
            (
                sa.select(USERS.c.id).where(
                    USERS.c.data["password"].as_string() == SECRET
                ),
            ),
            ({"data_1": "***", "param_1": "***"},),
        ),
        (
            (
                sa.select(USERS.c.id).where(
                    USERS.c.data[("a", "password")].as_string() == SECRET
                ),
            ),
            ({"data_1": "***", "param_1": "***"},),
        ),
        (
            (
                sqlite.insert(USERS)
                .values(id=1, token=SECRET)
                .on_conflict_do_update(index_elements=["id"], set_={"token": SECRET}),
            ),
            ({"id": "***", "token": "***", "param_1": "***"},),
        ),
        (
            (sa.insert(USERS).values(id=1, token=sa.bindparam("p")), {"p": SECRET}),
            ({"id": "***", "p": "***"},),
        ),
        (
            (
                sa.insert(USERS).values(
                    [{"id": 1, "token": SECRET}, {"id": 2, "token": SECRET}]
                ),
            ),
            (
                {
                    **{"id_m0": "1", "token_m0": "***"},
                    **{"id_m1": "2", "token_m1": "***"},
                },
            ),
        ),
        (
            (
                sa.select(USERS.c.token.label("p")).where(sa.text("p = :x")),
                {"x": SECRET},
            ),
            ({"x": "***"},),
        ),
        (
            (sa.select(sa.literal(SECRET).label("token")),),
            ({"param_1": "***"},),
        ),
        (
            (sa.text("SELECT :a, :b"), {"a": '$."password"', "b": SECRET}),
            ({"a": "***", "b": "***"},),
        ),
        ((sa.text("SELECT :a"), {"a": "https://bob:hunter2@h/"}), ({"a": "***"},)),
        ((sa.text("SELECT :a"), {"a": '{"password": "hunter2"}'}), ({"a": "***"},)),
        (
            (sa.text("SELECT :a, :b"), {"a": "Turkey", "b": 1}),
            ({"a": "Turkey", "b": "1"},),
        ),
        (
            (sa.insert(USERS).values(data=[["password", SECRET], ("a", 1)]),),
            ({"data": "[['password', '***'], ('a', 1)]"},),
        ),
        (
            (sa.select(USERS.c.id, USERS.c.token).where(USERS.c.id == 7),),
            ({"id_1": "7"},),
        ),
        (
            (
                sa.insert(USERS),
                [{"id": 1, "token": SECRET}, {"id": 2, "token": SECRET}],
            ),
            ({"id": "1", "token": "***"}, {"id": "2", "token": "***"}),
        ),
        (
            (sa.insert(USERS).values(data={"a": [{"apiKey": SECRET}], "b": 1}),),
            ({"data": "{'a': [{'apiKey': '***'}], 'b': 1}"},),
        ),
    ],
)
def test_captured_parameters(
    make_shop: t.Any, arguments: t.Any, expected: t.Any
) -> None:
    record = run(make_shop(SESSION_INSPECTOR_CAPTURE_PARAMETERS=True), *arguments)
    assert record.sessions[0].statements[0].parameters == expected


def test_positional_parameters_of_a_raw_statement(make_shop: t.Any) -> None:
    shop = make_shop(SESSION_INSPECTOR_CAPTURE_PARAMETERS=True)

    def index() -> str:
        connection = shop.db.session.connection()
        connection.exec_driver_sql("SELECT ?, ?", (1, "x"))
        connection.exec_driver_sql("SELECT ? AS token", (SECRET,))
        return ""

    shop.view(index)
    first, second = shop.get().sessions[0].statements
    assert first.parameters == ({"1": "1", "2": "x"},)
    assert second.parameters == ({"1": "***"},)


class Awkward(sa.TypeDecorator[t.Any]):
    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: object, dialect: object) -> str:
        return "bound"


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("\udc80", "\\udc80"), (Unprintable(), "<Unprintable>"), (None, "None")],
)
def test_values_that_are_hard_to_show(
    make_shop: t.Any, value: object, shown: str
) -> None:
    bound = sa.bindparam("p", value, type_=Awkward)
    record = run(make_shop(SESSION_INSPECTOR_CAPTURE_PARAMETERS=True), sa.select(bound))
    assert record.sessions[0].statements[0].parameters == ({"p": shown},)
    assert msgspec.json.encode(record)


class Telltale:
    """An object that must not be asked anything."""

    def __repr__(self) -> str:
        raise AssertionError("it was asked for its text")

    __str__ = __len__ = __iter__ = __repr__  # type: ignore[assignment]

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise AssertionError("it was asked for its class")


class Text(str):
    __slots__ = ()


class Zone(dt.tzinfo):
    def __repr__(self) -> str:
        raise AssertionError("it was asked for its text")


def endless() -> list[object]:
    items: list[object] = [0] * 6
    for _ in range(30):
        items = [items] * 6
    return items


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Text(SECRET), "<Text>"),
        (dt.datetime(2024, 5, 6), "datetime.datetime(2024, 5, 6, 0, 0)"),
        (
            dt.datetime(2024, 5, 6, tzinfo=Zone()),
            "datetime.datetime(2024, 5, 6, 0, 0)",
        ),
        (decimal.Decimal("1.50"), "Decimal('1.50')"),
        (memoryview(b"abc"), "<3 bytes>"),
        ((b"abc", "x", (1,)), "(<3 bytes>, 'x', (1,))"),
        ({"a": {"token": SECRET}, 1: None}, "{'a': {'token': '***'}, 1: None}"),
        ({"a": "https://bob:hunter2@h/"}, "{'a': '***'}"),
        pytest.param(10**5000, "<int>", id="number"),
    ],
)
def test_values_are_shown_without_running_their_code(value: object, shown: str) -> None:
    assert MASKER.parameters({"p": value}) == {"p": shown}


def test_an_object_of_the_application_is_asked_nothing() -> None:
    # Pytest itself would ask it, as a parameter.
    shown = MASKER.parameters({"p": Telltale(), "q": [Telltale(), {Telltale: 1}]})
    assert shown == {"p": "<Telltale>", "q": "[<Telltale>, {<type>: 1}]"}


@pytest.mark.parametrize("value", [endless(), dict.fromkeys(range(10**6))])
def test_a_large_value_is_read_in_part(value: object) -> None:
    shown = MASKER.parameters({"p": value})["p"]
    assert len(shown) == 201
    assert shown.endswith("…")


def test_the_url_of_an_unnamed_engine_has_no_secrets(shop: Shop) -> None:
    url = sa.URL.create(
        "sqlite",
        database="file:x?key=hunter2",
        query={"odbc_connect": "PWD=hunter2", "uri": "true"},
    )
    engine = sa.create_engine(url, creator=lambda: sqlite3.connect(":memory:"))

    def index() -> str:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
        return ""

    shop.view(index)
    (bind,) = {each.bind for each in shop.get().connection_statements}
    engine.dispose()
    # Newer versions of SQLAlchemy encode the colon and older ones do not.
    masked = "x?odbc_connect=%2A%2A%2A&uri=%2A%2A%2A"
    assert bind in (f"sqlite:///file:{masked}", f"sqlite:///file%3A{masked}")
