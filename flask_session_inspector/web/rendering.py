"""Renders our templates, apart from the application's own environment."""

from __future__ import annotations

import functools
import re

from jinja2 import Environment
from jinja2 import PackageLoader
from jinja2 import StrictUndefined
from markupsafe import Markup

from .translating import English
from .translating import gettext_markup
from .translating import language
from .translating import ngettext_markup


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
    html = _environment().get_template(name).render(values)
    return Markup(_TURNING.sub(_spelled_out, html))


# What turns the text after it around, beyond the element that it is in: a value with
# one in it would do so to the words of a sentence.
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")


def _spelled_out(sign: re.Match[str]) -> str:
    return f"\\u{ord(sign[0]):04x}"


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
    environment.filters["lang"] = _lang
    return environment


def _lang(text: str) -> Markup:
    """Mark a text that is English in a page that is not."""
    if isinstance(text, English) and language() != "en":
        return Markup('<span lang="en">{}</span>').format(text)
    return Markup.escape(text)
