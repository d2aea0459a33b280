"""`check --online`: asks every query of every rollout once and says what is wrong with how it is written."""

from __future__ import annotations

from watchdog.online.asked import Asked, Finding
from watchdog.online.check import check_online
from watchdog.online.scrapes import ages, describe

__all__ = ["Asked", "Finding", "ages", "check_online", "describe"]
