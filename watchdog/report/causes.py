"""What is known of the causes of breaches, in the words that HTML and Markdown share."""

from __future__ import annotations

from typing import Any

from watchdog.report.words import NONE, counted, lasted, number, share, when

Json = dict[str, Any]


def causes_of(report: Json) -> list[Json]:
    """One entry a breach of which anything is known, the newest first; none where nothing is."""
    return [_cause(one) for one in report.get("causes") or ()]


def _cause(one: Json) -> Json:
    return {
        "objective": one["objective"],
        "at": when(one["at"]),
        "cohorts": _cohorts(one["attribution"]),
        "rows": [_row(found) for found in one["contributors"]],
        "over": lasted(one["seconds"]) if one["seconds"] else "",
        "problem": one["problem"],
    }


def _cohorts(found: Json | None) -> str:
    if found is None:
        return ""
    said = {
        "flag": "The flag is the likely cause",
        "shared": "Both cohorts fail: the flag is probably not the cause",
        "unknown": "Whether the flag is the cause cannot be told",
    }[found["verdict"]]
    chance = ""
    if found["p_value"] is not None:
        chance = f"; if both failed alike, so many among the exposed had the chance {share(found['p_value'])}"
    steps = f" ({counted(found['steps'], 'detector step')} up to {when(found['to'])}{chance})" if found["steps"] else ""
    return f"{said}: {found['why']}{steps}."


def _row(found: Json) -> Json:
    bad, total = found["bad"], found["total"]
    rate = NONE if found["rate"] is None else number(found["rate"]) if bad is None else share(found["rate"])
    return {
        "label": found["label"],
        "value": found["value"],
        "bad": NONE if bad is None else f"{round(bad):,}",
        "share": NONE if found["share"] is None else share(found["share"]),
        "total": NONE if total is None else f"{round(total):,}",
        "rate": rate,
    }
