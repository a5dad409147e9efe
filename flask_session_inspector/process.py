"""What identifies this process, and what a fork must begin anew."""

from __future__ import annotations

import itertools
import os
import secrets
import typing as t
import weakref
from time import time


class Process:
    """The identity of the running process.

    :ivar pid: Its number, read once; asking the kernel costs a system call.
    :ivar token: Random, so that ids of several processes never collide.
    :ivar forked_at: When it was forked from its parent, in Unix seconds; ``0`` if
        it was not.
    :ivar record_numbers: Gives every record of the process a number.
    :ivar connection_numbers: Gives every pooled connection a number.
    """

    def __init__(self) -> None:
        self._forget: weakref.WeakSet[t.Any] = weakref.WeakSet()
        self.forked_at = 0.0
        self._begin()

    def _begin(self) -> None:
        self.pid = os.getpid()
        self.token = secrets.token_hex(4)
        self.record_numbers = itertools.count(1)
        self.connection_numbers = itertools.count(1)

    def begin_anew_after_fork(self, thing: t.Any) -> None:
        """Call ``thing.after_fork()`` in every child, while the thing lives."""
        self._forget.add(thing)

    def _after_fork(self) -> None:
        self._begin()
        self.forked_at = time()
        for thing in list(self._forget):
            thing.after_fork()


process = Process()
if hasattr(os, "register_at_fork"):  # Windows has no fork.
    os.register_at_fork(after_in_child=process._after_fork)
