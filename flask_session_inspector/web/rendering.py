"""Renders our templates, apart from the application's own environment."""

from __future__ import annotations

import functools
import typing as t

from jinja2 import Environment
from jinja2 import PackageLoader
from jinja2 import StrictUndefined
from markupsafe import Markup

from .translating import English
from .translating import gettext_markup
from .translating import language
from .translating import ngettext_markup
from .translating import one_language


def render(template: str, **values: object) -> Markup:
    """Render one of our templates.

    In the application's environment its context processors would run queries in the
    request that is shown, its signals would tell of templates that are not its own,
    and its delimiters may differ. Only the frame of a page, which is Flask-Admin's,
    is rendered there.

    :param template: The name of its file.
    :return: HTML in which every value is escaped.
    """
    name = f"session_inspector/{template}"
    with one_language():
        html = _environment().get_template(name).render(values)
    for sign in _TURNING:
        html = html.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(html)


# What turns the text after it around, beyond the element that it is in: a value with
# one in it would do so to the words of a sentence.
_TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


_MOST_DRAWN = 200


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__name__.partition(".")[0]),
        autoescape=True,
        undefined=StrictUndefined,
    )
    # Jinja's own extension would take translations for markup.
    environment.globals.update(
        _=gettext_markup, ngettext=ngettext_markup, language=language
    )
    environment.globals["drawn"] = functools.lru_cache(maxsize=20)(_Drawn)
    environment.filters["lang"] = _lang
    return environment


class _Drawn(dict[t.Hashable, Markup]):
    """What a macro makes of parts that a page has in many rows.

    :param macro: Depends on nothing but the part, such as the language.
    """

    def __init__(self, macro: t.Callable[[t.Any], Markup]) -> None:
        self._macro = macro

    def __missing__(self, part: t.Hashable) -> Markup:
        if len(self) >= _MOST_DRAWN:
            self.clear()
        drawn = self[part] = self._macro(part)
        return drawn


def _lang(text: str) -> Markup:
    """Mark a text that is English in a page that is not."""
    if isinstance(text, English) and language() != "en":
        return Markup('<span lang="en">{}</span>').format(text)
    return Markup.escape(text)
