"""FSI301: a thread works with the session of a request that goes on."""

from __future__ import annotations

from .book import a_name
from .book import how_many_notes
from .book import per_context
from .run import in_thread
from .run import this_app
from .scenario import Scenario
from .scenario import Way


def count_in_a_thread_with_our_session() -> str:
    session = per_context()
    name = session.scalar(a_name)
    notes = in_thread(lambda: session.scalar(how_many_notes))
    return f"{name} and {notes} notes"


def count_in_a_thread_with_its_own() -> str:
    app = this_app()

    def count() -> int | None:
        with app.app_context():
            return per_context.scalar(how_many_notes)

    name = per_context.scalar(a_name)
    notes = in_thread(count)
    return f"{name} and {notes} notes"


scenario = Scenario(
    code="FSI301",
    title="Two threads, one session",
    look_at=(
        "The finding names both threads. Here one of them waited; nothing makes"
        " it wait in general, and a session is not made for two at once."
    ),
    fault=Way(count_in_a_thread_with_our_session),
    fixed=Way(count_in_a_thread_with_its_own),
)
