"""The shapes of what readers of flags send and get, as OFREP has them."""

from __future__ import annotations

from typing import Any

from watchdog.web.schemas import many, maybe, ref, text, thing

Json = dict[str, Any]

METADATA = {"type": "object", "description": "Of the set, overlaid with the flag's."}
_TOLD: Json = {
    "key": text("The flag."),
    "reason": text("Why this one.", enum=["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT"]),
    "variant": text("Name of the variant; empty where there is no value."),
    "metadata": METADATA,
}
_EVALUATION = thing("A flag for one caller. Without `value` the caller's code default holds.", _TOLD)
_FAILURE = {
    "errorCode": text("As OpenFeature names it.", enum=["FLAG_NOT_FOUND", "PARSE_ERROR", "INVALID_CONTEXT", "GENERAL"]),
    "errorDetails": text("In words."),
}
READER_SCHEMAS: Json = {
    "FlagEvaluation": {
        **_EVALUATION,
        "properties": {**_TOLD, "value": {"description": "The variant's value, any JSON."}},
    },
    "FlagEvaluationFailure": thing("Why one flag could not be evaluated.", {"key": text("The flag."), **_FAILURE}),
    "BulkEvaluation": thing(
        "All flags for one caller.",
        {"flags": many({"anyOf": [ref("FlagEvaluation"), ref("FlagEvaluationFailure")]}, "In the documents' order.")},
    ),
    "BulkFailure": thing("Why no flag could be evaluated.", _FAILURE),
    "EvaluationContext": {
        "type": "object",
        "description": "Who asks.",
        "properties": {
            "context": {
                "type": "object",
                "description": "targetingKey decides on percentages; the rest is for rules.",
                "required": [],
                "additionalProperties": True,
                "properties": {"targetingKey": maybe(text("The user's id, or whatever else is to keep its variant."))},
            }
        },
        "required": [],
    },
}
