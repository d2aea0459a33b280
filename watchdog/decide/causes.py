"""Telling who contributed most to a breach, once that is known. Nothing is decided on it."""

from __future__ import annotations

from watchdog.contributors import in_words
from watchdog.decide.draft import Draft
from watchdog.model import Severity


def tell_contributors(draft: Draft) -> None:
    """Tell of each breach who contributed most; of one that nobody can explain only the history does."""
    for found in draft.seen.contributed:
        words = in_words(found)
        if not found.found:
            draft.tell("contributors", f"{found.objective}: contributors not found: {words}", objective=found.objective)
            continue
        why = f"{found.objective}: most of what failed: {words}"
        draft.tell("contributors", why, objective=found.objective)
        summary, key = f"{draft.rollout.name}: {why}", f"contributors:{found.objective}:{found.breach_at}"
        draft.page("contributors", key, Severity.INFO, summary, objective=found.objective, contributors=words)
