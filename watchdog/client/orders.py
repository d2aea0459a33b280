"""Orders over HTTP: what one would do, giving it, and what came of it."""

from __future__ import annotations

from typing import cast

from watchdog.client.connection import Connection, part
from watchdog.client.rollouts import ROLLOUTS
from watchdog.client.shapes.preflights import Waiver
from watchdog.client.shapes.rollouts import Command
from watchdog.client.shapes.story import Effect
from watchdog.quantities import rfc3339


class Orders:
    """The part of the client that steers rollouts. Everything raises ClientError.

    `by` is who is named where the token has no name of its own. `key` names a request: who does not know whether one
    arrived sends it again with the same key, and it is carried out once. Without one, each call is a new request.
    """

    _connection: Connection

    def effect(self, rollout: str, verb: str) -> Effect:
        """What hold, resume, rollback, stop, start, adopt or waive would do now; nothing is done."""
        path = f"{ROLLOUTS}/{part(rollout)}/effect"
        return cast("Effect", self._connection.ask("GET", path, query={"verb": verb}).json)

    def hold(self, rollout: str, reason: str, *, by: str | None = None, key: str | None = None) -> Command:
        """Let the ramp stand still until `resume`."""
        return self._give("hold", rollout, reason, by, key)

    def resume(self, rollout: str, reason: str, *, by: str | None = None, key: str | None = None) -> Command:
        """End the hold; the detectors begin anew."""
        return self._give("resume", rollout, reason, by, key)

    def rollback(self, rollout: str, reason: str, *, by: str | None = None, key: str | None = None) -> Command:
        """Take the flag back to where the rule says."""
        return self._give("rollback", rollout, reason, by, key)

    def stop(self, rollout: str, reason: str, *, by: str | None = None, key: str | None = None) -> Command:
        """End the rollout and leave the flag as it is."""
        return self._give("stop", rollout, reason, by, key)

    def start(self, rollout: str, reason: str, *, by: str | None = None, key: str | None = None) -> Command:
        """Start a rollout that is pending. Raises Conflict where it cannot be."""
        return self._give("start", rollout, reason, by, key)

    def adopt(self, rollout: str, reason: str, *, by: str | None = None, key: str | None = None) -> Command:
        """Start it at what the flag reads. Raises Conflict where it cannot be."""
        return self._give("adopt", rollout, reason, by, key)

    def waive(
        self, rollout: str, reason: str, until: float | str, *, by: str | None = None, key: str | None = None
    ) -> Waiver:
        """Let a pending rollout start without a preflight that held, until then: epoch seconds, or text such as `48h`.

        Raises Conflict for one that is not pending.
        """
        end = until if isinstance(until, str) else rfc3339(until)
        path = f"{ROLLOUTS}/{part(rollout)}/waive"
        return cast("Waiver", self._connection.order(path, reason, by, key, until=end).json)

    def _give(self, verb: str, rollout: str, reason: str, by: str | None, key: str | None) -> Command:
        return cast("Command", self._connection.order(f"{ROLLOUTS}/{part(rollout)}/{verb}", reason, by, key).json)
