"""The panel, under the name that ``DEBUG_TB_PANELS`` takes."""

from __future__ import annotations

from .web.toolbar import SessionsPanel

__all__ = ["SessionsPanel"]
