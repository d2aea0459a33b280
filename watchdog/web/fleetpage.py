"""The fleet page: every rollout, what is under way first, readable without a script and in any terminal browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from watchdog.model import Phase
from watchdog.quantities import rfc3339
from watchdog.web.fleet import Fleet, Line, digest
from watchdog.web.fleetrow import GROUPS, NEEDED, OVER, UNDER_WAY
from watchdog.web.layout import page, render

REFRESH = 30
"""Seconds after which a browser without scripts asks again."""
SHOWN = 50
"""Rollouts that are over and shown unless all are asked for."""
CHOICES = {
    "active": "under way or needing a person",
    **{phase.value: phase.value.replace("_", " ") for phase in Phase},
    "held": "on hold",
    "over": "over",
}
"""What `?phase=` may be, in words."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the query asks for; anything that it does not understand asks for nothing."""

    text: str = ""
    phase: str = ""
    everything: bool = False

    @classmethod
    def of(cls, request: Request) -> Chosen:
        """From `?q=`, `?phase=` and `?all=1`."""
        asked = request.query_params
        phase = asked.get("phase", "")
        return cls(asked.get("q", "").strip()[:100], phase if phase in CHOICES else "", asked.get("all") == "1")

    @property
    def filtered(self) -> bool:
        """Whether this is not what everybody sees."""
        return bool(self.text or self.phase or self.everything)

    def takes(self, line: Line) -> bool:
        """Whether a line is to be shown."""
        row, words = line.row, self.text.casefold().split()
        told = f"{row.name} {row.service} {row.flag} {row.version}".casefold()
        if not all(word in told for word in words):
            return False
        fits = {"": True, "active": row.group in (NEEDED, UNDER_WAY), "held": bool(row.held), "over": row.group == OVER}
        return fits.get(self.phase, row.phase == self.phase)

    def address(self, **more: str) -> str:
        """The page that shows this."""
        query = {"q": self.text, "phase": self.phase, "all": "1" if self.everything else "", **more}
        said = urlencode({name: value for name, value in query.items() if value})
        return f"/?{said}" if said else "/"


class FleetPage:
    """The page, and its live part. It runs on worker threads and raises LedgerError."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float]) -> None:
        self.fleet = fleet
        self.clock = clock

    def __call__(self, request: Request) -> Response:
        """The page that the query asks for."""
        now, chosen = self.clock(), Chosen.of(request)
        lines = self.fleet.lines(now)
        shown = [line for line in lines if chosen.takes(line)] if chosen.filtered else lines
        return page(
            request,
            "fleet.html",
            title=title(shown),
            now=rfc3339(int(now)),
            chosen=chosen,
            filtered=chosen.filtered,
            phases=list(CHOICES.items()),
            seen=digest(lines),
            part=part(shown, chosen),
            refresh=REFRESH,
        )


def title(lines: Sequence[Line]) -> str:
    """The page in a line, for a tab."""
    needed = sum(line.row.group == NEEDED for line in lines)
    said = f"{len(lines)} rollout{'' if len(lines) == 1 else 's'}"
    return f"{needed} of {said} need{'s' if needed == 1 else ''} a person" if needed else said


def part(lines: Sequence[Line], chosen: Chosen | None = None) -> str:
    """The HTML of what changes by itself, put together from finished lines."""
    chosen = chosen or Chosen()
    by_group: dict[str, list[Line]] = {}
    for line in lines:
        by_group.setdefault(line.row.group, []).append(line)
    groups: list[tuple[str, str, list[Line], int]] = []
    for group, name in GROUPS.items():
        found = by_group.get(group, [])
        kept = found if chosen.filtered or group != OVER else found[:SHOWN]
        if found:
            groups.append((group, name, kept, len(found) - len(kept)))
    told: dict[str, Any] = {
        "title": title(lines),
        "here": chosen.address(),
        "filtered": chosen.filtered,
        "tally": [(group, name, len(by_group.get(group, []))) for group, name in GROUPS.items()],
        "groups": groups,
        "all_of": lambda group: chosen.address(phase=group),
    }
    return render("fleet_part.html", **told)
