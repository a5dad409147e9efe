"""FSI107: a scope that is the same for every request."""

from __future__ import annotations

from .book import a_name
from .book import empty_registries
from .book import for_everybody
from .book import per_context
from .late import remove_session
from .scenario import Scenario
from .scenario import Way


def read_in_one_scope_for_everybody() -> str:
    # scoped_session(..., scopefunc=lambda: "everybody")
    return for_everybody.scalar(a_name) or ""


def read_in_the_scope_of_the_context() -> str:
    # scoped_session(..., scopefunc=current_context)
    return per_context.scalar(a_name) or ""


scenario = Scenario(
    code="FSI107",
    title="A registry that cannot tell visitors apart",
    look_at=(
        "Both requests show the same session and the same scope key. The registry"
        " works as it should; its scopefunc gives it nothing to go by."
    ),
    fault=Way(read_in_one_scope_for_everybody, visits=2),
    fixed=Way(read_in_the_scope_of_the_context, visits=2, shown=(remove_session,)),
    tidy=empty_registries,
)
