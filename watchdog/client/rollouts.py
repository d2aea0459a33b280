"""Rollouts over HTTP: what they are, what happened to them, their reports, and what came of orders."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from watchdog.client.connection import Connection, part
from watchdog.client.errors import Unreachable
from watchdog.client.shapes.preflights import Waiver
from watchdog.client.shapes.rollouts import Command, Evaluation, Evaluations, Status, Transition
from watchdog.client.shapes.story import Breach, Detector, Notification, Slice
from watchdog.client.tagged import Tagged, tagged
from watchdog.quantities import rfc3339

ROLLOUTS = "/api/v1/rollouts"


@dataclass(frozen=True, slots=True)
class Report:
    """A report: its bytes and how to read them, which one it is (`final`, `interim`, `now`), and the bytes' sha256."""

    content: bytes
    media_type: str
    kind: str
    sha256: str


class Rollouts:
    """The part of the client that is about rollouts. Everything raises ClientError."""

    _connection: Connection

    def rollouts(self) -> list[Status]:
        """The status of every rollout, oldest first."""
        return list(self._connection.every(ROLLOUTS, "rollouts"))

    def rollout(self, rollout: str) -> Status:
        """The status of one rollout, by its name."""
        return cast("Status", self._connection.ask("GET", _of(rollout)).json)

    def rollout_since(self, rollout: str, known: Tagged[Status] | None = None) -> Tagged[Status]:
        """The same with its ETag; `known` itself where nothing has changed since. For who looks again and again."""
        headers = {"If-None-Match": known.etag} if known is not None else {}
        return tagged(self._connection.ask("GET", _of(rollout), headers=headers, plain=True), known)

    def transitions(self, rollout: str) -> list[Transition]:
        """What happened to it, in order."""
        return list(self._connection.every(_of(rollout, "transitions"), "transitions"))

    def commands(self, rollout: str) -> list[Command]:
        """Every order to it with what came of it, oldest first."""
        return list(self._connection.every(_of(rollout, "commands"), "commands"))

    def explanation(self, rollout: str, at: float | None = None) -> str:
        """The rollout in plain words, for a person; `at` in epoch seconds, the newest slot by default."""
        query = {"at": rfc3339(at)} if at is not None else {}
        return str(self._connection.ask("GET", _of(rollout, "explanation"), query=query).json["text"])

    def slices(self, rollout: str) -> list[Slice]:
        """The slices of its window, oldest first."""
        return list(self._connection.every(_of(rollout, "slices"), "slices"))

    def breaches(self, rollout: str) -> list[Breach]:
        """Every breach of its objectives, oldest first."""
        return list(self._connection.every(_of(rollout, "breaches"), "breaches"))

    def detectors(self, rollout: str) -> list[Detector]:
        """Each detector's statistic against its threshold; none before the start."""
        return list(self._connection.every(_of(rollout, "detectors"), "detectors"))

    def notifications(self, rollout: str) -> list[Notification]:
        """What people were told, oldest first, and how each channel fares with it."""
        return list(self._connection.every(_of(rollout, "notifications"), "notifications"))

    def waivers(self, rollout: str) -> list[Waiver]:
        """Who let it start without a preflight that held."""
        return list(self._connection.every(_of(rollout, "waivers"), "waivers"))

    def evaluations(
        self, rollout: str, *, objective: str | None = None, after: float | None = None, until: float | None = None
    ) -> Evaluations:
        """One page of what the slots in (after, until] said (epoch seconds; the newest hour by default).

        `next` in it is where the rest is, None on the last page; `every_evaluation` goes there by itself.
        """
        query = _span(objective, after, until)
        return cast("Evaluations", self._connection.ask("GET", _of(rollout, "evaluations"), query=query).json)

    def every_evaluation(
        self, rollout: str, *, objective: str | None = None, after: float | None = None, until: float | None = None
    ) -> Iterator[Evaluation]:
        """All of them, page by page, each page asked for when it is wanted."""
        query = _span(objective, after, until)
        return self._connection.every(_of(rollout, "evaluations"), "evaluations", query)

    def report(self, rollout: str, *, form: str = "html", kind: str | None = None) -> Report:
        """The sign-off report as `html`, `md` or `json`; `kind` as the daemon has them, its own choice by default.

        Raises Unreachable when the bytes are not those that their hash names.
        """
        query = {"format": form, **({"kind": kind} if kind is not None else {})}
        answer = self._connection.ask("GET", _of(rollout, "report"), query=query)
        told = answer.headers.get("X-Report-Sha256", "")
        if hashlib.sha256(answer.body).hexdigest() != told:
            raise Unreachable(f"the report of {rollout} did not arrive as it was sent: its sha256 is another one")
        return Report(answer.body, answer.headers.get("Content-Type", ""), answer.headers["X-Report-Kind"], told)

    def command(self, rollout: str, command: int) -> Command:
        """A command with its `outcome`, None until a tick has carried it out."""
        return cast("Command", self._connection.ask("GET", _of(rollout, f"commands/{command}")).json)


def _of(rollout: str, what: str = "") -> str:
    return f"{ROLLOUTS}/{part(rollout)}" + (f"/{what}" if what else "")


def _span(objective: str | None, after: float | None, until: float | None) -> dict[str, str]:
    given = {
        "objective": objective,
        "from": rfc3339(after) if after is not None else None,
        "to": rfc3339(until) if until is not None else None,
    }
    return {name: value for name, value in given.items() if value is not None}
