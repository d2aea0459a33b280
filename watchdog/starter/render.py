"""Writes a proposal as the YAML that a person will read and change. Pure but for reading its own template."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from watchdog.quantities import format_duration, rfc3339
from watchdog.rolloutfile.standard import standard_objective
from watchdog.starter.drafts import Draft

TEMPLATES = Path(__file__).resolve().parent / "templates"
TARGETS = ("below", "at_most", "above", "at_least")
WIDTH = 118


@dataclass(frozen=True, slots=True)
class Chosen:
    """A draft that was answered. `judged`: it had traffic; `thin`: too little of it for slices of an hour."""

    draft: Draft
    comments: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    judged: bool = False
    min_events: int | None = None
    thin: bool = False


def template(name: str, values: Mapping[str, str]) -> str:
    """A starter file with its `@NAMES@` filled in."""
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def slug(job: str) -> str:
    """The job as a rollout's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", job).strip("-._")[:60] or "service"


def render(
    job: str,
    at: int,
    chosen: Sequence[Chosen],
    cohorts: Mapping[str, str],
    within: float,
    waive: Mapping[str, str],
    notes: Sequence[str] = (),
) -> str:
    """The rollout's file; `notes` are said at its end."""
    extra = []
    if cohorts:
        pairs = ", ".join(f"{name}: {scalar(matcher)}" for name, matcher in cohorts.items())
        extra.append(f"\n# Who has the feature, and who has not: `$cohort` in a query.\ncohorts: {{{pairs}}}")
    if waive:
        pairs = ", ".join(f"{name}: {scalar(reason)}" for name, reason in waive.items())
        extra.append(f"\nwaive: {{{pairs}}}")
    return template(
        "proposed.yaml",
        {
            "JOB": repr(job),
            "AT": rfc3339(at),
            "NAME": slug(job),
            "WITHIN": format_duration(within),
            "EXTRA": "\n".join(extra) + "\n" if extra else "",
            "NOTES": "".join(f"{line}\n" for line in ["", *_left_out(notes)]) if notes else "",
            "OBJECTIVES": "\n".join("\n".join(_objective(one)) + "\n" for one in chosen),
        },
    )


def _objective(one: Chosen) -> Iterator[str]:
    for comment in (*one.draft.notes, *one.comments, *one.remarks):
        yield from textwrap.wrap(comment, WIDTH, initial_indent="  # ", subsequent_indent="  #   ")
    yield f"  - name: {one.draft.name}"
    for key, value in (one.draft.keys | _target(one.draft)).items():
        yield f"    {key}: {_folded(value) or scalar(value)}"
    if one.min_events is not None:
        yield f"    min_events: {one.min_events}              # fewer requests in 5m are too few for a verdict"
    if one.thin:
        yield "    pool: window                 # an hour holds too few events to be judged by itself"


def _folded(query: str) -> str | None:
    """A long difference on two lines, as YAML folds them into one."""
    first, minus, second = query.partition(" - ")
    return f">-\n      {first}\n      - {second}" if minus and len(query) > WIDTH - 10 else None


def _left_out(notes: Sequence[str]) -> Iterator[str]:
    if notes:
        yield "# Looked at and left out:"
    for note in notes:
        yield from textwrap.wrap(note, WIDTH, initial_indent="# - ", subsequent_indent="#   ")


def _target(draft: Draft) -> dict[str, str]:
    """The standard threshold; that of a gauge in percent points in percent points."""
    standard = standard_objective(draft.standard)
    key = next(key for key in TARGETS if key in standard)
    limit = str(standard[key])
    if "value" in draft.keys and "percent" in draft.about:
        limit = limit.removesuffix("%")
    return {key: limit}


def scalar(text: str) -> str:
    """A value as YAML: plain where nothing in it means anything to YAML, quoted otherwise."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.%/+-]*", text):
        return text
    if re.fullmatch(r"[a-z_]+\([^#:]*", text):
        return text
    return "'" + text.replace("'", "''") + "'"
