"""Shapes of readers: what the API takes and gives, written by `python scripts/client_shapes.py`."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class FlagEvaluation(TypedDict):
    """A flag for one caller. Without `value` the caller's code default holds."""

    key: str
    """The flag."""
    reason: Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT"]
    """Why this one."""
    variant: str
    """Name of the variant; empty where there is no value."""
    metadata: dict[str, Any]
    """Of the set, overlaid with the flag's."""
    value: NotRequired[Any]
    """The variant's value, any JSON."""


class FlagEvaluationFailure(TypedDict):
    """Why one flag could not be evaluated."""

    key: str
    """The flag."""
    errorCode: Literal["FLAG_NOT_FOUND", "PARSE_ERROR", "INVALID_CONTEXT", "GENERAL"]
    """As OpenFeature names it."""
    errorDetails: str
    """In words."""


class BulkEvaluation(TypedDict):
    """All flags for one caller."""

    flags: list[FlagEvaluation | FlagEvaluationFailure]
    """In the documents' order."""


class BulkFailure(TypedDict):
    """Why no flag could be evaluated."""

    errorCode: Literal["FLAG_NOT_FOUND", "PARSE_ERROR", "INVALID_CONTEXT", "GENERAL"]
    """As OpenFeature names it."""
    errorDetails: str
    """In words."""


class EvaluationContext(TypedDict):
    """Who asks."""

    context: NotRequired[dict[str, Any]]
    """targetingKey decides on percentages; the rest is for rules."""
