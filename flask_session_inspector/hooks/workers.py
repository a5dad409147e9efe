"""Which thread or greenlet is running."""

from __future__ import annotations

import asyncio
import collections.abc as cabc
import sys
import threading
import types
import typing as t
import weakref
from threading import get_ident

# What asyncio asks itself; None outside of any event loop.
running_loop = asyncio._get_running_loop

getcurrent: t.Callable[[], object]
try:
    from greenlet import getcurrent  # type: ignore[import-untyped, no-redef] # has no types
except ImportError:  # SQLAlchemy needs it for asyncio only.
    getcurrent = get_ident


def worker() -> int:
    """Return a number that tells the running thread or greenlet from others.

    SQLAlchemy's asyncio bridge makes a greenlet for each call, which tells nothing:
    greenlets count only where gevent or eventlet switch between them.
    """
    if "gevent" in sys.modules or "eventlet" in sys.modules:
        return id(getcurrent())
    return get_ident()


def task_or_worker() -> int:
    """Return a number that tells the running task, if it is one, from others."""
    task = _task()
    return worker() if task is None else id(task)


def runner() -> object:
    """Return what runs this very call, a greenlet of any kind included."""
    return getcurrent()


def task() -> object:
    """Return what stands for the running asyncio task, ``None`` outside of any.

    It is the same object for the same task, as long as somebody keeps it, and does
    not keep the task alive.
    """
    if running_loop() is None:
        return None
    current = asyncio.current_task()
    return None if current is None else weakref.ref(current)


def name() -> str:
    """Name what is running: its thread, and its task if it is one."""
    thread = threading.current_thread().name
    task = _task()
    return thread if task is None else f"{thread} ({task.get_name()})"


def name_of_other(ident: int) -> str:
    """Name what else is running, by the number of its thread."""
    names = (each.name for each in threading.enumerate() if each.ident == ident)
    thread = next(names, "another thread")
    if ident != threading.get_ident():
        return thread
    return f"another {'greenlet' if _task() is None else 'task'} of {thread}"


def frame_of_other(
    runner: object, ident: int, inside: cabc.Set[types.CodeType]
) -> types.FrameType | None:
    """Return the frame that called one of some functions which runs elsewhere now.

    :param runner: What :func:`runner` says there.
    :param ident: The number of the thread.
    :param inside: The code of the functions.
    :return: Where it is now, if that is not inside of any of them any more.
    """
    frame: types.FrameType | None = getattr(runner, "gr_frame", None)
    if ident != threading.get_ident():
        frame = sys._current_frames().get(ident) or frame
    innermost = frame
    while frame is not None:
        if frame.f_code in inside:
            return frame.f_back
        frame = frame.f_back
    return innermost


def _task() -> t.Any:
    try:
        return asyncio.current_task()
    except RuntimeError:  # No event loop runs here.
        return None
