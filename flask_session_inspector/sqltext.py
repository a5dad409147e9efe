"""What can be told from the text of a statement without parsing it."""

from __future__ import annotations

import re

from .records import StatementKind

# One pass over a statement. What is matched first wins, so that a quote inside a
# comment, or a number inside an identifier, is not taken for a literal. No
# alternative may scan far and fail: a statement can have megabytes.
_TOKENS = r"""
      (?P<comment>  LINE_COMMENT
                  | /\*(?:[^/*]|\*(?!/)|/(?!\*))*(?:\*/|\Z))
    | (?P<unclear>  (?: /\*
                      | \[(?!(?:[^][`'"]|'[^]']*'|"[^]"]*"|`[^]`]*`)*[][])
                      UNCLEAR )
                    .*)
    | (?P<string>   \$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)
                  | \b[Ee]'(?:[^'\\]|''|\\.)*(?:'(?:\s*'(?:[^'\\]|''|\\.)*)*|\Z)
                  | \b[Nn]?[Qq]'(?:\[.*?\]'|\(.*?\)'|\{.*?\}'|<.*?>'
                                  |(?P<q>[^\s[({<]).*?(?P=q)'|.*)
                  | (?:\b(?:[NnBbXx]|[Uu]&))?'(?:[^']|'')*(?:'|\Z))
    | (?P<double>   "(?:[^"]|"")*(?:"|(?P<no_end>\Z)))(?P<qualifies>\s*\.)?
    | (?P<backtick> `(?:[^`]|``)*`)
    | (?P<hidden>   `.*)
    | (?P<holder>   %\([^\W\d][^()%'"`]*\)s | :[^\W\d]\w* | \$\d+(?![\d.]))
    | (?P<word>     [^\W\d][\w$]*)
    | (?P<number>   \d[\w.]*(?:(?<=[eE])[+-]\d+)?|\.\d\w*)
    | (?P<mark>     [^\s\w])
"""


def _tokens(line_comment: str, unclear: str) -> re.Pattern[str]:
    pattern = _TOKENS.replace("LINE_COMMENT", line_comment)
    return re.compile(pattern.replace("UNCLEAR", unclear), re.VERBOSE | re.DOTALL)


_STANDARD = _tokens(r"--[^\n]*", "")
# MySQL has a comment and a string of its own. Whether a backslash before a quote
# ends the string depends on its sql_mode.
_MYSQL = _tokens(
    r"(?:--(?=\s|\Z)|\#)[^\n]*",
    r"""| '(?:[^'\\]|''|\\[^'])*\\' | "(?:[^"\\]|""|\\[^"])*\\" """,
)

# Where a double-quoted word is a value and not a name: behind one of these, or
# anywhere in the list or the call that follows one of those.
_BEFORE_VALUE = frozenset(
    [
        "=",
        "<",
        ">",
        "|",
        "~",
        "LIKE",
        "ILIKE",
        "GLOB",
        "REGEXP",
        "RLIKE",
        "MATCH",
        "BETWEEN",
        "WHEN",
        "THEN",
        "ELSE",
        "IS",
    ]
)
_OPENS_VALUES = frozenset({"IN", "VALUES"})
_ENDS_VALUES = frozenset(
    [
        "SELECT",
        "RETURNING",
        "ON",
        "WHERE",
        "SET",
        "FROM",
        "AND",
        "OR",
        "ORDER",
        "GROUP",
        "HAVING",
        "LIMIT",
        "UNION",
    ]
)

# Statements in which a plain word can be a secret, and what it then follows.
_CREDENTIALS = re.compile(
    r"""(?: ATTACH | GRANT | PRAGMA\s+(?:\w+\s*\.\s*)?\w*KEY | SET\s+PASSWORD
          | (?:CREATE|ALTER)\s+(?:USER|ROLE|LOGIN) )\b""",
    re.VERBOSE | re.IGNORECASE,
)
_BEFORE_CREDENTIAL = frozenset({"KEY", "PASSWORD", "BY", "VALUES", "=", "("})

