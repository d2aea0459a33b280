"""The daemon's HTTP side: health, metrics, the JSON API with operator commands, and a plain status page."""

from __future__ import annotations

from watchdog.web.app import create_app
from watchdog.web.server import Server

__all__ = ["Server", "create_app"]
