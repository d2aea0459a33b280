"""Who contributed most to a breach: the answers of its split queries, bounded, ranked and put into words. Pure.

Label values are outside data: they are cut, freed of control characters, and few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from watchdog.model import Attribution, Contributor, Contributors, Counts, Target
from watchdog.quantities import format_number, rfc3339

MOST = 5
"""How many values of a label are shown."""
LONGEST = 120
"""Characters of a value."""
BRIEF = 40
"""Characters of a value within a sentence."""
NO_LABEL = "(none)"
"""What series without the label are shown as."""

Row = tuple[Mapping[str, str], float]
"""One series of an answer: its labels and its value."""


def shown(value: str) -> str:
    """A label's value, fit to be shown: on one line, printable, not too long."""
    plain = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in value[: LONGEST + 1])
    return (plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 3]}...") or NO_LABEL


def of_events(label: str, bad: Sequence[Row], total: Sequence[Row], whole: float | None) -> tuple[Contributor, ...]:
    """The values of a label with the most bad events; `whole` are all bad events, None where that is not known."""
    totals = {labels.get(label, ""): value for labels, value in total if math.isfinite(value)}
    counted = [(labels.get(label, ""), value) for labels, value in bad if math.isfinite(value) and value > 0.0]
    counted.sort(key=lambda item: (-item[1], item[0]))
    return tuple(_event(label, name, count, totals.get(name), whole) for name, count in counted[:MOST])


def _event(label: str, name: str, bad: float, total: float | None, whole: float | None) -> Contributor:
    share = min(1.0, bad / whole) if whole else None
    rate = min(1.0, bad / total) if total else None
    return Contributor(label, shown(name), bad, share, total, rate)


def of_numbers(label: str, rows: Sequence[Row], target: Target) -> tuple[Contributor, ...]:
    """The values of a label with the worst numbers."""
    found = [(labels.get(label, ""), value) for labels, value in rows if math.isfinite(value)]
    found.sort(key=lambda item: (item[1] if target.of_good else -item[1], item[0]))
    return tuple(Contributor(label, shown(name), rate=value) for name, value in found[:MOST])


def nameless(found: Sequence[Contributor]) -> bool:
    """Whether no series has the label at all."""
    return bool(found) and all(one.value == NO_LABEL for one in found)


def in_words(contributors: Contributors, most: int = 3) -> str:
    """The first of each label on one line, such as `route /pay 87%, /cart 9%; pod a-1 60%`; else the problem."""
    by_label: dict[str, list[str]] = {}
    for one in contributors.found:
        value = one.value if len(one.value) <= BRIEF else f"{one.value[: BRIEF - 3]}..."
        by_label.setdefault(one.label, []).append(f"{value} {_figure(one)}")
    said = "; ".join(f"{label} {', '.join(values[:most])}" for label, values in by_label.items())
    return said or contributors.problem


def described(attributions: Sequence[Attribution], contributors: Sequence[Contributors]) -> list[dict[str, Any]]:
    """What is known of the cause of each breach as plain data, the newest breach first, of each the newest word."""
    compared = {(one.objective, one.breach_at): one for one in attributions}
    asked = {(one.objective, one.breach_at): one for one in contributors}
    keys = sorted({**compared, **asked}, key=lambda key: (-key[1], key[0]))
    return [_described(name, at, compared.get((name, at)), asked.get((name, at))) for name, at in keys]


def _described(name: str, at: int, compared: Attribution | None, asked: Contributors | None) -> dict[str, Any]:
    return {
        "objective": name,
        "at": rfc3339(at),
        "attribution": None if compared is None else _attribution(compared),
        "contributors": [] if asked is None else [asdict(one) for one in asked.found],
        "asked_at": None if asked is None else rfc3339(asked.asked_at),
        "seconds": None if asked is None else asked.seconds,
        "problem": "" if asked is None else asked.problem,
    }


def _attribution(found: Attribution) -> dict[str, Any]:
    return {
        "verdict": found.verdict.value,
        "exposed": _counts(found.exposed),
        "control": _counts(found.control),
        "p_value": found.p_value,
        "p_control": found.p_control,
        "p_worse": found.p_worse,
        "number": found.number,
        "steps": found.steps,
        "from": rfc3339(found.first),
        "to": rfc3339(found.last),
        "why": found.why,
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {"bad": counts.bad, "total": counts.total, "share": counts.share}


def _figure(one: Contributor) -> str:
    if one.share is not None:
        return f"{100 * one.share:.0f}%" if one.share >= 0.01 else f"{100 * one.share:.2g}%"
    number = one.bad if one.bad is not None else one.rate
    return format_number(number) if number is not None else ""
