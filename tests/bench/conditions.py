"""Says under which conditions a process of the benchmark runs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import typing as t

import sqlalchemy

from . import pinning

_DISTRIBUTIONS = ("SQLAlchemy", "Flask", "Flask-SQLAlchemy")


def describe() -> str:
    """Return two sentences: on what, and how."""
    versions = [
        f"{platform.python_implementation()} {platform.python_version()}",
        *(f"{name} {importlib.metadata.version(name)}" for name in _DISTRIBUTIONS),
    ]
    util: t.Any = sqlalchemy.util
    if not util.has_compiled_ext():
        versions.append("SQLAlchemy without its compiled extensions")
    cores = os.cpu_count() or 1
    return (
        f"Measured with {', '.join(versions)}, on {platform.system()}"
        f" and {cores} {platform.machine()} core{'s' * (cores > 1)}."
        f" The processes were {'' if pinning.pinned() else 'not '}pinned to one core,"
        " and the layout of their memory was"
        f" {'the same in all' if pinning.laid_out() else 'left to chance'}."
    )


if __name__ == "__main__":
    print(describe())
