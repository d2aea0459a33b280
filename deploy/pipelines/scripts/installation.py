"""The two colours of an environment, as the driver tells and moves them. PIPELINE_TARGET names the driver's file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import steps


@dataclass(frozen=True)
class Installed:
    """What one colour runs. `url` is where it is reached past the switch."""

    colour: str
    digest: str
    commit: str
    url: str


def _driver(*arguments: str | Path, reason: str = "") -> Any:
    target = steps.setting("PIPELINE_TARGET", "the driver's file of this environment")
    given = ("--by", steps.actor(), *(("--reason", reason) if reason else ()))
    done = steps.call(
        [steps.DRIVER, "--target", target, *arguments, *(given if arguments != ("status",) else ()), "--json"]
    )
    return json.loads(done.stdout)


def deploy(build: Mapping[str, str]) -> Installed:
    """Put a build on the colour that serves nobody, and wait until it is well.

    A build that is no image lies as release.tar, .gz or .xz beside build.json; the driver compares it with the digest.
    """
    given = [word for name in ("image", "digest", "commit") for word in (f"--{name}", build[name])]
    files = [word for file in sorted(steps.place().glob("release.tar*"))[:1] for word in ("--artefact", file)]
    colour = _driver("deploy", *given, *files, reason=steps.optional("PIPELINE_REASON"))["colour"]
    return colours()[colour]


def switch(colour: str) -> dict[str, Any]:
    """Give all traffic to a colour; nothing happens where it has it already."""
    found: dict[str, Any] = _driver("switch", colour, reason=steps.optional("PIPELINE_REASON"))
    return found


def back(reason: str) -> dict[str, Any]:
    """Give all traffic to what had it before; nothing happens where it has it already."""
    found: dict[str, Any] = _driver("rollback", reason=reason)
    return found


def way_back() -> str | None:
    """The colour that `back` goes to."""
    found: str | None = _driver("status")["previous"]
    return found


def retire(colour: str) -> None:
    """End a colour that serves nobody, once its last requests are over; nothing happens where it has ended."""
    _driver("drain", colour)


def active() -> Installed | None:
    """What serves now; None before the first switch."""
    told = _driver("status")
    return colours(told).get(told["active"])


def front() -> str:
    """The address that users have."""
    return str(_driver("status")["url"])


def colours(told: Mapping[str, Any] | None = None) -> dict[str, Installed]:
    """What each colour runs; one that runs nothing is not there."""
    told = told or _driver("status")
    return {
        colour: Installed(colour, one["digest"], one["commit"], one["url"])
        for colour, one in told["colours"].items()
        if one is not None
    }


def idle(build: Mapping[str, str]) -> Installed:
    """The colour that `deploy.py` has put this build on. StepFailed when there is none."""
    serves = active()
    for one in colours().values():
        if one.digest == build["digest"] and (serves is None or one.colour != serves.colour):
            return one
    raise steps.StepFailed(f"no idle colour runs {build['digest']}; deploy.py puts it there")
