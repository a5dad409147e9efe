"""How the shop writes prices."""

from __future__ import annotations


def money(cents: int) -> str:
    """Write an amount of cents: ``1250`` as ``"€12.50"``."""
    sign = "-" if cents < 0 else ""
    return f"{sign}€{abs(cents) // 100:,}.{abs(cents) % 100:02}"
