"""The flag service LaunchDarkly, steered by semantic patches over its REST API.

Written against LaunchDarkly's public API reference and tested against a strict local server that speaks by it; never
run against the service itself (docs/flags/launchdarkly.md). Users are dealt by LaunchDarkly's own SDKs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags.base import Capabilities, Change, Check, Prepared
from watchdog.flags.launchdarkly_checks import checked
from watchdog.flags.launchdarkly_flag import (
    LARGEST_COHORT,
    TOTAL,
    Flag,
    Instruction,
    NotUnderstood,
    raising,
    understood,
)
from watchdog.flags.rest import Answer, Rest, segment
from watchdog.model import FlagReading

if TYPE_CHECKING:
    from watchdog.flags.settings import ServiceSettings

ADDRESS = "https://app.launchdarkly.com"
API_VERSION = "20240415"
SEMANTIC = "application/json; domain-model=launchdarkly.semanticpatch"
LONGEST_COMMENT = 1000
NEEDS_APPROVAL = 405
"""What LaunchDarkly answers where changes of the environment need somebody's approval."""


def open_launchdarkly(settings: ServiceSettings) -> LaunchDarkly:
    """The service of these settings (`token` is given). Reaches nothing yet. Raises ConfigError."""
    return LaunchDarkly(
        settings.token.get_secret_value() if settings.token is not None else "",
        settings.project,
        settings.environment,
        settings.timeout,
        url=settings.url or ADDRESS,
        propagation=settings.worst_propagation,
        ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
    )


