"""Prometheus rules out of objectives: recordings, burn-rate alerts and the alert pack, each threshold written once."""

from __future__ import annotations

from watchdog.rulebook.directory import read_sources
from watchdog.rulebook.files import differences, write
from watchdog.rulebook.generate import MARK, generate, left_out
from watchdog.rulebook.model import Links, Sources
from watchdog.rulebook.openslo import Imported, import_openslo

__all__ = [
    "MARK",
    "Imported",
    "Links",
    "Sources",
    "differences",
    "generate",
    "import_openslo",
    "left_out",
    "read_sources",
    "write",
]
