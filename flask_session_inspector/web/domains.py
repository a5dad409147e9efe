"""A blueprint that answers on every host or subdomain of its application.

A page served on ``admin.example.com`` can only fetch from its own origin, so
our routes have to exist wherever the application has a page. An application
with ``host_matching`` or ``subdomain_matching`` ties each route to one domain;
there, ours take the domain as a variable that the views never see.
"""

from __future__ import annotations

import typing as t

from flask import Blueprint
from flask import current_app
from flask import has_request_context
from flask import request
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter
from werkzeug.routing import Rule

if t.TYPE_CHECKING:
    from flask import Flask
    from flask.sansio.app import App

VARIABLE = "session_inspector_domain"
_ANY_DOMAIN = f"<{VARIABLE}:{VARIABLE}>"


class _DomainConverter(BaseConverter):
    # The main domain is the empty subdomain. Werkzeug calls the subdomain of a
    # foreign host "<invalid>", and serves it where a subdomain is a variable.
    regex = "[^/]*"
    part_isolating = True
    # Before a <variable> subdomain of the application, which may have a catch-all.
    weight = 50

    def to_url(self, value: t.Any) -> str:
        # Quoting would spoil the brackets of an IPv6 address.
        return str(value)


class _EveryDomainSetupState(BlueprintSetupState):
    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: t.Callable[..., t.Any] | None = None,
        **options: t.Any,
    ) -> None:
        options[_domain_option(self.app)] = _ANY_DOMAIN
        super().add_url_rule(rule, endpoint, view_func, **options)


class EveryDomainBlueprint(Blueprint):
    """A blueprint whose routes answer on every domain of one application.

    It behaves like any other blueprint where the application does not match
    hosts or subdomains.
    """

    #: Whether :meth:`cover_domains` is to be called again with new routes.
    every_domain = False

    def mount(self, app: Flask) -> None:
        """Register it with an application; for one application only."""
        self.every_domain = app.url_map.host_matching or app.subdomain_matching
        if self.every_domain:
            app.url_map.converters[VARIABLE] = _DomainConverter
            self.url_defaults(_add_domain)
            self.url_value_preprocessor(_remove_domain)
        app.register_blueprint(self)
        if self.every_domain:
            self.cover_domains(app)

    def make_setup_state(
        self, app: App, options: dict[str, t.Any], first_registration: bool = False
    ) -> BlueprintSetupState:
        """Tie the routes to every domain, where routes are tied to one."""
        if not self.every_domain:
            return super().make_setup_state(app, options, first_registration)
        return _EveryDomainSetupState(self, app, options, first_registration)

    def cover_domains(self, app: Flask) -> None:
        """Repeat the routes for each domain that is named in another route.

        Werkzeug tries a named domain before a variable one, so a catch-all
        route of a named domain would otherwise hide ours. Call it again when
        routes were added, which is mostly done after the extensions.
        """
        option = _domain_option(app)
        prefix = f"{self.name}."
        ours: list[Rule] = []
        covered: set[str | None] = {None}
        wanted: dict[str, None] = {}
        for rule in app.url_map.iter_rules():
            domain = getattr(rule, option)
            if not str(rule.endpoint).startswith(prefix):
                if domain is not None and "<" not in domain:
                    wanted[domain] = None
            elif domain == _ANY_DOMAIN:
                ours.append(rule)
            else:
                covered.add(domain)
        for domain in wanted:
            if domain not in covered:
                for rule in ours:
                    app.url_map.add(_tied(rule, option, domain))


def _tied(rule: Rule, option: str, domain: str) -> Rule:
    # It only matches: URLs are built from the rule with more variables.
    copy = type(rule)(rule.rule, **{**rule.get_empty_kwargs(), option: domain})
    # Flask keeps this one on the rule object.
    automatic = getattr(rule, "provide_automatic_options", None)
    if automatic is not None:
        copy.provide_automatic_options = automatic  # type: ignore[attr-defined] # Flask's
    return copy


def _domain_option(app: App) -> str:
    return "host" if app.url_map.host_matching else "subdomain"


def _add_domain(endpoint: str, values: dict[str, t.Any]) -> None:
    values.setdefault(VARIABLE, _domain())


def _domain() -> str:
    """The domain being served, or else the main one, as the URL map names it."""
    url_map = current_app.url_map
    adapter = (
        # The request's own adapter is not public.
        current_app.create_url_adapter(request)
        if has_request_context()
        else current_app.create_url_adapter(None)
    )
    if adapter is None:
        return ""
    if url_map.host_matching:
        return adapter.server_name
    return adapter.subdomain or ""


def _remove_domain(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
    if values is not None:
        values.pop(VARIABLE, None)
