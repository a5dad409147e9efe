"""The page "Sessions", added by itself wherever the application has no own one."""

from __future__ import annotations

import itertools
import typing as t

from flask import current_app
from flask_admin import Admin  # type: ignore[import-untyped] # has no types
from flask_admin import BaseView

from .admin import SessionsView

if t.TYPE_CHECKING:
    from flask import Blueprint
    from flask import Flask
    from flask.blueprints import BlueprintSetupState

    from ..inspection import Inspection

AUTOMATIC_ENDPOINT = "session_inspector_page"


class AutomaticSessionsView(SessionsView):
    """The page that is added by itself.

    The application may add a view of its own after it. This one cannot be taken
    back then, so it hands every request over to that view. Any other view with
    the same URL owns that address: no route of this one matches then.
    """

    def create_blueprint(self, admin: Admin) -> Blueprint:
        """Let the routes step aside for a view that has the same URL."""
        blueprint = super().create_blueprint(admin)
        blueprint.record(self._let_rules_step_aside)
        return blueprint

    def _let_rules_step_aside(self, state: BlueprintSetupState) -> None:
        url_map = state.app.url_map
        for _, name, _ in self._urls:
            for rule in url_map.iter_rules(f"{self.endpoint}.{name}"):
                rule.methods = _MethodsWhileInPlace(self, rule.methods or ())

    def is_displaced(self) -> bool:
        """Tell whether another view of its admin has the same URL."""
        admin = t.cast(Admin, self.admin)
        return _full_url(admin, self) in _urls(
            admin,
            (v for v in admin._views if not isinstance(v, AutomaticSessionsView)),
        )

    def is_visible(self) -> bool:
        """Tell whether the menu shows the page; not beside the application's own."""
        return (
            not self.is_displaced()
            and self._own_view() is None
            and super().is_visible()
        )

    def is_accessible(self) -> bool:
        """Follow the application's own view, if there is one."""
        view = self._own_view()
        if view is None:
            return bool(super().is_accessible())
        return view.is_accessible()  # type: ignore[no-any-return] # as above

    def inaccessible_callback(self, name: t.Any, **kwargs: t.Any) -> t.Any:
        """Follow the application's own view, if there is one."""
        view = self._own_view()
        if view is None:
            return super().inaccessible_callback(name, **kwargs)
        return view.inaccessible_callback(name, **kwargs)

    def _handle_view(self, name: str, **kwargs: t.Any) -> t.Any:
        view = self._own_view()
        if view is None:
            return super()._handle_view(name, **kwargs)
        return getattr(view, name)(**kwargs)

    def _own_view(self) -> SessionsView | None:
        """Return the view that the application added, its own admin's first."""
        admin = t.cast(Admin, self.admin)
        for each in (admin, *current_app.extensions.get("admin", ())):
            for view in _sessions_views(each):
                if not isinstance(view, AutomaticSessionsView):
                    return view
        return None


class _MethodsWhileInPlace(set[str]):
    """The methods of a rule, none of which matches while its view is displaced.

    The URL map takes the first rule that matches, and none can be removed. A view
    may be added in the very context that serves the request, so it is looked up
    at each match.
    """

    def __init__(self, view: AutomaticSessionsView, methods: t.Iterable[str]) -> None:
        super().__init__(methods)
        self._view = view

    def __contains__(self, method: object) -> bool:
        return super().__contains__(method) and not self._view.is_displaced()


def ensure_page(inspection: Inspection, admin: Admin, app: Flask | None = None) -> None:
    """Give an admin the page, unless the application has a :class:`SessionsView`.

    It may be called again at any time. Where another view of the admin has the
    page's URL or its endpoint, the page takes another one.

    :param inspection: Its ``own_blueprints`` learn of every such view.
    :param admin: An admin, initialised or not.
    :param app: The application of an admin that is not initialised.
    """
    app = admin.app or app
    admins = [admin, *([] if app is None else app.extensions.get("admin", []))]
    views = [view for each in admins for view in _sessions_views(each)]
    has_own = any(not isinstance(view, AutomaticSessionsView) for view in views)
    if not has_own and not any(_is_in_place(view) for view in _sessions_views(admin)):
        taken = {view.endpoint for each in admins for view in each._views}
        taken |= inspection.own_blueprints
        taken |= set() if app is None else set(app.blueprints)
        view = _automatic_view(admin, taken)
        admin.add_view(view)
        views.append(view)
    inspection.own_blueprints.update(view.endpoint for view in views)


def _is_in_place(view: SessionsView) -> bool:
    # A view has no admin until that is initialised; it is looked at again then.
    return view.admin is None or not (
        isinstance(view, AutomaticSessionsView) and view.is_displaced()
    )


def _automatic_view(admin: Admin, taken: set[str]) -> AutomaticSessionsView:
    endpoint = next(
        name
        for name in _candidates(
            AUTOMATIC_ENDPOINT, f"{AUTOMATIC_ENDPOINT}_{admin.endpoint}"
        )
        if name not in taken
    )
    urls = _urls(admin, admin._views)
    for url in _candidates("sessions", "session-inspector"):
        name = "Sessions" if url == "sessions" else "Session inspector"
        view = AutomaticSessionsView(name, endpoint=endpoint, url=url)
        if _full_url(admin, view) not in urls:
            return view
    raise AssertionError("There is always a further candidate.")


def _candidates(first: str, second: str) -> t.Iterator[str]:
    yield first
    yield second
    for number in itertools.count(2):
        yield f"{second}-{number}"


def _urls(admin: Admin, views: t.Iterable[BaseView]) -> set[str]:
    return {_full_url(admin, view) for view in views}


def _full_url(admin: Admin, view: BaseView) -> str:
    # Of a view that is not registered yet, the URL is as it was given.
    return "/" + str(view._get_view_url(admin, view.url)).strip("/")


def _sessions_views(admin: Admin) -> list[SessionsView]:
    return [view for view in admin._views if isinstance(view, SessionsView)]
