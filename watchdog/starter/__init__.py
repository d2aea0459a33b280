"""`init`: the files to start from, plain or proposed from what a job exports."""

from __future__ import annotations

from watchdog.starter.files import write_proposal, write_starter
from watchdog.starter.propose import Proposal, propose

__all__ = ["Proposal", "propose", "write_proposal", "write_starter"]
