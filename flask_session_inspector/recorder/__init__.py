"""The raw side of a record: what is noted while a request runs.

Everything here is on the path of every request and every statement, so it
keeps references and tuples, formats nothing and decides little. A
:class:`Scope` becomes a ``RequestRecord`` in ``builder.py``, and only when somebody
looks.
"""

from __future__ import annotations

from .packing import Packed
from .packing import name_of
from .packing import pack
from .packing import place_of
from .packing import unpack
from .scope import Origin
from .scope import RecordId
from .scope import Scope
from .sessions import Busy
from .sessions import RawSession
from .sessions import SessionFacts
from .traces import NO_BIND
from .traces import Bind
from .traces import RawCheckout
from .traces import RawStatement
from .traces import RawTransaction

__all__ = [
    "NO_BIND",
    "Bind",
    "Busy",
    "Origin",
    "Packed",
    "RawCheckout",
    "RawSession",
    "RawStatement",
    "RawTransaction",
    "RecordId",
    "Scope",
    "SessionFacts",
    "name_of",
    "pack",
    "place_of",
    "unpack",
]
