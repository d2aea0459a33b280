"""Can a rollout be signed off at all? Answered before it starts, from the last days of its service.

The history is judged by the live engine; what may come is drawn from what was. docs/feasibility.md says what the
numbers mean and what they do not say.
"""

from __future__ import annotations

from watchdog.feasibility.judge import SEED, feasibility
from watchdog.feasibility.result import Feasibility, Outlook, Refusal

__all__ = ["SEED", "Feasibility", "Outlook", "Refusal", "feasibility"]
