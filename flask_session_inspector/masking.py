"""What is kept out of the records: secrets in SQL, URLs and parameters."""

from __future__ import annotations

import collections.abc as cabc
import re
from urllib.parse import unquote_plus

MASK = "***"

_CAMEL = re.compile(r"([a-z0-9])([A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_WORD = re.compile(r"\w+")
_FUNCTION = re.compile(r"(\w+)\s*\(")
_NUMBER = re.compile(r"(?:_\d+)+\Z")


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
        return any(self.is_sensitive(word) for word in set(_WORD.findall(sql)))

    def parameters(self, values: cabc.Mapping[str, object]) -> dict[str, str]:
        """Render bound values as text, masking those of sensitive names."""
        return {
            storable(name): MASK
            if self.is_sensitive(name)
            else shorten(self._without_secrets(value))
            for name, value in values.items()
        }

    def without_indirect(
        self, rendered: dict[str, str], sql: str, *, raw: bool
    ) -> dict[str, str]:
        """Mask the values that can be those of a sensitive name all the same.

        The names in a raw statement are chosen freely, and SQLAlchemy names the
        argument of a function after the function.

        :param raw: The statement was written as text.
        """
        if not self.mentions_sensitive(sql):
            return rendered
        if raw:
            return self.hide(rendered)
        functions = {name.lower() for name in _FUNCTION.findall(sql)}
        return {
            name: MASK if _NUMBER.sub("", name).lower() in functions else value
            for name, value in rendered.items()
        }

    @staticmethod
    def hide(values: cabc.Mapping[str, object]) -> dict[str, str]:
        """Mask every value."""
        return dict.fromkeys(values, MASK)

    def _without_secrets(self, value: object, depth: int = 10) -> object:
        """Mask what a value for a JSON column holds under sensitive names."""
        if not isinstance(value, (dict, list, tuple)):
            return value
        if not depth:
            return MASK
        if isinstance(value, dict):
            return {
                key: MASK
                if isinstance(key, str) and self.is_sensitive(key)
                else self._without_secrets(held, depth - 1)
                for key, held in value.items()
            }
        return [self._without_secrets(held, depth - 1) for held in value]


def shorten(value: object, most: int = 200) -> str:
    """Render a bound value, cut to a length that a page can show."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # the application's own type, before it is bound
        text = f"<{type(value).__name__}>"
    text = text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"
    return storable(text)


def storable(text: str) -> str:
    """Escape what UTF-8 cannot hold (lone surrogates)."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
