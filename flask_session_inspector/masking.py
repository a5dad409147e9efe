"""What is kept out of the records: secrets in SQL, URLs and parameters."""

from __future__ import annotations

import collections.abc as cabc
import re
from urllib.parse import unquote_plus

MASK = "***"

_CAMEL = re.compile(r"([a-z0-9])([A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")

# One pass over a statement. What is matched first wins, so that a quote inside a
# comment, or a number inside an identifier, is not taken for a literal.
_SQL_TOKENS = r"""
      (?P<line_comment>  --[^\n]*)
    | (?P<block_comment> /\*.*?(?:\*/|\Z))
    | (?P<dollar>        \$(?P<tag>[A-Za-z_]*)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<escaped>       \b[Ee]'(?:[^'\\]|''|\\.)*(?:'|\Z))
    | (?P<string>        (?:\b[NnBbXxUu]&?)?'(?:[^'BACKSLASH]|''ESCAPE)*(?:'|\Z))
    | (?P<double>        "(?:[^"BACKSLASH]|""ESCAPE)*(?:"|\Z))(?P<qualifies>\s*\.)?
    | (?P<backtick>      `(?:[^`]|``)*(?:`|\Z))
    | (?P<placeholder>   %\([^)]*\)s | :\w+ | \$\d+)
    | (?P<word>          [^\W\d][\w$]*)
    | (?P<number>        (?:\d[\w.]*(?:(?<=[eE])[+-]\d+)?|\.\d\w*))
    | (?P<mark>          [^\s\w])
"""


def _tokens(backslash: str, escape: str) -> re.Pattern[str]:
    pattern = _SQL_TOKENS.replace("BACKSLASH", backslash).replace("ESCAPE", escape)
    return re.compile(pattern, re.VERBOSE | re.DOTALL)


_STANDARD_TOKENS = _tokens("", "")
# Only MySQL reads a backslash as an escape in an ordinary string.
_MYSQL_TOKENS = _tokens(r"\\", r"|\\.")

# Where a double-quoted word is a value and not a name: right after one of these,
# or anywhere in the list that follows one of those.
_BEFORE_VALUE = frozenset({"=", "<", ">", "LIKE", "GLOB", "REGEXP", "BETWEEN", "THEN"})
_OPENS_VALUES = frozenset({"IN", "VALUES"})
_ENDS_VALUES = frozenset({"SELECT", "RETURNING", "ON", "WHERE", "SET", "FROM", "AND"})


class Masker:
    """Masks the values of sensitive names.

    A long key such as ``password`` is sensitive wherever it occurs in a name; a
    short one such as ``key`` only as a word of it or at its end, so that
    ``api_key`` and ``apikey`` are masked and ``keyboard`` is not.

    :param keys: The sensitive names, ``SESSION_INSPECTOR_SENSITIVE_KEYS``.
    """

    def __init__(self, keys: cabc.Iterable[str]) -> None:
        words = {_NOT_WORD.sub("", key.lower()) for key in keys} - {""}
        self._long = tuple(word for word in words if len(word) > 4)
        self._short = tuple(word for word in words if len(word) <= 4)
        self._known: dict[str, bool] = {}

    def is_sensitive(self, name: str) -> bool:
        """Say whether the value of a name must be masked."""
        known = self._known.get(name)
        if known is None:
            known = self._decide(name)
            # Names come from URLs too, where a stranger chooses them.
            if len(self._known) < 1000:
                self._known[name] = known
        return known

    def _decide(self, name: str) -> bool:
        words = _NOT_WORD.split(_CAMEL.sub(r"\1_\2", name).lower())
        joined = "".join(words)
        if any(key in joined for key in self._long):
            return True
        # SQLAlchemy numbers its bind names: "api_key_1".
        words = [word.rstrip("0123456789") for word in words]
        return any(
            word.endswith(key) or word == key + "s"
            for word in words
            for key in self._short
        )

    def query_string(self, query: str) -> str:
        """Mask the values of sensitive names in a query string."""
        if not query:
            return query
        fields = []
        for field in re.split(r"([&;])", query):
            name, equals, _ = field.partition("=")
            if equals and self.is_sensitive(unquote_plus(name)):
                field = f"{name}={MASK}"
            fields.append(field)
        return "".join(fields)

    def mentions_sensitive(self, sql: str) -> bool:
        """Say whether a statement names something sensitive.

        Positional parameters of a raw statement have no names to go by.
        """
        return any(self.is_sensitive(word) for word in set(re.findall(r"\w+", sql)))

    def parameters(self, values: cabc.Mapping[str, object]) -> dict[str, str]:
        """Render bound values as text, masking those of sensitive names."""
        return {
            name: MASK if self.is_sensitive(name) else shorten(value)
            for name, value in values.items()
        }

    @staticmethod
    def hide(values: cabc.Mapping[str, object]) -> dict[str, str]:
        """Mask every value."""
        return dict.fromkeys(values, MASK)


def shorten(value: object, most: int = 200) -> str:
    """Render a bound value, cut to a length that a page can show."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def sql_literals(sql: str, *, mysql: bool = False) -> str:
    """Replace the string and number literals of a statement by ``?``.

    The contents of comments go too. A double-quoted word is a name in standard
    SQL. MySQL reads a string, and so does SQLite for a name that it does not
    know: there it is masked where a value is expected.

    :param mysql: The statement is in the dialect of MySQL and MariaDB.
    """
    before = ""
    in_values = False

    def mask(match: re.Match[str]) -> str:
        nonlocal before, in_values
        text = match.group()
        last, before = before, text.upper()
        if match["word"] is not None:
            if before in _OPENS_VALUES:
                in_values = True
            elif before in _ENDS_VALUES:
                in_values = False
            return text
        if match["mark"] is not None:
            return text
        if match["double"] is not None:
            is_value = (last in _BEFORE_VALUE or in_values) and not match["qualifies"]
            return "?" if is_value or mysql else text
        if match["backtick"] is not None or match["placeholder"] is not None:
            return text
        if match["line_comment"] is not None:
            return "--"
        return "/* */" if match["block_comment"] is not None else "?"

    return (_MYSQL_TOKENS if mysql else _STANDARD_TOKENS).sub(mask, sql)


def storable(text: str) -> str:
    """Escape what UTF-8 cannot hold (lone surrogates)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
