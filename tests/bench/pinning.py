"""Starts processes that all find the same conditions, as far as the platform can."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys

_ADDR_NO_RANDOMIZE = 0x0040000
_ASK = 0xFFFFFFFF


def start(module: str, incarnation: int = 0) -> subprocess.Popen[str]:
    """Start a module as a process with pipes.

    :param incarnation: Those with the same number have the same layout of their
        memory, and those with another have another: a layout can be lucky.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": str(incarnation)},
        preexec_fn=_pin,
    )


def run(module: str, *lines: str) -> str:
    """Run a module in a process of its own.

    :param lines: What it reads.
    :return: What it prints.
    """
    process = start(module)
    printed, _ = process.communicate("".join(f"{line}\n" for line in lines))
    if process.returncode:
        raise RuntimeError(f"{module} has failed.")
    return printed.strip()


def _cpu() -> int:
    # The last one: the first has more to do with interrupts.
    return int(os.environ.get("BENCH_CPU") or max(os.sched_getaffinity(0)))


def _pin() -> None:
    # All on the same processor: only one of them works at a time.
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {_cpu()})
    # All with the same layout of their memory, which matters to the caches.
    if sys.platform == "linux":
        ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)


def pinned() -> bool:
    """Say whether this process has one processor to run on."""
    return hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1


def laid_out() -> bool:
    """Say whether the layout of this process's memory is not left to chance."""
    if sys.platform != "linux":
        return False
    personality = ctypes.CDLL(None).personality
    personality.argtypes = [ctypes.c_ulong]
    return bool(personality(_ASK) & _ADDR_NO_RANDOMIZE)
