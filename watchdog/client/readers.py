"""Reading flags as an application does, and the daemon's own state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

from watchdog.client.connection import Answer, Connection, part
from watchdog.client.errors import EvaluationFailed
from watchdog.client.shapes.daemon import Health, Ready
from watchdog.client.shapes.readers import BulkEvaluation, FlagEvaluation
from watchdog.client.tagged import Tagged, tagged

EVALUATE = "/ofrep/v1/evaluate/flags"


class Readers:
    """The part of the client that reads flags and asks how the daemon is. Everything raises ClientError."""

    _connection: Connection

    def evaluate(self, flag: str, context: Mapping[str, Any]) -> FlagEvaluation:
        """One flag for one caller; `targetingKey` of the context decides on percentages. Raises EvaluationFailed."""
        answer = self._evaluated(f"{EVALUATE}/{quote(flag)}", context, {})
        return cast("FlagEvaluation", answer.json)

    def evaluate_all(
        self, context: Mapping[str, Any], *, known: Tagged[BulkEvaluation] | None = None
    ) -> Tagged[BulkEvaluation]:
        """All flags for one caller; `known` itself where nothing has changed since. Raises EvaluationFailed."""
        answer = self._evaluated(EVALUATE, context, _if_none_match(known))
        return tagged(answer, known)

    def flag_document(self, flag_set: str, *, known: Tagged[dict[str, Any]] | None = None) -> Tagged[dict[str, Any]]:
        """The flagd document of a flag set; `known` itself where nothing has changed since."""
        path = f"/flagd/{part(flag_set)}.json"
        return tagged(self._connection.ask("GET", path, headers=_if_none_match(known), plain=True), known)

    def health(self) -> Health:
        """Whether the process answers."""
        return cast("Health", self._connection.ask("GET", "/healthz").json)

    def live(self) -> Health:
        """Whether every rollout's ticks end. Raises Trouble (`stuck`) while they do not."""
        return cast("Health", self._connection.ask("GET", "/livez").json)

    def ready(self) -> Ready:
        """Whether the ledger answers and every rollout ticks. Raises Trouble (`not-ready`) while they do not."""
        return cast("Ready", self._connection.ask("GET", "/readyz").json)

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""
        return self._connection.ask("GET", "/metrics").body.decode()

    def page(self) -> str:
        """The status page, HTML."""
        return self._connection.ask("GET", "/").body.decode()

    def openapi(self) -> dict[str, Any]:
        """The daemon's own description of all this."""
        return cast("dict[str, Any]", self._connection.ask("GET", "/openapi.json").json)

    def _evaluated(self, path: str, context: Mapping[str, Any], headers: Mapping[str, str]) -> Answer:
        body = json.dumps({"context": dict(context)}).encode()
        answer = self._connection.ask("POST", path, body=body, headers=headers, plain=True)
        if answer.status in {200, 304}:
            return answer
        found = answer.json
        told = found if isinstance(found, dict) else {}
        raise EvaluationFailed(str(told.get("errorCode", "GENERAL")), answer.status, str(told.get("errorDetails", "")))


def _if_none_match(known: Tagged[Any] | None) -> dict[str, str]:
    return {"If-None-Match": known.etag} if known is not None else {}
