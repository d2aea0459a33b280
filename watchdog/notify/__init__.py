"""Telling people: what the ledger holds unsent goes out through every channel, and nothing else waits for it."""

from __future__ import annotations

from watchdog.notify.composing import Telling
from watchdog.notify.sender import Sender

__all__ = ["Sender", "Telling"]
