"""What PagerDuty was told of each incident of a rollout, and which events a message still needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from watchdog.errors import LedgerError
from watchdog.messages import Effect, Message
from watchdog.model import Severity
from watchdog.notifiers.base import Memo
from watchdog.notifiers.pagerduty_events import Step, dedup_key

SEVERITIES = ("info", "warning", "error", "critical")
"""PagerDuty's, quiet ones first."""
TEST = "test"
"""The kind that `notify test` sends."""
_TEST_INCIDENT = "slo-watchdog:test"


@dataclass(frozen=True, slots=True)
class Told:
    """What PagerDuty was last told of one incident: by which message, whether it is open, how loudly at most."""

    by: int
    open: bool
    severity: str

    def written(self) -> str:
        """Fit for a memo; `read_told` reads it."""
        return json.dumps({"by": self.by, "open": self.open, "severity": self.severity})


def read_told(written: str | None) -> Told | None:
    """The reverse of `written`; None for what is missing, or of another make."""
    try:
        found = json.loads(written or "null")
        told = Told(int(found["by"]), found["open"] is True, str(found["severity"]))
    except (ValueError, TypeError, KeyError):
        return None
    return told if told.severity in SEVERITIES else None


def incidents_of(message: Message) -> tuple[str, ...]:
    """The incidents that it touches, its own first."""
    return tuple(dict.fromkeys(name for name in (message.incident, *message.closes) if name))


def alerts(message: Message, told: Mapping[str, Told]) -> tuple[list[Step], list[str]]:
    """The alert events that it still needs, and a sentence for each that it does not."""
    steps, sentences = [], []
    for incident in incidents_of(message):
        ends = incident != message.incident or message.effect is Effect.RESOLVE
        if message.effect is Effect.TELL and incident not in message.closes:
            continue
        sentence = _over(message, told.get(incident)) if ends else _idle(message, told.get(incident))
        if sentence:
            sentences.append(f"{incident}: {sentence}")
        elif ends:
            steps.append(Step("resolve", incident))
        else:
            steps.append(Step("trigger", incident, _severity(message, told.get(incident))))
    return steps, sentences


def trial_step(effect: Effect, *, changes: bool) -> Step:
    """What a test sends: a change event wakes nobody, and neither does the end of an incident that never was.

    A test that is to open an incident and to end it again does that, as quietly as an incident can be.
    """
    if effect is Effect.OPEN:
        return Step("trigger", _TEST_INCIDENT)
    return Step("change") if changes and effect is Effect.TELL else Step("resolve", _TEST_INCIDENT)


def _over(message: Message, told: Told | None) -> str:
    """Why it need not be resolved. An end that is told twice does no harm; one that is not leaves people searching."""
    if told is not None and told.by > message.id:
        return "a newer message has spoken of it"
    if told is not None and told.by == message.id and not told.open:
        return "was resolved by an earlier attempt"
    return ""


def _idle(message: Message, told: Told | None) -> str:
    """Why it need not be triggered. What is only good to know updates an open incident, and opens none.

    A message that is not recorded yet has a number below 0, and is newer than all that is.
    """
    if told is not None and told.by == message.id:
        return "was told by an earlier attempt"
    if told is not None and not told.open and told.by > message.id > 0:
        return "is over already"
    if message.severity is Severity.INFO and not (told is not None and told.open):
        return "PagerDuty has no open incident of it, and a message of severity info opens none"
    return ""


def _severity(message: Message, told: Told | None) -> str:
    """Its own, or that of the open incident where it is louder: an update must not make it quieter."""
    own = {
        Severity.INFO: "info",
        Severity.WARNING: "warning",
        Severity.CRITICAL: "critical" if message.effect is Effect.ESCALATE else "error",
    }[message.severity]
    before = told.severity if told is not None and told.open else "info"
    return max(own, before, key=SEVERITIES.index)


class Book:
    """What PagerDuty was told, in the memo; and what could not be written there, in this process.

    A disk that is full must not make us tell PagerDuty the same change at every attempt.
    """

    def __init__(self, memo: Memo, rollout: str, unwritten: dict[tuple[str, str], str]) -> None:
        self._memo, self._rollout, self._unwritten = memo, rollout, unwritten

    def told(self, message: Message) -> Mapping[str, Told]:
        """What it was told of the incidents of this message."""
        found = {name: read_told(self._get(f"incident:{dedup_key(name)}")) for name in incidents_of(message)}
        return {name: told for name, told in found.items() if told is not None}

    def changed(self, message: Message) -> bool:
        """Whether it has the change event of this message."""
        return self._get(f"change:{message.id}") is not None

    def enter(self, message: Message, step: Step) -> None:
        """Note that PagerDuty has taken this step of the message."""
        if step.action == "change":
            self._put(f"change:{message.id}", "sent")
        else:
            told = Told(message.id, step.action == "trigger", step.severity)
            self._put(f"incident:{dedup_key(step.incident)}", told.written())

    def _get(self, name: str) -> str | None:
        return self._unwritten.get((self._rollout, name)) or self._memo.get(name)

    def _put(self, name: str, value: str) -> None:
        try:
            self._memo.put(name, value)
        except LedgerError:
            self._unwritten[self._rollout, name] = value
        else:
            self._unwritten.pop((self._rollout, name), None)
