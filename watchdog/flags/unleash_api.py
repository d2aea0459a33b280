"""The calls to Unleash's admin interface, each of them one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.rest import Answer, Rest, segment
from watchdog.flags.unleash_state import State, parse
from watchdog.flags.unleash_strategies import Json

SERVICE = "Unleash"
OUTDATED = "Test operation failed"
"""How Unleash begins its answer (status 500) when a JSON patch's `test` does not hold; nothing is written then."""


class UnleashApi:
    """One project and one environment. Raises FlagServiceError only."""

    def __init__(self, rest: Rest, project: str, environment: str) -> None:
        self._rest = rest
        self.project = project
        self.environment = environment

    def place(self, flag: str) -> str:
        """Where a flag is, for sentences."""
        return f"{SERVICE}, {self._where(flag)}"

    def state(self, flag: str) -> State:
        """The flag as it is now."""
        return parse(self.feature(flag), self.environment, self.place(flag))

    def feature(self, flag: str) -> object:
        """All that Unleash tells of a flag, unchecked."""
        return self._call("GET", flag, self._features(flag)).body

    def absent(self, flag: str) -> bool:
        """Whether the project has no such flag."""
        answer = self._call("GET", flag, self._features(flag), expected=(200, 404))
        return answer.status == 404

    def create(self, flag: str, description: str) -> None:
        """Make a flag, without strategies and switched off in every environment."""
        segment(flag)
        body = {"name": flag, "type": "release", "description": description, "impressionData": False}
        answer = self._call("POST", flag, f"{self._project()}/features", body, expected=(201, 409))
        if answer.status == 409:
            message = f"{self.place(flag)}: it cannot be created: {answer.text}"
            raise FlagServiceError(f"{message}; revive it, or choose another name", permanent=True)

    def off(self, flag: str) -> None:
        """Switch the environment off for the flag, whatever its strategies say. Idempotent."""
        answer = self._call("POST", flag, f"{self._environment(flag)}/off", expected=(200, 403, 409))
        if answer.status != 200:
            raise FlagServiceError(
                f"{self.place(flag)}: THE KILL WAS REFUSED with status {answer.status}: {answer.text}; page an "
                "administrator of Unleash now and have the flag switched off by hand; then give the token the right "
                f"to switch flags in {self.environment}, where no change request may stand in its way",
                permanent=True,
            )

    def on(self, flag: str) -> None:
        """Switch the environment on for the flag.

        Look at its strategies before: where no active one is there, Unleash adds one for everybody.
        """
        self._call("POST", flag, f"{self._environment(flag)}/on")

    def add(self, flag: str, strategy: Json) -> None:
        """Add a strategy."""
        self._call("POST", flag, f"{self._environment(flag)}/strategies", strategy)

    def patch(self, flag: str, strategy: str, operations: Sequence[Json]) -> None:
        """Change a strategy by a JSON patch. Raises FlagConflict when one of its tests does not hold."""
        path = f"{self._environment(flag)}/strategies/{segment(strategy)}"
        answer = self._call("PATCH", flag, path, list(operations), expected=(200, 400, 404, 500))
        if answer.status == 200:
            return
        if answer.status == 404 and strategy in answer.text:
            message = f"{self.place(flag)}: its strategy was replaced since it was read, as a kill does"
            raise FlagConflict(f"{message}; nothing was written, it is read and decided again")
        if answer.text.startswith(OUTDATED):
            message = f"{self.place(flag)}: its strategy was changed by somebody else since it was read"
            raise FlagConflict(f"{message}; nothing was written, it is read and decided again")
        raise self._rest.refused(answer, self._where(flag))

    def remove(self, flag: str, strategy: str) -> None:
        """Remove a strategy; one that is gone is fine."""
        path = f"{self._environment(flag)}/strategies/{segment(strategy)}"
        self._call("DELETE", flag, path, expected=(200, 404))

    def change_requests(self) -> bool | None:
        """Whether changes of this environment need an approval; None where the edition does not know of any."""
        path = f"{self._project()}/change-requests/config"
        answer = self._rest.call("GET", path, place=f"project {self.project}", expected=(200, 404))
        if answer.status == 404:
            return None
        if not isinstance(answer.body, list):
            raise FlagServiceError(f"{SERVICE}, project {self.project}: the change request settings are not understood")
        settings = [one for one in answer.body if isinstance(one, dict) and one.get("environment") == self.environment]
        return any(one.get("changeRequestEnabled") is not False for one in settings)

    def may_switch(self) -> bool:
        """Whether the token may switch flags on and off here, by what Unleash says of its rights."""
        body = self._rest.call("GET", "/api/admin/user", place="the token's own rights").body
        rights = body.get("permissions") if isinstance(body, dict) else None
        for right in rights if isinstance(rights, list) else []:
            if isinstance(right, dict) and self._allows(right):
                return True
        return False

    def _allows(self, right: dict[str, Any]) -> bool:
        if right.get("permission") == "ADMIN":
            return True
        fits = right.get("project") in (self.project, "*", None) and right.get("environment") in (
            self.environment,
            None,
        )
        return fits and right.get("permission") == "UPDATE_FEATURE_ENVIRONMENT"

    def _call(self, method: str, flag: str, path: str, body: object = None, expected: Sequence[int] = (200,)) -> Answer:
        return self._rest.call(method, path, json=body, place=self._where(flag), expected=expected)

    def _where(self, flag: str) -> str:
        return f"flag {flag} in {self.project}/{self.environment}"

    def _project(self) -> str:
        return f"/api/admin/projects/{segment(self.project)}"

    def _features(self, flag: str) -> str:
        return f"{self._project()}/features/{segment(flag)}"

    def _environment(self, flag: str) -> str:
        return f"{self._features(flag)}/environments/{segment(self.environment)}"
