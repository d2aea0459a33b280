"""What was heard of alerts: every firing once, however often it is told, and what people said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, insert, select, text, update

from watchdog.errors import Refused
from watchdog.ledger import tables
from watchdog.ledger.codes import plain
from watchdog.ledger.sealing import Facts
from watchdog.ledger.seals import OWN
from watchdog.ledger.sight import Sight
from watchdog.ledger.texts import chunks
from watchdog.noise.episodes import Alert, Episode, Label, Said
from watchdog.noise.own import PREFIX as OWN_PREFIX
from watchdog.noise.own import own_episodes

PREFIX = "a"
"""Ids of Alertmanager's episodes are this and the number of their row."""
MINUTE = 60
REOPENED_AFTER = 300.0
"""Seconds after its end was told from which on a firing of the same alert and start is no message that came late."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one message brought: alerts in all, firings never heard of before, and ends."""

    alerts: int = 0
    new: int = 0
    ended: int = 0


class Alerts(Sight):
    """The ledger's memory of alerts. `now` is wall time throughout."""

    def take_alerts(self, source: str, alerts: Sequence[Alert], now: float) -> Taken:
        """Record one message, with the minute in which the source was heard: all of it, or nothing."""
        told = {(alert.fingerprint, alert.started_at): alert for alert in alerts}
        with self.writing() as connection:
            connection.execute(_HEARD, {"source": source, "at": math.ceil(now / MINUTE) * MINUTE})
            known = _known(connection, source, {fingerprint for fingerprint, _ in told})
            new = [_row(source, alert, now) for key, alert in told.items() if key not in known]
            if new:
                connection.execute(insert(tables.ALERT_EPISODES), new)
            changes = [_changed(known[key], alert, now) for key, alert in told.items() if key in known]
            if changes:
                connection.execute(_CHANGE, changes)
        ended = sum(alert.ended_at is not None for alert in told.values())
        return Taken(len(alerts), len(new), ended)

    def alert_episodes(self, since: float, changed_after: float = -math.inf) -> list[Episode]:
        """Episodes that began or ended after `since` or still last, and changed after `changed_after`, by time."""
        episodes = tables.ALERT_EPISODES
        near = (episodes.c.started_at > since) | (episodes.c.seen_at > since) | (episodes.c.ended_at.is_(None))
        near |= episodes.c.ended_at > since
        where: list[ColumnElement[bool]] = [near]
        if changed_after > -math.inf:
            where.append(episodes.c.changed_at > changed_after)
        statement = select(episodes).where(*where).order_by(episodes.c.started_at, episodes.c.id)
        with self.reading() as connection:
            return [_episode(row) for row in connection.execute(statement)]

    def alert_labels(self, after: int = 0) -> list[Said]:
        """What people said, in the order in which they said it; later than the label of number `after`."""
        labels = tables.ALERT_LABELS
        with self.reading() as connection:
            rows = connection.execute(select(labels).where(labels.c.id > after).order_by(labels.c.id)).all()
        return [_said(row) for row in rows]

    def alerts_heard(self, after: int) -> list[int]:
        """The ends of the minutes later than `after` in which alerts were heard of, whatever their source."""
        heard = tables.ALERT_HEARD
        with self.reading() as connection:
            return list(
                connection.scalars(select(heard.c.at).where(heard.c.at > after).distinct().order_by(heard.c.at))
            )

    def label_episode(self, episode: str, label: Label, by: str, why: str, happened_at: float, now: float) -> Said:
        """Write down what a person says of an episode; Refused when there is none of that id."""
        number = int(episode[1:]) if episode[1:].isascii() and episode[1:].isdigit() and len(episode) < 18 else 0
        column = {PREFIX: "episode", OWN_PREFIX: "notification"}.get(episode[:1])
        if column == "notification" and all(own.id != episode for own in own_episodes(self.own_messages(of=number))):
            number = 0
        by, why = plain(by), plain(why)
        row = {"label": label.value, "by": by, "why": why, "at": now, "happened_at": happened_at}
        episodes = tables.ALERT_EPISODES
        with self.writing() as connection:
            known = column == "notification" and number > 0
            if column == "episode":
                known = connection.execute(select(episodes.c.id).where(episodes.c.id == number)).first() is not None
            if not known or column is None:
                raise Refused(f"there is no episode {episode!r}; `slo-watchdog noise list` shows them")
            facts = Facts(connection, OWN)
            (added,) = facts.insert("alert_labels", [{**row, column: number}])
            facts.seal()
            return Said(added, episode, label, by, why, now, happened_at)


_HEARD = text("INSERT INTO alert_heard (source, at) VALUES (:source, :at) ON CONFLICT DO NOTHING")
_CHANGE = (
    update(tables.ALERT_EPISODES)
    .where(tables.ALERT_EPISODES.c.id == bindparam("number"))
    .values({name: bindparam(name) for name in ("ended_at", "end_seen_at", "changed_at", "notified")})
)


def _known(connection: Connection, source: str, fingerprints: Iterable[str]) -> dict[tuple[str, float], Row[Any]]:
    episodes = tables.ALERT_EPISODES
    columns = [episodes.c[name] for name in ("id", "fingerprint", "started_at", "ended_at", "end_seen_at", "notified")]
    found = {}
    for some in chunks(sorted(fingerprints)):
        where = (episodes.c.source == source, episodes.c.fingerprint.in_(some))
        for row in connection.execute(select(*columns).where(*where)):
            found[row.fingerprint, row.started_at] = row
    return found


def _row(source: str, alert: Alert, now: float) -> dict[str, Any]:
    texts = {name: plain(getattr(alert, name)) for name in ("alertname", "service", "severity", "group_key", "url")}
    return {
        "source": source,
        "fingerprint": alert.fingerprint,
        **texts,
        "labels": _json(alert.labels),
        "annotations": _json(alert.annotations),
        "started_at": alert.started_at,
        "ended_at": alert.ended_at,
        "seen_at": now,
        "end_seen_at": None if alert.ended_at is None else now,
        "changed_at": now,
        "notified": int(alert.ended_at is None),
    }


def _changed(row: Row[Any], alert: Alert, now: float) -> dict[str, Any]:
    """What a repeat changes. An end stays, unless the alert is told to fire again a good while later."""
    ended_at, end_seen_at = row.ended_at, row.end_seen_at
    if alert.ended_at is not None and ended_at is None:
        ended_at, end_seen_at = alert.ended_at, now
    elif alert.ended_at is None and end_seen_at is not None and now - end_seen_at >= REOPENED_AFTER:
        ended_at = end_seen_at = None
    times = {"ended_at": ended_at, "end_seen_at": end_seen_at, "changed_at": now}
    return {"number": row.id, **times, "notified": row.notified + int(alert.ended_at is None)}


def _json(texts: Mapping[str, str]) -> str:
    return plain(json.dumps(dict(texts), separators=(",", ":"), ensure_ascii=False))


def _episode(row: Row[Any]) -> Episode:
    given = row._asdict()
    del given["changed_at"]
    texts = {name: json.loads(given[name]) for name in ("labels", "annotations")}
    return Episode(**{**given, **texts, "id": f"{PREFIX}{row.id}"})


def _said(row: Row[Any]) -> Said:
    episode = f"{PREFIX}{row.episode}" if row.episode is not None else f"{OWN_PREFIX}{row.notification}"
    return Said(row.id, episode, Label(row.label), row.by, row.why, row.at, row.happened_at)
