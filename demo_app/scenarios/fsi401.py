"""FSI401: an object is asked for more than it has, after its session is gone."""

from __future__ import annotations

from sqlalchemy.orm.exc import DetachedInstanceError

from ..models import db
from .book import Taster
from .run import Run
from .scenario import Scenario
from .scenario import Way

cache: dict[str, Taster] = {}
cached_ids: dict[str, int] = {}


def keep_the_object() -> str:
    if "host" not in cache:
        cache["host"] = db.get_or_404(Taster, 1)
        return "kept"
    return f"{len(cache['host'].notes)} notes"


def keep_its_key() -> str:
    if "host" not in cached_ids:
        cached_ids["host"] = db.get_or_404(Taster, 1).id
        return "kept"
    host = db.get_or_404(Taster, cached_ids["host"])
    return f"{len(host.notes)} notes"


def tidy(run: Run) -> None:
    cache.clear()
    cached_ids.clear()


scenario = Scenario(
    code="FSI401",
    title="A cached object without its session",
    look_at=(
        "The second request failed. The finding says which session the object came"
        " from, and what detached it: the end of the first request."
    ),
    fault=Way(keep_the_object, visits=2, raises=(DetachedInstanceError,)),
    fixed=Way(keep_its_key, visits=2),
    tidy=tidy,
)
