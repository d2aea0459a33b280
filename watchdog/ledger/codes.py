"""Rows to nouns and back. Codes are written in the ledger: one is never given another meaning, new ones are added."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, TypeVar

from watchdog.model import (
    ASKED_AGAIN,
    Breach,
    Evaluation,
    Exposure,
    Measurement,
    Notification,
    ObjectiveSlice,
    Reason,
    Severity,
    Slice,
    SliceVerdict,
    Verdict,
)

VERDICTS: Mapping[Verdict, int] = MappingProxyType({Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNKNOWN: 2})
REASONS: Mapping[Reason, int] = MappingProxyType(
    {
        Reason.UNREACHABLE: 1,
        Reason.CLOCK_SKEW: 2,
        Reason.QUERY_ERROR: 3,
        Reason.PARTIAL: 4,
        Reason.MANY_SERIES: 5,
        Reason.NO_DATA: 6,
        Reason.NOT_A_NUMBER: 7,
        Reason.STALE: 8,
        Reason.LOW_TRAFFIC: 9,
    }
)
ASKED_AGAIN_CODES: tuple[int, ...] = tuple(sorted(REASONS[reason] for reason in ASKED_AGAIN))
_VERDICT_OF = {code: verdict for verdict, code in VERDICTS.items()}
_REASON_OF: dict[int | None, Reason | None] = {None: None, **{code: reason for reason, code in REASONS.items()}}

Answer = TypeVar("Answer", Evaluation, Measurement)
Build = Callable[[Sequence[Any], Mapping[int | None, str]], Answer]
Row = dict[str, Any]
Figures = tuple[Any, ...]
"""[verdict,] reason, value, bad, total, detail (its id in `texts`), silent: what an answer says, without its key."""


def measurement_figures(measurement: Measurement | Evaluation, text_ids: Mapping[str, int]) -> Figures:
    """The columns of a measurement after its key."""
    return (
        None if measurement.reason is None else REASONS[measurement.reason],
        number(measurement.value),
        number(measurement.bad),
        number(measurement.total),
        text_ids[plain(measurement.detail)] if measurement.detail else None,
        int(measurement.silent),
    )


def evaluation_figures(evaluation: Evaluation, text_ids: Mapping[str, int]) -> Figures:
    """The columns of an evaluation after its key."""
    return (VERDICTS[evaluation.verdict], *measurement_figures(evaluation, text_ids))


def measurement(row: Sequence[Any], texts: Mapping[int | None, str]) -> Measurement:
    """The measurement of a row (without its rollout)."""
    at, _, _, reason, value, bad, total, detail, silent = row
    return Measurement(at, value, bad, total, _REASON_OF[reason], texts[detail], bool(silent))


def evaluation(row: Sequence[Any], texts: Mapping[int | None, str]) -> Evaluation:
    """The evaluation of a row (without its rollout)."""
    at, _, _, code, reason, value, bad, total, detail, silent = row
    return Evaluation(at, _VERDICT_OF[code], _REASON_OF[reason], value, bad, total, texts[detail], bool(silent))


def judged(verdict: int, reason: int | None) -> tuple[Verdict, Reason | None]:
    """A verdict and its reason of their codes."""
    return _VERDICT_OF[verdict], _REASON_OF[reason]


def number(figure: float | None) -> float | None:
    """A figure as it is stored. NaN says no more than none (its reason does), and SQLite would make it none anyway.

    Nor does it keep the sign of a zero.
    """
    return None if figure is None or math.isnan(figure) else float(figure) + 0.0


def plain(text: str) -> str:
    """The text without what a database cannot hold (NUL, halves of surrogate pairs); servers do send such things."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def exposure_columns(exposure: Exposure | None) -> Row:
    """The columns of an exposure; audiences as words (their names have no blanks), nothing where there is none."""
    if exposure is None:
        return {"percent": None, "cohort": None, "audiences": None}
    audiences = " ".join(exposure.audiences) or None
    return {"percent": exposure.percent, "cohort": int(exposure.cohort), "audiences": audiences}


def exposure_of(percent: float, cohort: int, audiences: str | None) -> Exposure:
    """The exposure of its columns."""
    return Exposure(percent, bool(cohort), tuple((audiences or "").split()))


def slice_body(found: Slice) -> str:
    """A slice as JSON. Python writes floats so that they read back to the same bits."""
    return json.dumps(asdict(found), separators=(",", ":"))


def slice_of(body: str) -> Slice:
    """The slice of its JSON."""
    fields = json.loads(body)
    objectives = [{**one, "verdict": SliceVerdict(one["verdict"])} for one in fields["objectives"]]
    return Slice(
        **{
            **fields,
            "verdict": SliceVerdict(fields["verdict"]),
            "objectives": tuple(ObjectiveSlice(**one) for one in objectives),
            "unmeasured": tuple((first, last) for first, last in fields["unmeasured"]),
            "exposure": None if fields["exposure"] is None else _exposure(fields["exposure"]),
            "breaches": tuple(Breach(**one) for one in fields["breaches"]),
        }
    )


def _exposure(fields: dict[str, Any]) -> Exposure:
    return Exposure(**{**fields, "audiences": tuple(fields.get("audiences", ()))})


def notification(row: Any) -> Notification:
    """A recorded message as it was decided."""
    severity, details = Severity(row.severity), json.loads(row.details)
    return Notification(row.kind, row.key, severity, row.summary, row.at, details)
