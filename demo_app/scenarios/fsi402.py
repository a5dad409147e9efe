"""FSI402: an object of an earlier request still sends SQL."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ..models import db
from .book import Taster
from .run import Run
from .scenario import Scenario
from .scenario import Way


class Cache:
    """Keeps what one request loaded for the next ones."""

    host: Taster | None = None
    host_id: int | None = None
    session: Session | None = None


cache = Cache()


def keep_the_object_and_its_session() -> str:
    if cache.host is None:
        cache.session = Session(db.engine)
        cache.host = cache.session.get(Taster, 1)
        return "kept"
    return f"{len(cache.host.notes)} notes"


def keep_its_key() -> str:
    if cache.host_id is None:
        cache.host_id = db.get_or_404(Taster, 1).id
        return "kept"
    host = db.get_or_404(Taster, cache.host_id)
    return f"{len(host.notes)} notes"


def tidy(run: Run) -> None:
    if cache.session is not None:
        cache.session.close()
    cache.host = cache.host_id = cache.session = None


scenario = Scenario(
    code="FSI402",
    title="An object that outlives its request",
    look_at=(
        "The second request sends SQL on the session of the first. It works, and"
        " it may show what was true a week ago."
    ),
    fault=Way(keep_the_object_and_its_session, visits=2, shown=(Cache,)),
    fixed=Way(keep_its_key, visits=2, shown=(Cache,)),
    tidy=tidy,
)