class LaunchDarkly:
    """The boolean flags of one project and environment; each call to the API ends within `timeout` seconds."""

    def __init__(
        self,
        token: str,
        project: str,
        environment: str,
        timeout: float = 5.0,
        *,
        url: str = ADDRESS,
        propagation: float = 5.0,
        ca_file: str | None = None,
    ) -> None:
        self.capabilities = Capabilities(
            100 / TOTAL, propagation, compare_and_set="emulated", push=True, unconditional_kill=False
        )
        self.project = project
        self.environment = environment
        # The token goes as it is: LaunchDarkly knows no "Bearer".
        headers = {"Authorization": token, "LD-API-Version": API_VERSION}
        self._rest = Rest(
            url, service="LaunchDarkly", timeout=timeout, headers=headers, secrets=[token], verify=ca_file or True
        )

    def read(self, flag: str) -> FlagReading:
        """What the flag serves in the environment. Raises FlagServiceError, also when nobody could tell."""
        return self._reading(self.state(flag), flag)

    def set(self, flag: str, change: Change) -> FlagReading:
        """Serve `change.exposure`, targeting on; nothing is written when the flag does so already.

        Everything is one patch, with what raises exposure last. Nobody at all is the same as targeting off. Raises
        FlagServiceError, and FlagConflict when `expect` is not the version of the environment.
        """
        percent, cohort = self._asked(flag, change)
        found = self.state(flag)
        if change.expect is not None and str(found.version) != change.expect:
            message = f"{self.place(flag)}: it has version {found.version}, expected {change.expect}"
            raise FlagConflict(f"{message}; nothing was written; it is read and decided again.")
        asked = replace(change.exposure, percent=percent)
        if found.exposure == asked and (not cohort or set(found.members) == set(cohort)):
            return self._reading(found, flag)
        if asked.none:
            return self._off(flag, change)
        if found.archived or found.stray:
            raise self._unknown(flag, found.stray or found.problems)
        written = self._patch(flag, raising(found, percent, cohort), change)
        return self._reading(written, flag)

    def kill(self, flag: str, change: Change) -> FlagReading:
        """Turn targeting off, whatever the flag says and whatever is scheduled: everybody gets the off variation.

        Where that is not `false`, it is made so. Raises FlagServiceError.
        """
        try:
            return self._off(flag, change)
        except FlagConflict as error:
            raise FlagServiceError(f"{error} A kill compares nothing: it is sent again.") from error

    def init(self, flags: Sequence[str], by: str) -> Prepared:
        """Create what is missing as boolean flags, off in every environment. Idempotent. Raises FlagServiceError."""
        created = []
        for flag in dict.fromkeys(flags):
            path, place = self._path(flag), f"flag {flag}"
            if self._rest.call("GET", path, params=self._only(), place=place, expected=(200, 404)).status == 200:
                continue
            body = {
                "key": flag,
                "name": flag,
                "description": f"Made for slo-watchdog by {by}.",
                "temporary": False,
                "variations": [{"value": True, "name": "on"}, {"value": False, "name": "off"}],
                "defaults": {"onVariation": 0, "offVariation": 1},
            }
            project = f"/api/v2/flags/{segment(self.project)}"
            answer = self._rest.call("POST", project, json=body, place=place, expected=(201, 409))
            if answer.status == 201:
                created.append(flag)
            if not (state := self.state(flag)).harmless:
                raise FlagServiceError(
                    f"{self.place(flag)}: it is new and should be off, but reads {state.exposure}; turn it off.",
                    permanent=True,
                )
        return Prepared(f"LaunchDarkly, project {self.project}, environment {self.environment}", tuple(created))

    def preflight(self, flag: str) -> tuple[Check, ...]:
        """What would make a kill unsafe or a ramp wrong; its only write is a dry run. Never raises."""
        return checked(self, flag)

    # --- for the checks ---------------------------------------------------------------------------------------------

    def state(self, flag: str) -> Flag:
        """The flag in the environment. Raises FlagServiceError."""
        answer = self._rest.call("GET", self._path(flag), params=self._only(), place=f"flag {flag}")
        return self._understood(answer, flag)

    def dry_kill(self, flag: str) -> Flag:
        """What a kill would leave behind; LaunchDarkly judges it, and changes nothing. Raises FlagServiceError."""
        answer = self._send(flag, [{"kind": "turnFlagOff"}], "preflight: nothing is changed", dryRun="true")
        return self._understood(answer, flag)

    def approval_settings(self) -> dict[str, Any]:
        """How changes of the environment are approved. Raises FlagServiceError."""
        path = f"/api/v2/projects/{segment(self.project)}/environments/{segment(self.environment)}"
        body = self._rest.call("GET", path, place=f"environment {self.environment}").body
        settings = body.get("approvalSettings") if isinstance(body, dict) else None
        return settings if isinstance(settings, dict) else {}

    def scheduled(self, flag: str) -> list[dict[str, Any]] | None:
        """Changes that wait for their time; None where the account has no such thing. Raises FlagServiceError."""
        place = f"environments/{segment(self.environment)}/scheduled-changes"
        path = f"/api/v2/projects/{segment(self.project)}/flags/{segment(flag)}/{place}"
        answer = self._rest.call("GET", path, place=f"scheduled changes of {flag}", expected=(200, 404))
        if answer.status == 404:
            return None
        items = answer.body.get("items") if isinstance(answer.body, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise FlagServiceError(f"{self.place(flag)}: its scheduled changes are {answer.text}; expected a list.")
        return items

    def place(self, flag: str) -> str:
        """What sentences call the flag."""
        return f"LaunchDarkly, flag {flag} in {self.project}/{self.environment}"

    # --- within -----------------------------------------------------------------------------------------------------

    def _off(self, flag: str, change: Change) -> FlagReading:
        """Targeting off, and the off variation `false` where it is another one."""
        try:
            found = self._patch(flag, [{"kind": "turnFlagOff"}], change, ignoreConflicts="true")
        except FlagServiceError as error:
            # What refuses a change may do so because there is nothing to change.
            if not error.permanent or not (found := self.state(flag)).harmless:
                raise
        if not found.harmless:
            safe = {"kind": "updateOffVariation", "variationId": found.off_id}
            found = self._patch(flag, [safe], change, ignoreConflicts="true")
        if not found.harmless:
            message = f"{self.place(flag)}: it was turned off, and still serves {found.exposure or 'nobody knows whom'}"
            raise FlagServiceError(f"{message}; it is killed again, look at it in LaunchDarkly.")
        return self._reading(found, flag)

    def _patch(self, flag: str, instructions: list[Instruction], change: Change, **params: str) -> Flag:
        """Change the flag; what it reads afterwards, by LaunchDarkly's answer or else by reading it again."""
        rollout = f", rollout {change.rollout}" if change.rollout is not None else ""
        idem = f", {change.idem}" if change.idem else ""
        marks = f" (by {change.by}{rollout}{idem})"
        answer = self._send(flag, instructions, change.why[: LONGEST_COMMENT - len(marks)] + marks, **params)
        try:
            return understood(answer.body, self.environment)
        except NotUnderstood:
            return self.state(flag)

    def _send(self, flag: str, instructions: list[Instruction], comment: str, **params: str) -> Answer:
        body = {"environmentKey": self.environment, "comment": comment, "instructions": instructions}
        place = f"flag {flag}"
        answer = self._rest.call(
            "PATCH",
            self._path(flag),
            json=body,
            headers={"Content-Type": SEMANTIC},
            params=params,
            place=place,
            expected=(200, NEEDS_APPROVAL),
        )
        if answer.status == NEEDS_APPROVAL:
            found = f"{self.place(flag)}: changes of this environment need an approval (405): {answer.text}"
            todo = "take this flag or the watchdog's role out of the approvals, for a kill cannot wait for one"
            raise FlagServiceError(f"{found}; {todo}.", permanent=True)
        return answer

    def _understood(self, answer: Answer, flag: str) -> Flag:
        try:
            return understood(answer.body, self.environment)
        except NotUnderstood as error:
            message = f"{self.place(flag)}: it {error}; expected a boolean flag; correct the settings or the flag."
            raise FlagServiceError(message, permanent=True) from error

    def _reading(self, found: Flag, flag: str) -> FlagReading:
        exposure = found.exposure
        if exposure is None:
            raise self._unknown(flag, found.problems)
        return FlagReading(exposure, str(found.version), members=found.members if exposure.cohort else ())

    def _unknown(self, flag: str, problems: Sequence[str]) -> FlagServiceError:
        message = f"{self.place(flag)}: nobody can tell who has the feature: {'; '.join(problems)}"
        todo = "leave only the default rule and targeted users in LaunchDarkly; it can be killed as it is"
        return FlagServiceError(f"{message}; {todo}.", permanent=True)

    def _asked(self, flag: str, change: Change) -> tuple[float, tuple[str, ...]]:
        """Percentage and cohort of a change, checked, the first rounded down to the smallest step."""
        percent, exposure = change.exposure.percent, change.exposure
        cohort = tuple(dict.fromkeys(change.cohort)) if exposure.cohort else ()
        problem = ""
        if not (math.isfinite(percent) and 0 <= percent <= 100):
            problem = f"{percent} % was asked; expected 0 to 100"
        elif exposure.audiences:
            problem = f"audiences ({', '.join(exposure.audiences)}) were asked, which are not written to LaunchDarkly"
        elif exposure.cohort and not 1 <= len(cohort) <= LARGEST_COHORT:
            problem = f"a cohort of {len(cohort)} was asked; expected 1 to {LARGEST_COHORT} user keys"
        if problem:
            raise FlagServiceError(f"{self.place(flag)}: {problem}; correct the ramp.", permanent=True)
        return round(math.floor(round(percent * TOTAL / 100, 6)) * 100 / TOTAL, 3), cohort

    def _path(self, flag: str) -> str:
        return f"/api/v2/flags/{segment(self.project)}/{segment(flag)}"

    def _only(self) -> dict[str, str]:
        return {"env": self.environment}
