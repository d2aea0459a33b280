"""The description of the API at /openapi.json (OpenAPI 3.1). A test holds it to the routes and to real answers."""

from __future__ import annotations

from typing import Any

from watchdog.web.describe import ETAG, KNOWN, SCHEMAS, answer, body, operation, reading
from watchdog.web.openapi_alerts import alert_paths
from watchdog.web.openapi_drills import drill_paths
from watchdog.web.openapi_flags import flag_paths
from watchdog.web.openapi_pages import page_paths
from watchdog.web.openapi_preflight import preflight_paths
from watchdog.web.openapi_readers import reader_paths
from watchdog.web.openapi_rollouts import rollout_paths

Json = dict[str, Any]

_HEALTH = "It asks nothing of anybody: use it as a startup probe."
_LIVE = (
    "200 while the ticks of every rollout end, well or not, within three intervals: use it as a liveness probe. A "
    "ledger or a Prometheus that is down does not make it fail, for a new process would not have them either."
)
_READY = (
    "200 while the ledger answers, every rollout ticked within three intervals and the process at `serve.listen` is "
    "there."
)


def document(version: str) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "slo-watchdog",
            "version": version,
            "summary": "Rollouts, their verdicts, flags and operator commands.",
            "description": "Times are RFC 3339 in UTC, shares are fractions of 1, exposure is percent. Answers may "
            "gain fields; none is renamed.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            **_daemon(),
            **rollout_paths(),
            **flag_paths(),
            **alert_paths(),
            **preflight_paths(),
            **drill_paths(),
            **reader_paths(),
            **page_paths(),
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A named token, or http.token_file."},
                "alerts": {"type": "http", "scheme": "bearer", "description": "alerts.token_file of the daemon."},
                "reader": {"type": "http", "scheme": "bearer", "description": "serve.token_file, where there is one."},
            },
        },
    }


def _daemon() -> Json:
    described = body("application/json", {"type": "object"})
    described["200"]["headers"] = ETAG
    described["304"] = {"description": "What the caller has already.", "headers": ETAG}
    text_of = body("text/plain", {"type": "string"})
    access = ("unauthorized", "too-many-attempts")
    return {
        "/healthz": {"get": operation("health", "Whether the process answers.", answer("Health"), more=_HEALTH)},
        "/livez": {
            "get": operation("live", "Whether every rollout's ticks end.", answer("Health"), "stuck", more=_LIVE)
        },
        "/readyz": {
            "get": {
                **reading("ready", "Whether the ledger answers and every rollout ticks.", "Ready", "not-ready"),
                "description": _READY,
            }
        },
        "/metrics": {"get": operation("metrics", "Prometheus metrics.", text_of, *access)},
        "/openapi.json": {
            "get": operation("openapi", "This document.", described, *access, parameters=[KNOWN]),
        },
    }
