"""What is kept out of the records: secrets in SQL, URLs and parameters."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import decimal
import re
import typing as t
import uuid
from itertools import islice
from urllib.parse import unquote_plus

MASK = "***"

_CAMEL = re.compile(r"([a-z0-9])([A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_NOT_WORD_OR_SPACE = re.compile(r"[^a-z0-9 ]+")
_NO_NAME = re.compile(r"[^\w.\[\]-]+")
_USERINFO = re.compile(r"//[^/?#\s@]*@")

# A select list of nothing but names holds no bound value.
_SELECT = re.compile(r"""\s*SELECT\b([\w\s.,"`\[\]*]*?)\bFROM\b""", re.IGNORECASE)
_ALIAS = re.compile(r"\sAS\s", re.IGNORECASE)
_INSERT = re.compile(
    r"\s*(?:INSERT|REPLACE)\b[^()]*\(([^()]*)\)[^()]*\bVALUES\b", re.IGNORECASE
)
_WORD = re.compile(r"\w+")
# "name_m1" is that of the second row of an INSERT, "name__1" of a batch.
_ROW = re.compile(r"_(?:m|_)[0-9]+\Z")
_JSON = re.compile(r"->|#>|\[|json", re.IGNORECASE)

# The text of any other type could run the application's code, which can load
# from the database.
_SCALARS = frozenset(
    [
        *(type(None), bool, int, float, complex),
        *(dt.date, dt.timedelta, decimal.Decimal, uuid.UUID),
    ]
)
_MOMENTS = frozenset([dt.datetime, dt.time])
_BINARY = frozenset([bytes, bytearray, memoryview])
_MOST_CHARACTERS = 200
_MOST_NODES = 200


class _About(t.NamedTuple):
    """What a statement says about its bound values."""

    #: All of them can be secret.
    sensitive: bool
    #: The columns of an INSERT: values with their names belong to them.
    columns: frozenset[str]
    #: A bound value can be a path in JSON.
    json: bool


class Masker:
    """Masks the values of sensitive names.

    A long key such as ``password`` is sensitive wherever it occurs in a name; a
    short one such as ``key`` only as a word of it or at its end, so that
    ``api_key`` and ``apikeys`` are masked and ``keyboard`` is not.

    :param keys: The sensitive names, ``SESSION_INSPECTOR_SENSITIVE_KEYS``.
    """

    def __init__(self, keys: cabc.Iterable[str]) -> None:
        words = {_NOT_WORD.sub("", key.lower()) for key in keys} - {""}
        self._long = tuple(word for word in words if len(word) > 4)
        short = "|".join(sorted(word for word in words if len(word) <= 4))
        # SQLAlchemy numbers its bind names: "api_key_1".
        self._short = re.compile(rf"(?:{short})s?[0-9]*(?![a-z0-9])" if short else "$^")
        self._known: dict[str, bool] = {}
        self._statements: dict[str, _About] = {}
        self._last: tuple[str, _About] | None = None

    def is_sensitive(self, name: str) -> bool:
        """Say whether the value of a name must be masked."""
        known = self._known.get(name)
        if known is None:
            known = self._names(name, _NOT_WORD)
            # Names come from URLs too, where a stranger chooses them.
            if len(self._known) < 1000 and len(name) <= 100:
                self._known[name] = known
        return known

    def mentions_sensitive(self, text: str) -> bool:
        """Say whether one of the words in a text is a sensitive name."""
        return self._names(" ".join(_WORD.findall(text)), _NOT_WORD_OR_SPACE)

    def _names(self, text: str, between: re.Pattern[str]) -> bool:
        words = _CAMEL.sub(r"\1_\2", text).lower()
        if self._short.search(words):
            return True
        joined = between.sub("", words)
        return any(key in joined for key in self._long)

    def query_string(self, query: str) -> str:
        """Mask the values in a query string that are, or hold, secrets."""
        return "&".join(map(self._field, query.split("&")))

    def _field(self, field: str) -> str:
        name, equals, value = field.partition("=")
        if equals and (
            self.is_sensitive(_decoded(name)) or _USERINFO.search(_decoded(value))
        ):
            return self._masked_field(name)
        shown: list[str] = []
        # Some frameworks separate fields by semicolons, for others they are part
        # of the value: what follows a secret can be the rest of it.
        for part in field.split(";"):
            name, equals, value = part.partition("=")
            if equals and (
                self.is_sensitive(_decoded(name)) or self.holds_secret(value)
            ):
                return ";".join([*shown, self._masked_field(name)])
            if self.holds_secret(name):
                return ";".join([*shown, MASK])
            shown.append(part)
        return ";".join(shown)

    def _masked_field(self, name: str) -> str:
        return MASK if self.holds_secret(name) else f"{name}={MASK}"

    def path(self, path: str) -> str:
        """Mask ``name=value`` of sensitive names in a path, to the path's end.

        :param path: Decoded, without its query string.
        """
        path = _USERINFO.sub(f"//{MASK}@", path)
        shown: list[str] = []
        for segment in path.split("/"):
            end = self._secret_at(segment, "=")
            if end is not None:
                return "/".join([*shown, segment[:end] + MASK])
            hidden = "%" in segment and self.holds_secret(segment, "=")
            shown.append(MASK if hidden else segment)
        return "/".join(shown)

    def holds_secret(self, text: str, marks: str = "=:") -> bool:
        """Say whether a text holds a secret together with its name.

        That is ``token=…``, JSON with a sensitive key, or a URL with a user.

        :param text: It may be percent-encoded, more than once too.
        :param marks: What stands between a name and its value.
        """
        text = _decoded(text)
        return (
            _USERINFO.search(text) is not None
            or self._secret_at(text, marks) is not None
        )

    def _secret_at(self, text: str, marks: str) -> int | None:
        """Return where the value of the first sensitive name in a text begins."""
        for match in re.finditer(f"[{marks}]", text):
            before = text[max(0, match.start() - 100) : match.start()]
            name = _NO_NAME.split(before.rstrip(" \t\r\n\"'\\"))[-1]
            if name and self.is_sensitive(name):
                return match.end()
        return None

    def parameters(self, values: cabc.Mapping[str, object]) -> dict[str, str]:
        """Render bound values as text, masking those of sensitive names."""
        return {
            storable(name): MASK if self.is_sensitive(name) else self._render(value)
            for name, value in values.items()
        }

    def without_indirect(
        self, rendered: dict[str, str], sql: str, *, raw: bool
    ) -> dict[str, str]:
        """Mask the values that can be those of a sensitive name all the same.

        Only the values of an INSERT have the names of the columns they are for.
        Elsewhere a bound value can have any name and end up in any column that
        the statement mentions.

        :param raw: The statement was written as text.
        """
        about = self._about(sql)
        if not raw and about.columns.issuperset(_ROW.sub("", n) for n in rendered):
            return rendered
        if about.sensitive or any(
            self.mentions_sensitive(value)
            for value in rendered.values()
            if about.json or value.startswith("$")
        ):
            return self.hide(rendered)
        return rendered

    def _about(self, sql: str) -> _About:
        # It is asked for each set of values, and for each execution.
        last = self._last
        if last is not None and last[0] == sql:
            return last[1]
        about = self._statements.get(sql)
        if about is None:
            insert = _INSERT.match(sql)
            about = _About(
                self.mentions_sensitive(self._relevant(sql)),
                frozenset(_WORD.findall(insert[1]) if insert else ()),
                _JSON.search(sql) is not None,
            )
            if len(self._statements) >= 1000:
                self._statements.clear()
            if len(sql) <= 10_000:
                self._statements[sql] = about
        self._last = sql, about
        return about

    def _relevant(self, sql: str) -> str:
        """Leave out the select list of a statement, where no value is for it."""
        select = _SELECT.match(sql)
        if select is None:
            return sql
        for column in select[1].split(","):
            name, *alias = _ALIAS.split(column)
            if (
                alias
                and self.mentions_sensitive(name)
                and not self.mentions_sensitive(alias[-1])
            ):
                return sql
        return sql[select.end() :]

    @staticmethod
    def hide(values: cabc.Mapping[str, object]) -> dict[str, str]:
        """Mask every value."""
        return dict.fromkeys(values, MASK)

    def _render(self, value: object) -> str:
        """Render a bound value, cut to a length that a page can show."""
        if type(value) is not str:
            try:
                text = self._rendered(value, [_MOST_NODES], 10)
            except Exception:  # a number too long to show; changed meanwhile
                text = _type_name(value)
            most = _MOST_CHARACTERS
            return storable(text if len(text) <= most else f"{text[:most]}…")
        if self.holds_secret(value[: 5 * _MOST_CHARACTERS]):
            return MASK
        if len(value) > _MOST_CHARACTERS:
            value = f"{value[:_MOST_CHARACTERS]}… ({len(value)} characters)"
        return storable(value)

    def _rendered(self, value: object, left: list[int], depth: int) -> str:
        kind = type(value)
        if kind in _SCALARS:
            return repr(value)
        left[0] -= 1
        if type(value) is str:
            return repr(self._render(value))
        if kind in _BINARY:
            return f"<{memoryview(t.cast(bytes, value)).nbytes} bytes>"
        if kind in _MOMENTS:
            return repr(_without_zone(t.cast(dt.datetime, value)))
        if kind not in (dict, list, tuple):
            return _type_name(value)
        if not depth or left[0] <= 0:
            return "…"
        if type(value) is dict:
            shown = self._entries(value, left, depth - 1)
            return f"{{{', '.join(shown)}}}"
        items = t.cast("list[object]", value)
        inner = ", ".join(self._items(items, left, depth - 1))
        if kind is list:
            return f"[{inner}]"
        return f"({inner},)" if len(items) == 1 else f"({inner})"

    def _entries(
        self, value: dict[object, object], left: list[int], depth: int
    ) -> cabc.Iterator[str]:
        for key, held in islice(value.items(), _MOST_NODES):
            left[0] -= 1
            if left[0] <= 0:
                yield "…"
                return
            secret = type(key) is str and self.is_sensitive(key)
            shown = repr(MASK) if secret else self._rendered(held, left, depth)
            yield f"{self._rendered(key, left, depth)}: {shown}"

    def _items(
        self, value: cabc.Sequence[object], left: list[int], depth: int
    ) -> cabc.Iterator[str]:
        secret = False
        for held in islice(value, _MOST_NODES):
            left[0] -= 1
            if left[0] <= 0:
                yield "…"
                return
            yield repr(MASK) if secret else self._rendered(held, left, depth)
            # Pairs of a name and its value.
            secret = secret or (type(held) is str and self.is_sensitive(held))


def _decoded(text: str) -> str:
    for _ in range(3):
        if "%" not in text and "+" not in text:
            break
        text = unquote_plus(text)
    return text


def _without_zone(value: dt.datetime) -> dt.datetime:
    # A zone can be an object of the application.
    known = type(value.tzinfo) in (type(None), dt.timezone)
    return value if known else value.replace(tzinfo=None)


def _type_name(value: object) -> str:
    return f"<{type(value).__name__}>"


def storable(text: str) -> str:
    """Escape what UTF-8 cannot hold (lone surrogates)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
