#!/usr/bin/env python3
"""Believe a dispatch only when the daemon has signed it; whoever may write to the repository can send one."""

from __future__ import annotations

import hmac
import json
import time
from pathlib import Path
from typing import Any

import steps

from watchdog.signing import signature

FORMAT = 1
CLOCKS = 300.0
"""Seconds that two clocks may differ."""
LONGEST_QUEUE = 86_400.0
"""Seconds that a run may have waited for its runner."""


def _step() -> None:
    told = believed(_payload(), steps.setting("TRANSITION_SECRET", "notify.on_transition.secret"), time.time())
    steps.keep("event.json", told)
    steps.output(rollout=told["rollout"], phase=told["to"])
    steps.summary(f"the daemon says that {told['rollout']} is {told['to'].replace('_', ' ')}")


def _payload() -> Any:
    file = Path(steps.setting("GITHUB_EVENT_PATH", "the file of the event"))
    try:
        return json.loads(file.read_text(encoding="utf-8"))["client_payload"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise steps.StepFailed(f"the event has no client_payload ({error}); the daemon sends one") from error


def believed(payload: Any, secret: str, now: float) -> dict[str, str]:
    """What the daemon has signed. StepFailed when it has not, or long ago."""
    try:
        text, timestamp, given = (str(payload["signed"][name]) for name in ("text", "timestamp", "signature"))
    except (KeyError, TypeError) as error:
        said = "give the daemon notify.on_transition.secret_file, and TRANSITION_SECRET the same secret"
        raise steps.StepFailed(f"the event is not signed; {said}") from error
    expected = f"v1={signature(secret.encode(), timestamp, text.encode())}"
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise steps.StepFailed("the event is not signed by the daemon with TRANSITION_SECRET; nothing is done")
    if not timestamp.isdigit() or not -CLOCKS <= now - int(timestamp) <= LONGEST_QUEUE:
        raise steps.StepFailed("the event was signed too long ago, or in the future: see both clocks; nothing is done")
    told: dict[str, str] = json.loads(text)
    if told.get("format") != FORMAT:
        raise steps.StepFailed(f"the event has the format {told.get('format')!r}; this script knows {FORMAT}")
    return told


if __name__ == "__main__":
    steps.main(_step)