_START = re.compile(r"(?:\s|--[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z)|\()*", re.DOTALL)
_KEYWORD = re.compile(r"[^\W\d]\w*")
_KINDS: dict[str, StatementKind] = {
    "SELECT": "select",
    "INSERT": "insert",
    "REPLACE": "insert",
    "UPDATE": "update",
    "DELETE": "delete",
}
_MAIN_WORDS = re.compile(
    r"""[()] | "[^"]*" | `[^`]*` | \[[^][]*\]
      | \b(?:SELECT|INSERT|REPLACE|UPDATE|DELETE)\b(?!\s*\()""",
    re.VERBOSE | re.IGNORECASE,
)


def sql_literals(sql: str, *, mysql: bool = False) -> str:
    """Replace the string and number literals of a statement by ``?``.

    The contents of comments go too. A double-quoted word is a name in standard
    SQL. MySQL reads a string, and so does SQLite for a name that it does not
    know: there it is masked where a value is expected. Where a statement can be
    read in two ways, such as ``[it's]``, all that follows is hidden. What stands
    in the place of a password or key is hidden even as a plain word.

    :param mysql: The statement is in the dialect of MySQL and MariaDB.
    """
    last = ""
    in_values = False
    between = False
    start = _START.match(sql)
    credentials = _CREDENTIALS.match(sql, start.end() if start else 0)

    def mask(match: re.Match[str]) -> str:
        nonlocal last, in_values, between
        text = match.group()
        kind = match.lastgroup
        if kind == "comment":
            return "--" if text[0] != "/" else "/* */"
        before, last = last, text.upper()
        if credentials and match.end() > credentials.end():
            if match["double"] is not None:
                return "?"
            if kind == "word" and before in _BEFORE_CREDENTIAL and last != "VALUES":
                return "?"
        if kind == "word":
            if last in _OPENS_VALUES:
                in_values = True
            elif last in _ENDS_VALUES:
                in_values = False
            if last == "AND" and between:
                last, between = "=", False
            elif last == "BETWEEN":
                between = True
            elif before in _BEFORE_VALUE and last not in _BEFORE_VALUE:
                # "= lower(" and "IS NOT": the value is still to come.
                last = before if last == "NOT" else "CALL"
            return text
        if kind == "mark":
            if text == "(" and (before == "CALL" or before in _BEFORE_VALUE):
                in_values = True
            return text
        if match["double"] is not None:
            value = in_values or before in _BEFORE_VALUE
            name = match["qualifies"] is not None or not value or before == "."
            return text if name and not mysql and match["no_end"] is None else "?"
        return text if kind in ("backtick", "holder") else "?"

    return (_MYSQL if mysql else _STANDARD).sub(mask, sql)


def bare_sql(sql: str, *, mysql: bool = False) -> str:
    """Take comments and the contents of strings out of a statement.

    What can be a name stays as it is.

    :param mysql: The statement is in the dialect of MySQL and MariaDB.
    """

    def strip(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind == "comment":
            return " "
        return "''" if kind in ("unclear", "string", "hidden") else match.group()

    return (_MYSQL if mysql else _STANDARD).sub(strip, sql)


def leading_keyword(sql: str) -> str:
    """Return the first word of a statement in upper case, ``""`` without one."""
    start = _START.match(sql)
    word = _KEYWORD.match(sql, start.end() if start else 0)
    return "" if word is None else word.group().upper()


def statement_kind(sql: str, *, mysql: bool = False) -> StatementKind:
    """Say what a statement does, by its leading keyword.

    Behind a ``WITH`` it is the first of the keywords that stands outside all
    parentheses.

    :param mysql: The statement is in the dialect of MySQL and MariaDB.
    """
    keyword = leading_keyword(sql)
    if keyword != "WITH":
        return _KINDS.get(keyword, "other")
    main = main_keyword(bare_sql(sql, mysql=mysql))
    return "other" if main is None else _KINDS[main.group().upper()]


def main_keyword(bare: str) -> re.Match[str] | None:
    """Find the keyword that a ``WITH`` leads to.

    :param bare: The statement without comments and strings.
    """
    depth = 0
    for match in _MAIN_WORDS.finditer(bare):
        first = bare[match.start()]
        if first == "(":
            depth += 1
        elif first == ")":
            depth -= 1
        elif depth == 0 and first not in '"`[':
            return match
    return None
