"""The alerts of the watch in the words that HTML and Markdown share."""

from __future__ import annotations

from typing import Any

from watchdog.report.words import NONE, clock, counted, instant, lasted, share, when

Json = dict[str, Any]


def noise_of(report: Json) -> Json | None:
    """Sentences, and the false and the unclassified pages as rows; None where nobody told of alerts."""
    noise = report["noise"]
    if noise is None:
        return None
    return {"sentences": _sentences(noise), "rows": [_row(one) for one in noise["episodes"]]}


def _sentences(noise: Json) -> list[str]:
    lower, upper = noise["lower"], noise["upper"]
    alarms = counted(upper, "false alarm") if lower == upper else f"{lower} to {counted(upper, 'false alarm')}"
    found = [f"{alarms} of {counted(noise['pages'], 'page')} about {noise['service']} in the watch."]
    if noise["unclassified_young"]:
        found.append(
            f"{noise['unclassified_young']} more unclassified, for less than {lasted(noise['grace_s'])} so far."
        )
    found.append(f"Precision {_share(noise['precision'])}, recall {_share(noise['recall'])} {_breaches(noise)}.")
    if noise["detected_in_s"] is not None:
        reset = noise["reset_in_s"]
        ended = f", and were over {lasted(reset)} after it" if reset is not None else ""
        found.append(f"Pages came {lasted(noise['detected_in_s'])} after a breach{ended} (medians).")
    if not noise["judged"]:
        found.append("No objective judged them.")
    if noise["heard_why"]:
        found.append(f"At the end: {noise['heard_why']}.")
    return found


def _breaches(noise: Json) -> str:
    if not noise["breaches"]:
        return "(there was no breach)"
    breaches = counted(noise["breaches"], "breach", "breaches")
    return f"({noise['breaches_with_page']} of {breaches} had a page)"


def _share(found: float | None) -> str:
    return NONE if found is None else share(found)


def _row(one: Json) -> Json:
    ended = one["ended_at"]
    more = f" ({one['alerts']} alerts)" if one["alerts"] > 1 else ""
    return {
        "id": one["id"],
        "at": when(one["started_at"]),
        "lasted": "still" if ended is None else lasted(instant(ended) - instant(one["started_at"])),
        "alert": f"{one['alertname']}{more}",
        "source": one["source"],
        "class": one["class"].replace("_", " "),
        "by": {"": NONE, "rule": "a rule"}.get(one["by"], one["by"]),
        "why": one["why"],
        "said": "; ".join(
            f"{label['label'].replace('_', ' ')} by {label['by']}, {clock(label['at'], one['started_at'])}"
            for label in one["labels"]
        ),
    }
