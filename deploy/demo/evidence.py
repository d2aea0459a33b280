"""What the demo proves and with what: timings of a rollback, live against replay, demo against production."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from watchdog.model import Objective, Rollout

IDENTITY = {"name", "service", "version", "flag", "text", "sha256", "resolved", "objectives"}
QUERIES = {"bad", "total", "value", "present"}
FOLLOWS = {"allowed"}
"""These say what is watched, or follow from others; all other fields say how, and are settings."""


@dataclass(frozen=True)
class Failure:
    """One checkout that failed, as the user saw it. `at` in seconds since the epoch."""

    at: float
    status: int
    variant: str


def failures(path: Path) -> list[Failure]:
    """Read what the load generator noted, in time order; a line that is still being written is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return sorted((Failure(**json.loads(line)) for line in lines), key=lambda failure: failure.at)


def seconds(stamp: str) -> float:
    """Epoch seconds of an RFC 3339 time."""
    return datetime.fromisoformat(stamp).timestamp()


def stamp(at: float) -> str:
    """RFC 3339 of epoch seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Timing:
    """One moment of the incident, by the clock of whoever noticed it."""

    what: str
    at: float
    source: str


def timings(rollback: dict[str, str], breach_at: str, seen: list[Failure], last_answer: float) -> list[Timing]:
    """Give the incident's moments in the order in which they happened.

    `seen` are the failures of this rollout, `last_answer` is when a user was last served by the new code.
    """
    by_new_code = [failure.at for failure in seen if failure.variant == "on"]
    moments = [
        Timing("onset: first user failed by the new code", by_new_code[0], "load generator"),
        Timing("last step the breach is made of", seconds(breach_at), "Prometheus' clock"),
        Timing("detected", seconds(rollback["detected_at"]), "ledger"),
        Timing("decided and recorded", seconds(rollback["decided_at"]), "ledger"),
        Timing("flag off: written", seconds(rollback["acted_at"]), "ledger"),
        Timing("flag off: read back", seconds(rollback["confirmed_at"]), "ledger"),
        Timing("last user failed by the new code", by_new_code[-1], "load generator"),
        Timing("errors back to normal: last user served by the new code", last_answer, "load generator"),
        Timing("breach over: good slots for `resume_after`", seconds(rollback["recovered_at"]), "ledger"),
    ]
    return sorted(moments, key=lambda moment: moment.at)


def differences(live: dict[str, Any], replay: dict[str, Any]) -> list[str]:
    """Name what a replay says otherwise than the ledger of the live run; empty when they are equal."""
    found = []
    for name, (one, other) in _verdicts(live, replay):
        if one != other:
            found.append(f"{name}: live {json.dumps(one)}, replay {json.dumps(other)}")
    return found


def agreement(live: dict[str, Any]) -> str:
    """Say what was compared and how much of it there is."""
    evaluations = sum(counts[verdict] for counts in live["evaluations"].values() for verdict in _VERDICTS)
    window = live["window"]
    counted = (
        (evaluations, "evaluation"),
        (len(live["breaches"]), "breach"),
        (len(live["gaps"]), "gap"),
        (len(live["exposure"]), "exposure"),
        (len(window["resets"]), "reset"),
    )
    parts = [f"{number} {_plural(word, number)}" for number, word in counted]
    return f"{', '.join(parts)} and a window of {window['longest']}/{window['required']} slices"


def _plural(word: str, number: int) -> str:
    return word if number == 1 else word + ("es" if word.endswith("ch") else "s")


_VERDICTS = ("pass", "fail", "unknown")


def _verdicts(live: dict[str, Any], replay: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in sorted({*live["evaluations"], *replay["evaluations"]}):
        both = tuple(_counts(run["evaluations"].get(name)) for run in (live, replay))
        yield f"evaluations of {name}", (both[0], both[1])
    for what, pick in (("breaches", _breaches), ("interim window", _window), ("gaps", _gaps), ("exposure", _exposure)):
        yield what, (pick(live), pick(replay))


def _counts(counts: dict[str, Any] | None) -> object:
    return counts and {"reasons": counts["reasons"], **{verdict: counts[verdict] for verdict in _VERDICTS}}


def _breaches(run: dict[str, Any]) -> object:
    return [(breach["objective"], breach["at"]) for breach in run["breaches"]]


def _window(run: dict[str, Any]) -> object:
    window = run["window"]
    kept = {key: window[key] for key in ("required", "current", "longest", "completed_at", "idle", "unknown_s")}
    return {**kept, "resets": [(reset["objective"], reset["at"]) for reset in window["resets"]]}


def _gaps(run: dict[str, Any]) -> object:
    return [(gap["from"], gap["to"], gap["reason"]) for gap in run["gaps"]]


def _exposure(run: dict[str, Any]) -> object:
    return [(point["at"], point["percent"]) for point in run["exposure"]]


def compressed(demo: Rollout, production: Rollout) -> list[tuple[str, str, str]]:
    """List the settings that differ, as (setting, demo, production); computed, so that none can be forgotten."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    theirs = {objective.name: objective for objective in production.objectives}
    rows = _differing(_settings(demo), _settings(production))
    for objective in demo.objectives:
        other = theirs.get(objective.name)
        if other is None:
            rows.append((f"objective {objective.name}", "judged", "not judged"))
            continue
        for row in _differing(_settings(objective), _settings(other)):
            shared.setdefault(row, []).append(objective.name)
    return rows + [(f"{key} of {', '.join(names)}", ours, usual) for (key, ours, usual), names in shared.items()]


def _differing(ours: dict[str, str], theirs: dict[str, str]) -> list[tuple[str, str, str]]:
    keys = [*ours, *(key for key in theirs if key not in ours)]
    return [(key, ours.get(key, "-"), theirs.get(key, "-")) for key in keys if ours.get(key) != theirs.get(key)]


def _settings(thing: Rollout | Objective) -> dict[str, str]:
    return {
        key: text
        for key, text in _flat("", dataclasses.asdict(thing))
        if key.split(".")[0] not in IDENTITY | QUERIES | FOLLOWS
    }


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    elif prefix == "ramp.steps":
        yield prefix, _plan(value)
    elif isinstance(value, float):
        yield prefix, f"{value:g}"
    else:
        yield prefix, str(value)


def _plan(steps: tuple[dict[str, Any], ...]) -> str:
    percents = [f"{step['exposure']['percent']:.3g}" for step in steps]
    shown = [*percents[:2], "...", *percents[-2:]] if len(percents) > 6 else percents
    return f"{len(percents)}: {' '.join(shown)} %"
