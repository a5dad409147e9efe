"""What Flask-Admin's views hold, in themselves and in what hangs on them."""

from __future__ import annotations

import typing as t

from ..registries import proxy_of_extension
from .admins import admins_of
from .admins import views_of
from .forms import is_form
from .judge import Place
from .judge import Told
from .peek import class_attributes
from .peek import instance_attributes
from .peek import mro
from .peek import named_entries
from .step import Step
from .steps import class_steps
from .steps import own_bases
from .walk import Walk

if t.TYPE_CHECKING:
    import flask

_BACK_TO_FLASK = frozenset({"admin", "blueprint"})


def held_by_views(app: flask.Flask, walk: Walk, told: Told) -> None:
    """Tell what every view holds, and each of its forms' fields."""
    admins = admins_of(app)
    views = [view for admin in admins for view in views_of(admin)]
    classes = [kind for view in views for kind in own_bases(type(view))]
    for place in (*admins, *views, *classes):
        walk.skip(place)
    for view in views:
        where = f'admin view "{instance_attributes(view).get("endpoint")}"'
        if not walk.wants(where):
            continue
        session = _session_of(view)
        if session is not None:
            told.tell(where, session, "view", each=True)
        own = {id(session), id(proxy_of_extension(session))}
        walk.begin_place()
        for path, held, _ in walk.follow(where, _steps(view)):
            if path != f"{where}.session":
                place = _place(path, derived=id(held) in own)
                told.tell(path, held, place, each=True)


def _session_of(view: object) -> t.Any:
    """Return what ``view.session`` is, from the instance or its class."""
    attributes = instance_attributes(view)
    if "session" in attributes:
        return attributes["session"]
    for kind in mro(type(view)):
        if "session" in class_attributes(kind):
            found = class_attributes(kind)["session"]
            # A property, or another descriptor, is not asked.
            kinds = mro(type(found))
            asks = any("__get__" in class_attributes(each) for each in kinds)
            return None if asks else found
    return None


def _steps(view: object) -> t.Iterator[Step]:
    attributes = instance_attributes(view)
    for _, value in named_entries(attributes):
        if is_form(value):
            yield Step("", value, 0)
    loaders = attributes.get("_form_ajax_refs")
    if type(loaders) is dict:
        for name, loader in named_entries(loaders):
            yield Step(f' > form field "{name}" > AJAX loader', loader, 0)
    for name, value in named_entries(attributes):
        if name not in _BACK_TO_FLASK and not is_form(value):
            yield Step(f".{name}", value)
    yield from class_steps(type(view))


def _place(path: str, *, derived: bool) -> Place:
    if derived:
        return "inherited"
    if path.endswith(" > AJAX loader"):
        return "loader"
    if path.endswith(" > Unique validator"):
        return "Unique"
    return "form" if " > form field " in path else ""
