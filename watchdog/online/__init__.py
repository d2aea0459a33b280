"""`check --online`: asks every query of every rollout once and says what is wrong with how it is written."""

from __future__ import annotations

from watchdog.online.asked import Finding
from watchdog.online.check import check_online

__all__ = ["Finding", "check_online"]
