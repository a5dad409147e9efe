"""Renders our templates, apart from the application's own environment."""

from __future__ import annotations

import functools

from jinja2 import Environment
from jinja2 import PackageLoader
from jinja2 import StrictUndefined
from markupsafe import Markup


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
    return Markup(_environment().get_template(name).render(values))


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader(__name__.partition(".")[0]),
        autoescape=True,
        undefined=StrictUndefined,
    )
