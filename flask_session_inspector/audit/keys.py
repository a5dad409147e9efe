"""How keys of mappings are shown: what can be a secret is not.

A key can be a URL with a password, a token, or somebody's address.
"""

from __future__ import annotations

import re

from ..config import DEFAULT_SENSITIVE_KEYS
from ..masking import Masker
from ..registries import key_text
from .peek import name_of

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}\Z")
_LETTER = re.compile("[A-Za-z]")
_DIGIT = re.compile("[0-9]")
# Letters and digits of this length are more likely a token than a name.
_SHORTEST_TOKEN = 12
# What is held under the name "session" is known: it is what the audit looks for.
_masker = Masker(each for each in DEFAULT_SENSITIVE_KEYS if each != "session")


def shown_key(key: object) -> str:
    """Render the key of a mapping.

    :return: In quotes what is a name; else what tells one key from another.
    """
    kind = type(key)
    if kind is str:
        text = str(key)
        return f'"{text}"' if _is_name(text) else key_text(text)
    if kind is int or key is None:
        return key_text(key)
    return f"<{name_of(kind)} at {id(key):#x}>"


def key_step(key: object) -> str:
    """Render the step from a mapping to what it has under a key."""
    return f"[{shown_key(key)}]"


def _is_name(text: str) -> bool:
    if _PLAIN.match(text) is None or _masker.is_sensitive(text):
        return False
    mixed = _LETTER.search(text) and _DIGIT.search(text)
    return not (mixed and len(text) >= _SHORTEST_TOKEN)
