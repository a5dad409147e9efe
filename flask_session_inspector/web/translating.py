"""Texts in the reader's language, where the translations of Flask-Admin are active.

They are active where the application has an ``Admin`` and Flask-Babel. The texts are
then looked for in Flask-Admin's own domain, ``"admin"``, which also reads the
catalogues in ``Admin(translations_path=...)``. Everywhere else they are English.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import contextvars
import logging
import sys
import typing as t

from flask import current_app
from flask import g
from flask import has_request_context
from flask import request
from markupsafe import Markup

logger = logging.getLogger("flask_session_inspector")

_MOST_TOLD = 100
_told: set[str] = set()


class English(str):
    """A text that is English in every language, since it is what was recorded."""


class _Catalogue(t.Protocol):
    def ugettext(self, message: str) -> str: ...

    def ungettext(self, singular: str, plural: str, number: int) -> str: ...


# In a tuple, since where nothing is translated there is none.
_chosen: contextvars.ContextVar[tuple[_Catalogue | None] | None]
_chosen = contextvars.ContextVar("flask_session_inspector_catalogue", default=None)


@contextlib.contextmanager
def one_language() -> cabc.Iterator[None]:
    """Choose the language once, for all that is said meanwhile.

    A page has thousands of texts, and to ask for the language takes longer than to
    translate one.
    """
    if _chosen.get() is not None:
        yield
        return
    token = _chosen.set((_catalogue(),))
    try:
        yield
    finally:
        _chosen.reset(token)


def gettext(message: str, /, **values: object) -> str:
    """Translate a text.

    :param message: English, and what a catalogue knows it by. It is a format string
        such as ``"served %(path)s"`` if there are values, and as it is if not.
    :param values: Fill the placeholders.
    :return: The English text where there is no translation that fits.
    """
    return _filled(str, message, _translated(message), values)


def ngettext(singular: str, plural: str, number: int, /, **values: object) -> str:
    """Translate a text that depends on a number.

    :param singular: English, for 1; ``plural`` for all others.
    :param values: As for :func:`gettext`; ``num`` is the number, such as ``1,204``.
    """
    english, translated = _in_number(singular, plural, number)
    return _filled(str, english, translated, {"num": f"{number:,}", **values})


def gettext_markup(message: str, /, **values: object) -> Markup:
    """Translate a text in a template, as :func:`gettext` does.

    The translation is a text too, and no markup; values may be markup.
    """
    return _filled(Markup.escape, message, _translated(message), values)


def ngettext_markup(
    singular: str, plural: str, number: int, /, **values: object
) -> Markup:
    """Translate a text in a template, as :func:`ngettext` does."""
    english, translated = _in_number(singular, plural, number)
    values = {"num": f"{number:,}", **values}
    return _filled(Markup.escape, english, translated, values)


def stated(text: str) -> str:
    """Translate a text that a record, a rule or the audit brought along.

    :return: What no catalogue has is marked as :class:`English`.
    """
    said = gettext(text)
    return English(text) if said == text else said


def language() -> str:
    """Return the code of the language that the texts are in."""
    return gettext("en")


def joined(names: cabc.Sequence[str]) -> str:
    """Join names as in a sentence: ``"A, B and C"``."""
    if len(names) > 1:
        return gettext(
            "%(names)s and %(last)s", names=", ".join(names[:-1]), last=names[-1]
        )
    return "".join(names)


def listed(names: cabc.Sequence[str], most: int = 3) -> str:
    """Join the first names, and count the others: ``"A, B and 2 more"``."""
    if len(names) > most:
        return ngettext(
            "%(names)s and %(num)s more",
            "%(names)s and %(num)s more",
            len(names) - most,
            names=", ".join(names[:most]),
        )
    return joined(names)


_Text = t.TypeVar("_Text", bound=str)


class _Values(dict[str, object]):
    """The values of a text, which can be had by their names only."""

    def __str__(self) -> str:
        # A lone "%s" would print all of them.
        raise TypeError("A placeholder has no name.")

    __repr__ = __str__


def _filled(
    as_text: cabc.Callable[[str], _Text],
    english: str,
    translated: str | None,
    values: dict[str, object],
) -> _Text:
    if not values:
        return as_text(english if translated is None else translated)
    if translated is not None and translated != english:
        try:
            return t.cast(_Text, as_text(translated) % _Values(values))
        except Exception:
            _tell(english)
    return t.cast(_Text, as_text(english) % values)


def _tell(english: str) -> None:
    """Tell of a translation that cannot be used, once."""
    if english not in _told and len(_told) < _MOST_TOLD:
        _told.add(english)
        logger.warning(
            "A translation of %r has placeholders that the text does not have, so the"
            " English text is shown.",
            english,
        )


def _translated(message: str) -> str | None:
    catalogue = _catalogue()
    # The empty message is the catalogue's header.
    return catalogue.ugettext(message) if catalogue and message else None


def _in_number(singular: str, plural: str, number: int) -> tuple[str, str | None]:
    english = singular if number == 1 else plural
    catalogue = _catalogue()
    if not catalogue:
        return english, None
    return english, catalogue.ungettext(singular, plural, number)


def _catalogue() -> _Catalogue | None:
    """Return what Flask-Admin reads translations from, if it does."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen[0]
    # An application with an Admin has imported it, and without Flask-Babel there is no
    # domain.
    domain = getattr(sys.modules.get("flask_admin.babel"), "domain", None)
    if domain is None or not has_request_context():
        return None
    extensions = current_app.extensions
    if "babel" not in extensions or not extensions.get("admin"):
        return None
    if not _may_ask_for_language():
        return None
    try:
        return _loaded(domain, extensions["admin"])
    except Exception:
        # Flask-Admin's frame around the page says so too, and louder.
        if "" not in _told:
            _told.add("")
            logger.exception("The language could not be chosen, so texts are English.")
        return None


def _may_ask_for_language() -> bool:
    """Say whether to ask for the language changes nothing of what is recorded.

    The application's locale selector may run a query. In the request that the panel
    shows, it is not asked unless the application has asked it already.
    """
    if getattr(g.get("_flask_babel"), "babel_locale", None) is not None:
        return True
    inspection = current_app.extensions.get("session_inspector")
    return inspection is not None and request.blueprint in inspection.own_blueprints


def _loaded(domain: t.Any, admins: cabc.Sequence[t.Any]) -> _Catalogue:
    if g.get("_admin_view") is not None:
        return t.cast(_Catalogue, domain.get_translations())
    # The domain finds the admin's own catalogues by the view that is being served,
    # and never looks again. Outside of a view it would miss them for good.
    admin = next((each for each in admins if each.translations_path), admins[0])
    g._admin_view = admin.index_view
    try:
        return t.cast(_Catalogue, domain.get_translations())
    finally:
        g.pop("_admin_view", None)
