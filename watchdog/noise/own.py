"""The pages that this program sent itself, as episodes: derived from its recorded messages, stored nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from watchdog.messages.message import Effect
from watchdog.messages.notices import NOTICES, cause_of, notice_of
from watchdog.model import Severity
from watchdog.noise.episodes import OWN, Episode

PREFIX = "w"
"""Ids of our own episodes are this and the number of the message that began them."""
BY_PERSON = frozenset({"resume", "stop"})
"""Kinds of messages that a person's command caused."""
KINDS = frozenset(notice.kind for notice in NOTICES if notice.effect is not Effect.TELL or notice.ends_all)
"""The kinds that begin or end a page."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One recorded message, in the order of its `id`."""

    id: int
    rollout: str
    service: str
    kind: str
    severity: str
    summary: str
    at: float
    details: Mapping[str, object] = field(default_factory=dict)


def own_episodes(messages: Iterable[Sent]) -> list[Episode]:
    """One episode for each incident that was opened at page severity; a later message on it is one more notification.

    It ends with the message that resolves its cause, or everything of its rollout.
    """
    open_: dict[tuple[str, str], Episode] = {}
    done: list[Episode] = []
    for sent in messages:
        notice, key = notice_of(sent.kind), (sent.rollout, cause_of(sent.kind, sent.details))
        if notice.ends_all:
            ending = [one for one in open_ if one[0] == sent.rollout]
        else:
            ending = [key] if notice.effect is Effect.RESOLVE and key in open_ else []
        for one in ending:
            episode = open_.pop(one)
            person = sent.kind in BY_PERSON
            done.append(replace(episode, ended_at=sent.at, end_seen_at=sent.at, by_person=person))
        if notice.effect in (Effect.OPEN, Effect.ESCALATE) and sent.severity == Severity.CRITICAL:
            known = open_.get(key)
            open_[key] = _begun(sent, key[1]) if known is None else replace(known, notified=known.notified + 1)
    return sorted([*done, *open_.values()], key=lambda one: (one.started_at, one.id))


def _begun(sent: Sent, cause: str) -> Episode:
    return Episode(
        f"{PREFIX}{sent.id}",
        OWN,
        f"{sent.rollout}:{cause}",
        cause,
        sent.service,
        sent.severity,
        sent.at,
        sent.at,
        group_key=sent.rollout,
        labels={"rollout": sent.rollout, "kind": sent.kind},
        annotations={"summary": sent.summary},
    )
