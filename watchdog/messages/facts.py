"""The numbers of a message, as (name, value) pairs in the order in which people want them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from watchdog.quantities import format_number, format_share, rfc3339

_INSTANTS = (
    ("since", "since"),
    ("at", "at"),
    ("detected_at", "detected"),
    ("decided_at", "decided"),
    ("acted_at", "written"),
    ("confirmed_at", "confirmed"),
    ("deadline", "deadline"),
)
_WORDS = (
    ("detector", "detector"),
    ("query", "query"),
    ("window", "window"),
    ("exposure", "exposure"),
    ("reads", "flag reads"),
    ("cohorts", "cohorts"),
    ("contributors", "most of it"),
    ("emergency", "emergency flag"),
    ("deed", "done besides"),
    ("drill", "drill"),
    ("reader", "reader"),
    ("result", "result"),
    ("by", "by"),
    ("reason", "reason"),
    ("channel", "channel"),
    ("why", "why"),
    ("error", "error"),
)


def facts_of(details: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """What the recorded details say, in words; a detail that is missing or empty is left out."""
    found = [
        ("objective", _text(details.get("objective") or details.get("objectives"))),
        ("found", _measured(details)),
        ("target", _text(details.get("target"))),
        *((label, _text(details.get(name))) for name, label in _WORDS[:3]),
        ("exposure", _moved(details)),
        *((label, _text(details.get(name))) for name, label in _WORDS[3:] if name != "exposure"),
        *((label, _time(details.get(name))) for name, label in _INSTANTS),
    ]
    return tuple((name, value) for name, value in found if value)


def _measured(details: Mapping[str, object]) -> str:
    bad, total, value = (_number(details.get(name)) for name in ("bad", "total", "value"))
    if bad is not None and total is not None:
        counts = f"{format_number(bad)} bad of {format_number(total)}"
        return f"{format_share(bad / total)} bad ({counts})" if total > 0 else counts
    return format_number(value) if value is not None else ""


def _moved(details: Mapping[str, object]) -> str:
    before, after = _text(details.get("exposure_before")), _text(details.get("exposure_after"))
    return f"{before} to {after}" if before and after else _text(details.get("exposure"))


def _text(found: object) -> str:
    if isinstance(found, list | tuple):
        return ", ".join(str(item) for item in found)
    return "" if found is None or isinstance(found, Mapping) else str(found)


def _time(found: object) -> str:
    at = _number(found)
    return rfc3339(at) if at is not None else ""


def _number(found: object) -> float | None:
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
