"""The proxies (``scoped_session``) of an application, and what they hold now."""

from __future__ import annotations

import hashlib
import sys
import threading
import typing as t

from sqlalchemy.orm import Session
from sqlalchemy.orm import scoped_session

from .process import process

if t.TYPE_CHECKING:
    import flask

    from .recorder import SessionFacts


class KnownRegistry:
    """A proxy, and its registry, by name.

    :param name: What records call it, such as ``"db.session"``.
    :param proxy: The ``scoped_session`` or ``async_scoped_session``.
    :ivar held: False in a condition if it certainly holds no session at all.
    :ivar by_context: Its key is the ``id()`` of the app context, as
        Flask-SQLAlchemy's is.
    :param found: It was found in a module, and nobody said that it is in use.
    """

    __slots__ = (
        "_held",
        "_registry",
        "_thread_local",
        "by_context",
        "found",
        "held",
        "name",
        "proxy",
        "proxy_id",
    )

    def __init__(self, name: str, proxy: t.Any, *, found: bool = False) -> None:
        self.name = name
        self.found = found
        self.proxy = proxy
        self.proxy_id = id(proxy)
        self._registry = proxy.registry
        # A scoped_session without a scopefunc keeps its sessions by thread.
        self._held = self._registry.registry
        self._thread_local = isinstance(self._held, threading.local)
        # What a thread holds shows only when it is asked.
        self.held: t.Any = True if self._thread_local else self._held
        scopefunc = getattr(self._registry, "scopefunc", None)
        self.by_context = (
            getattr(scopefunc, "__module__", None) == "flask_sqlalchemy.session"
            and getattr(scopefunc, "__name__", None) == "_app_ctx_id"
        )

    @property
    def may_be_asked(self) -> bool:
        """Whether to ask for the key where no session of it was used.

        The scopefunc of one that was merely found can do anything, such as load the
        current user.
        """
        return self._thread_local or not self.found

    def key(self) -> object:
        """Return the key of the current scope.

        :raises Exception: Whatever the application's scopefunc raises.
        """
        if self._thread_local:
            return threading.get_ident()
        return self._registry.scopefunc()

    def session(self, key: object) -> Session | None:
        """Return the session held under a key, without making one."""
        if self._thread_local:
            held = getattr(self._held, "value", None)
        else:
            held = self._held.get(key)
        # By its type; see is_proxy().
        if held is None or issubclass(type(held), Session):
            session: Session | None = held
        else:
            session = synchronous(held)
        return session

    def holds(self, session: Session) -> bool:
        """Say whether a session is held under any key, without asking for one."""
        if self._thread_local:
            return self.session(None) is session
        kept = list(self._held.values())
        return any(synchronous(each) is session for each in kept)

    def name_session(self, facts: SessionFacts, key: object) -> None:
        """Take note that a session is this registry's, if it is nobody's yet.

        :param key: The key under which it is held.
        """
        if facts.registry is None:
            facts.origin = "registry"
            facts.registry = self.name
            facts.proxy_id = self.proxy_id
            facts.key = key if type(key) is int else key_text(key)


def key_text(key: object) -> str:
    """Render a scope key, without asking an object of the application.

    Its ``repr()`` could load it from the database. An integer is most likely an
    ``id()``. A text may be a secret, such as a token: what counts is whether two
    keys are the same.
    """
    kind = type(key)
    if kind is int:
        return hex(t.cast(int, key))
    if kind is str:
        text = f"{process.token}{key}".encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(text)
        return f"<str {digest.hexdigest()[:8]}>"
    return repr(key) if key is None else f"<{kind.__name__} at {id(key):#x}>"


def synchronous(session: t.Any) -> t.Any:
    """Return the :class:`Session` inside an ``AsyncSession``, else the object."""
    return _as_session(session) or session


def is_proxy(candidate: object) -> bool:
    """Say whether an object is a ``scoped_session``, for asyncio or not."""
    # By its type: isinstance() asks a lazy object, such as a LocalProxy, what it
    # stands for, which can load it from the database.
    if issubclass(type(candidate), scoped_session):
        return True
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    return asyncio is not None and issubclass(
        type(candidate), asyncio.async_scoped_session
    )


# What Flask-SQLAlchemy-Lite's factories made. An ``async_sessionmaker`` leaves no
# trace of itself in what it makes, as a ``sessionmaker`` does.
_MADE_BY_EXTENSION = frozenset({"_sqlalchemy_sessions", "_sqlalchemy_async_sessions"})


def sessions_kept_in(
    namespace: dict[str, t.Any],
) -> t.Iterator[tuple[Session, str | None]]:
    """Find the sessions that an application keeps in ``flask.g``.

    :param namespace: What is in ``g``. Values are looked at as they are;
        Flask-SQLAlchemy-Lite has its own one mapping deep.
    :return: Each one, and the name under which the extension keeps it.
    """
    for name, value in list(namespace.items()):
        if name in _MADE_BY_EXTENSION and type(value) is dict:
            for kept_as, candidate in list(value.items()):
                session = _as_session(candidate)
                if session is not None:
                    yield session, str(kept_as)
        else:
            session = _as_session(value)
            if session is not None:
                yield session, None


def _as_session(candidate: object) -> Session | None:
    kind = type(candidate)  # See is_proxy().
    if issubclass(kind, Session):
        return candidate  # type: ignore[return-value] # it is one
    asyncio = sys.modules.get("sqlalchemy.ext.asyncio")
    if asyncio is not None and issubclass(kind, asyncio.AsyncSession):
        return t.cast(Session, t.cast(t.Any, candidate).sync_session)
    return None


def proxy_of_extension(extension: object) -> t.Any:
    """Return the proxy of Flask-SQLAlchemy.

    Flask-SQLAlchemy-Lite has a property of the same name, which makes a session
    when it is read: only an attribute of the instance itself is looked at.

    :return: ``None`` where there is none.
    """
    proxy = getattr(extension, "__dict__", {}).get("session")
    return proxy if is_proxy(proxy) else None


def admin_views(app: flask.Flask) -> t.Iterator[t.Any]:
    """Iterate over the views of every Flask-Admin of an application."""
    admins = app.extensions.get("admin", ())
    for admin in admins if isinstance(admins, (list, tuple)) else ():
        yield from getattr(admin, "_views", ())
