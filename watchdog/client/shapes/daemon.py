"""Shapes of daemon: what the API takes and gives, written by `python scripts/client_shapes.py`."""

from __future__ import annotations

from typing import TypedDict


class Health(TypedDict):
    """The process answers."""

    status: str
    """Always ok."""
    version: str
    """Its version."""


class Ready(TypedDict):
    """The daemon works."""

    status: str
    """Always ready."""
    why: str
    """In words."""


class Problem(TypedDict):
    """An error (RFC 9457)."""

    type: str
    """Its kind."""
    title: str
    """Its kind in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What was found, what was expected and what to do."""
    instance: str
    """The address that was asked."""
