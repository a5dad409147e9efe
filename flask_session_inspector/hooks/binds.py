"""The names of binds."""

from __future__ import annotations

import typing as t
import weakref

from ..masking import MASK
from ..masking import storable
from ..recorder import Bind
from ..weak import Attached

if t.TYPE_CHECKING:
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import Pool

    from ..recording import Recording

# By pool: an engine with other execution options shares the pool of the first.
# Together with the application that calls it so; another may have its own name.
_by_pool: Attached[Pool, tuple[weakref.ref[Recording], Bind]] = Attached("bind")


def bind_of(engine: Engine, recording: Recording) -> Bind:
    """Return the bind of an engine.

    :param recording: Of the application in whose context it is used now.
    """
    known = _by_pool.get(engine.pool)
    if known is not None and known[0]() is recording:
        return known[1]
    name = _name_in_app(engine, recording) or _masked_url(engine)
    bind = Bind.named(name, engine.dialect.name in ("mysql", "mariadb"))
    _by_pool.set(engine.pool, (weakref.ref(recording), bind))
    return bind


def forget() -> None:
    """Forget every name."""
    _by_pool.clear()


def _name_in_app(engine: Engine, recording: Recording) -> str | None:
    """Return the name under which the application's extension knows an engine.

    Flask-SQLAlchemy's default engine has the key ``None``, Flask-SQLAlchemy-Lite's
    is called ``"default"``.
    """
    extension = recording.sqlalchemy_extension
    for attribute in ("engines", "async_engines"):
        # A property of the class that needs an app context, which there is.
        if not hasattr(type(extension), attribute):
            continue
        for name, known in getattr(extension, attribute).items():
            sync = getattr(known, "sync_engine", known)
            if sync.pool is engine.pool:
                return "default" if name is None else str(name)
    return None


def _masked_url(engine: Engine) -> str:
    """Return the engine's URL without its secrets.

    SQLAlchemy itself masks the password before the host only. A value in the query
    string can be a whole connection string, and the file of SQLite another URL.
    """
    url = engine.url.update_query_dict(dict.fromkeys(engine.url.query, MASK))
    if url.database:
        url = url.set(database=storable(url.database.partition("?")[0]))
    return url.render_as_string(hide_password=True)
