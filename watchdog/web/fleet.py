"""Every rollout of the ledger, kept ready for pages: only what changed since the last look is read and drawn again.

A rule is thawed once, slices are folded as they come, and a line is rendered when it changed: with hundreds of
rollouts a page is put together from finished pieces.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from watchdog.control import Control
from watchdog.errors import ConfigError
from watchdog.ledger import Ledger, Standing
from watchdog.model import Phase, Slice
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.watch import Watch
from watchdog.web.fleetrow import GROUPS, About, Row, Strip, row, strip_of
from watchdog.web.layout import render
from watchdog.window import Windows

BREATH = 0.02
"""Seconds between two rollouts that nobody waits for."""
SOAKED = (Phase.SOAKING, Phase.SIGNED_OFF)
"""Phases whose window is the final one."""


@dataclass(frozen=True, slots=True)
class Line:
    """A rollout's line: what it says, and its HTML."""

    row: Row
    html: str


@dataclass(slots=True)
class _Known:
    """What is remembered of one rollout."""

    about: About
    windows: Windows
    verdicts: deque[str]
    """Of the newest slices."""
    standing: Standing
    strip: Strip
    control: Control = field(default_factory=Control)
    folded: tuple[Any, ...] = ()
    """What the fold stands on: counts of slices and breaches, and the breach that took the flag back."""
    newest: int = 0
    line: Line | None = None
    stale: bool = True
    """Whether something was learnt since the line was drawn."""


class Fleet:
    """The lines of all rollouts. Threads share it; `lines` raises LedgerError."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._lock = threading.Lock()
        self._known: dict[int, _Known] = {}
        self._damaged: dict[int, int] = {}
        """Rollouts whose row cannot be understood, with the revision at which it was tried."""

    def lines(self, now: float) -> list[Line]:
        """Every line at wall time `now`: what a person is needed for, then what is under way; the newest first."""
        with self._lock:
            self._refresh()
            found = [self._line(known, now) for known in self._known.values()]
        order = {group: place for place, group in enumerate(GROUPS)}
        return sorted(found, key=lambda line: (order[line.row.group], -line.row.id))

    def warm(self, enough: Callable[[], bool]) -> None:
        """Learn what is new one by one, until it is `enough`: ticks and pages get their turn in between."""
        revisions = self.ledger.revisions()
        for number in revisions.keys() - self._known.keys() - self._damaged.keys():
            if enough():
                return
            with self._lock:
                self._learn_all([number], revisions)
            time.sleep(BREATH)
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        revisions = self.ledger.revisions()
        for kept in (self._known, self._damaged):
            for gone in kept.keys() - revisions.keys():
                del kept[gone]
        self._learn_all([n for n, revision in revisions.items() if self._revision(n) != revision], revisions)

    def _learn_all(self, changed: Sequence[int], revisions: Mapping[int, int]) -> None:
        standings = self.ledger.standings(changed) if changed else {}
        for number in changed:
            standing = standings.get(number)
            try:
                if standing is not None and self._learn(number, standing):
                    self._damaged.pop(number, None)
                    continue
            except ConfigError:
                pass  # the daemon's log and `status` name it; the others are shown
            self._damaged[number] = revisions[number]
            self._known.pop(number, None)

    def _revision(self, number: int) -> int | None:
        known = self._known.get(number)
        return known.standing.revision if known is not None else self._damaged.get(number)

    def _learn(self, number: int, standing: Standing) -> bool:
        """Take in where a rollout stands; whether it is there still. Raises ConfigError for a damaged rule."""
        known = self._known.get(number) or self._first_seen(number, standing)
        if known is None:
            return False
        known.control = Control.from_dict(standing.control) if standing.control else Control(phase=standing.phase)
        known.standing, known.stale = standing, True
        self._fold(known)
        known.strip = strip_of(known.windows, tuple(known.verdicts), standing.phase in SOAKED)
        self._known[number] = known
        return True

    def _first_seen(self, number: int, standing: Standing) -> _Known | None:
        stored = self.ledger.rollout_numbered(number)
        if stored is None:
            return None
        # The texts are most of a rule's size, and no line shows them.
        rule = replace(rollout_from_resolved(stored.resolved, stored.text, stored.name), text="", resolved="")
        told = (stored.name, stored.service, stored.version, stored.flag, stored.mode, stored.file, stored.created_at)
        windows = Windows(rule)
        strip = strip_of(windows, (), soaks=False)
        return _Known(About(number, *told, rule), windows, deque(maxlen=rule.window.slices), standing, strip)

    def _fold(self, known: _Known) -> None:
        """Bring windows and verdicts up to date: new slices are added, anything else is folded anew."""
        standing, control = known.standing, known.control
        base = (standing.breaches, control.cause, control.started_at)
        counted = (standing.slices, *base)
        if known.folded == counted:
            return
        if known.folded and known.folded[1:] == base and not standing.breaches[0]:
            added = self.ledger.slices(standing.rollout, known.newest)
            if known.folded[0] + len(added) == standing.slices:
                _keep(known, [known.windows.add(one) for one in added])
                known.folded = counted
                return
        self._fold_anew(known)
        known.folded = counted

    def _fold_anew(self, known: _Known) -> None:
        number, control = known.standing.rollout, known.control
        breaches = [fact for fact in self.ledger.breaches(number) if not fact.unconfirmed]
        told = [(fact.breach, (fact.breach.objective, fact.breach.at) == control.cause) for fact in breaches]
        watch = Watch(known.about.rule, control.started_at or 0)
        watch.load_slices(self.ledger.slices(number), told)
        known.windows = watch.windows
        known.verdicts.clear()
        _keep(known, watch.slices)

    def _line(self, known: _Known, now: float) -> Line:
        line = known.line
        if line is not None and not known.stale and now < line.row.until:
            return line
        fresh = row(known.about, known.standing, known.control, known.strip, now)
        same = line is not None and replace(line.row, until=fresh.until) == fresh
        known.line = Line(fresh, line.html if same and line is not None else _html(fresh))
        known.stale = False
        return known.line


def _keep(known: _Known, slices: Iterable[Slice]) -> None:
    for one in slices:
        known.verdicts.append(one.verdict.value)
        known.newest = one.end


def digest(lines: Iterable[Line]) -> str:
    """A short word that changes when any of the lines does."""
    found = hashlib.sha256()
    for line in lines:
        found.update(line.html.encode())
    return found.hexdigest()[:16]


def _html(found: Row) -> str:
    return render("fleet_row.html", row=found)
