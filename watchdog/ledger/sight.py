"""How services fared, over all their rollouts: their slots, their breaches, and what was told of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select

from watchdog.ledger import tables
from watchdog.ledger.codes import REASONS, VERDICTS
from watchdog.ledger.read import Reading
from watchdog.model import Kind, Reason, Verdict
from watchdog.noise.classify import Looked
from watchdog.noise.episodes import BreachSpan
from watchdog.noise.own import KINDS, Sent

_LOW_TRAFFIC = REASONS[Reason.LOW_TRAFFIC]


class _Watched(NamedTuple):
    """A rollout's share of what was seen of its service: the slots in (started_at, last_slot]."""

    id: int
    started_at: float
    last_slot: int


class Sight(Reading):
    """The half of the ledger that tells of services rather than of rollouts."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._measures: dict[int, Mapping[str, tuple[bool, bool]]] = {}

    def looked(self, service: str, first: float, last: float) -> Looked:
        """What the slots of a service said from `first` to `last`, those of what is measured here left out.

        Unknown where no rollout of the service has recorded the whole of it. That nobody is in a cohort says nothing.
        """
        rollouts, heads = tables.ROLLOUTS, tables.HEADS
        joined = rollouts.join(heads, heads.c.rollout == rollouts.c.id)
        mine = (rollouts.c.service == service, heads.c.started_at < last, heads.c.last_slot > first)
        with self.reading() as connection:
            columns = (rollouts.c.id, heads.c.started_at, heads.c.last_slot)
            rows = connection.execute(select(*columns).select_from(joined).where(*mine)).all()
        watched = sorted((_Watched(*row) for row in rows), key=lambda one: one.started_at)
        verdicts = [self._slots(one.id, first, last) for one in watched]
        if Looked.FAILED in verdicts:
            return Looked.FAILED
        if not service or not _covered(watched, first, last):
            return Looked.UNKNOWN
        return Looked.UNKNOWN if Looked.UNKNOWN in verdicts else Looked.CLEAR

    def service_breaches(self, since: float) -> list[BreachSpan]:
        """Every breach that settled data confirms and that lasted after `since`, by time."""
        breaches, rollouts = tables.BREACHES, tables.ROLLOUTS
        joined = breaches.join(rollouts, rollouts.c.id == breaches.c.rollout)
        columns = (rollouts.c.id, rollouts.c.name, rollouts.c.service, breaches.c.objective, breaches.c.at)
        statement = (
            select(*columns, breaches.c.closed_at)
            .select_from(joined)
            .where(breaches.c.unconfirmed == 0, breaches.c.closed_at.is_(None) | (breaches.c.closed_at > since))
            .order_by(breaches.c.at, rollouts.c.id)
        )
        with self.reading() as connection:
            rows = connection.execute(statement).all()
        return [
            BreachSpan(name, service, objective, at, closed_at, self._internal(number, objective))
            for number, name, service, objective, at, closed_at in rows
        ]

    def own_messages(self, after: int = 0, since: float = 0.0, *, of: int | None = None) -> list[Sent]:
        """Recorded messages that begin or end a page, in order: of all rollouts, or of that of message number `of`.

        Those later than message number `after`, and recorded after wall time `since`.
        """
        messages, rollouts = tables.NOTIFICATIONS, tables.ROLLOUTS
        joined = messages.join(rollouts, rollouts.c.id == messages.c.rollout)
        names = ("id", "kind", "severity", "summary", "at", "details")
        columns = (*(messages.c[name] for name in names), rollouts.c.name, rollouts.c.service)
        where = [messages.c.id > after, messages.c.at > since, messages.c.kind.in_(sorted(KINDS))]
        if of is not None:
            same = select(messages.c.rollout).where(messages.c.id == of).scalar_subquery()
            where.append(messages.c.rollout == same)
        statement = select(*columns).select_from(joined).where(*where).order_by(messages.c.id)
        with self.reading() as connection:
            rows = connection.execute(statement).all()
        return [
            Sent(row.id, row.name, row.service, row.kind, row.severity, row.summary, row.at, json.loads(row.details))
            for row in rows
        ]

    def _slots(self, rollout: int, first: float, last: float) -> Looked:
        """The worst that the rollout's newest answers for the slots from `first` to `last` say."""
        table, objectives = tables.EVALUATIONS, tables.OBJECTIVES
        named = (objectives.c.rollout == table.c.rollout) & (objectives.c.objective == table.c.objective)
        columns = (table.c.at, objectives.c.name, table.c.verdict, table.c.reason)
        statement = (
            select(*columns)
            .select_from(table.join(objectives, named))
            .where(table.c.rollout == rollout, table.c.at >= int(first), table.c.at <= int(last) + 1)
            .order_by(table.c.at, table.c.objective, table.c.revision)
        )
        with self.reading() as connection:
            newest = {(row.at, row.name): (row.verdict, row.reason) for row in connection.execute(statement)}
        measures = self._measured(rollout)
        found = Looked.CLEAR
        for (_, name), (verdict, reason) in newest.items():
            internal, split = measures.get(name, (False, False))
            if internal or (split and reason == _LOW_TRAFFIC):
                continue
            if verdict == VERDICTS[Verdict.FAIL]:
                return Looked.FAILED
            if verdict == VERDICTS[Verdict.UNKNOWN]:
                found = Looked.UNKNOWN
        return found

    def _internal(self, rollout: int, objective: str) -> bool:
        return self._measured(rollout).get(objective, (False, False))[0]

    def _measured(self, rollout: int) -> Mapping[str, tuple[bool, bool]]:
        """By objective, whether it is measured here and whether it is split by cohort; a rule never changes."""
        if rollout not in self._measures:
            rollouts = tables.ROLLOUTS
            with self.reading() as connection:
                text = connection.execute(select(rollouts.c.resolved).where(rollouts.c.id == rollout)).scalar()
            rule: dict[str, Any] = json.loads(text or "{}")
            self._measures[rollout] = {
                str(one["name"]): (one.get("kind") == Kind.INTERNAL.value, _split(one))
                for one in rule.get("objectives", ())
            }
        return self._measures[rollout]


def _split(objective: Mapping[str, Any]) -> bool:
    return any("$cohort" in (objective.get(role) or "") for role in ("bad", "total", "value"))


def _covered(watched: Sequence[_Watched], first: float, last: float) -> bool:
    """Whether the rollouts, by their start, together recorded every slot from `first` to `last`."""
    reached = first
    for one in watched:
        if one.started_at <= reached:
            reached = max(reached, float(one.last_slot))
    return reached >= last
