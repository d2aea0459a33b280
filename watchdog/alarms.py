"""What the ledger knows of alerts, read bit by bit: a tick reads what is new, and keeps what a day of alerts needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from watchdog.errors import LedgerError
from watchdog.ledger import Ledger
from watchdog.model import Evaluation, Objective, Rollout
from watchdog.noise.classify import Known, Looked
from watchdog.noise.episodes import DAY, Episode, Said
from watchdog.noise.objective import AlertNoise, unreadable
from watchdog.noise.own import Sent, own_episodes

BEFORE = DAY + 7200.0
"""Seconds before a slot that its count needs: a day, and what tells flapping and the edge of a page."""
OWN_BEFORE = 7 * DAY
"""Seconds further back in which the message may be that began a page of our own which still lasts."""
AGAIN = 600.0
"""Seconds of changes that are read a second time: clocks are set back, and those of two programs differ."""
OUT_OF_ORDER = 20
"""Rows that are read a second time: two programs may commit in another order than that of their numbers."""
LOOK_AGAIN = 300.0
"""Seconds after which slots that were unknown are looked at again: data that settled late may have cured them."""


def uses_noise(rollout: Rollout) -> bool:
    """Whether the rollout judges its alerts."""
    return any(objective.internal == "alert_noise" for objective in rollout.objectives)


@dataclass(slots=True)
class Alarms:
    """The memory of one reader of the ledger. Not for several threads at once."""

    since: float = math.inf
    _episodes: dict[str, Episode] = field(default_factory=dict)
    _said: dict[int, Said] = field(default_factory=dict)
    _heard: list[int] = field(default_factory=list)
    _sent: dict[int, Sent] = field(default_factory=dict)
    _read_at: float = -math.inf
    _looked: dict[tuple[str, float, float], tuple[Looked, float]] = field(default_factory=dict)

    def known(self, ledger: Ledger, after: float, until: float) -> Known:
        """All that the counts of the slots in (after, until] need. Raises LedgerError; so does its `look`."""
        since = after - BEFORE
        if since < self.since:
            self._forget(since)
        for episode in ledger.alert_episodes(since, self._read_at - AGAIN):
            self._episodes[episode.id] = episode
            changed = episode.seen_at if episode.end_seen_at is None else episode.end_seen_at
            self._read_at = max(self._read_at, changed)
        self._said.update({one.id: one for one in ledger.alert_labels(max(self._said, default=0) - OUT_OF_ORDER)})
        first = int(since) if not self._heard else self._heard[-1]
        self._heard += ledger.alerts_heard(first)
        sent = ledger.own_messages(max(self._sent, default=0) - OUT_OF_ORDER, since - OWN_BEFORE)
        self._sent.update({one.id: one for one in sent})
        self._trim(since)
        own = own_episodes(self._sent[number] for number in sorted(self._sent))
        breaches = ledger.service_breaches(since)
        episodes = (*self._episodes.values(), *own)
        return Known(episodes, tuple(self._said.values()), breaches, tuple(self._heard), self._look(ledger, until))

    def _forget(self, since: float) -> None:
        self.since, self._read_at = since, -math.inf
        for kept in (self._episodes, self._said, self._heard, self._sent, self._looked):
            kept.clear()

    def _trim(self, since: float) -> None:
        """Let go of what ended a good while before `since`; what is asked for next begins later, as time does."""
        old = since - BEFORE
        if old < self.since:
            return
        self.since = since
        self._episodes = {
            key: one for key, one in self._episodes.items() if one.ended_at is None or one.ended_at > since
        }
        self._heard = [at for at in self._heard if at > since]
        self._sent = {number: one for number, one in self._sent.items() if one.at > since - OWN_BEFORE}
        self._looked = {key: kept for key, kept in self._looked.items() if key[2] > since}

    def _look(self, ledger: Ledger, now: float) -> Callable[[str, float, float], Looked]:
        def look(service: str, first: float, last: float) -> Looked:
            kept, asked = self._looked.get((service, first, last), (Looked.UNKNOWN, -math.inf))
            if kept is Looked.UNKNOWN and now - asked >= LOOK_AGAIN:
                kept = ledger.looked(service, first, last)
                self._looked[service, first, last] = (kept, now)
            return kept

        return look

    def judge(self, ledger: Ledger, rollout: Rollout, after: int, until: int) -> Callable[[Objective, int], Evaluation]:
        """What judges the `alert_noise` objectives of a rollout in the slots in (after, until]; it never raises."""
        if after >= until or not uses_noise(rollout):
            return _unreadable
        try:
            known = self.known(ledger, after, until)
        except LedgerError:
            return _unreadable
        made: dict[str, AlertNoise] = {}

        def judged(objective: Objective, at: int) -> Evaluation:
            if objective.name not in made:
                made[objective.name] = AlertNoise(objective, rollout.service, known)
            try:
                return made[objective.name].at(at)
            except LedgerError:
                return unreadable(at)

        return judged


def _unreadable(_objective: Objective, at: int) -> Evaluation:
    return unreadable(at)
