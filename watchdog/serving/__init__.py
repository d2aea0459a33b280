"""Flags for readers, from the documents that this daemon steers: OFREP evaluations and flagd's HTTP sync. No HTTP here.

A team without a flag service needs nothing else. What is answered is what the document says at that moment: a kill is
in the next answer, whichever process made it. While a document cannot be read, the last good one is served and said to
be old; nobody's flag changes for that.
"""

from __future__ import annotations

from watchdog.serving.answers import Answer, Readers
from watchdog.serving.counts import Counts, ServingMetrics
from watchdog.serving.sets import FlagSet, flag_set, sets_of

__all__ = ["Answer", "Counts", "FlagSet", "Readers", "ServingMetrics", "flag_set", "sets_of"]
