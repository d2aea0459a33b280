"""The part of the API's description that is about pages for people; programs ask what is below /api.

Pages are told apart from the API by their tag: their HTML is no contract.
"""

from __future__ import annotations

import re
from typing import Any

from watchdog.web.describe import ACCESS, body, operation, path

Json = dict[str, Any]
TAG = "pages"
FORM = "application/x-www-form-urlencoded"
_HTML, _DATA = "text/html", "application/json"
_SEEN = (*ACCESS, "unknown-rollout", "not-found", "bad-parameter", "ledger")
_SENT = (*_SEEN, "no-token", "forbidden", "not-meant", "bad-request", "bad-body", "too-large", "too-slow")
_PARTS = {
    "id": "The rollout's name.",
    "verb": "What is wanted of the rollout or the flag.",
    "episode": "The episode's id.",
    "objective": "The objective's name.",
    "file": "The file.",
    "service": "The flag service.",
    "flag": "The flag.",
}
SHOWN = {
    "/": ("page", "Every rollout: phase, exposure, window, verdicts, and why it waits.", _HTML),
    "/live": ("page_live", "What changes on pages, as server-sent events.", "text/event-stream"),
    "/login": ("page_login", "Where a browser shows its token.", _HTML),
    "/static/{file}": ("page_file", "A style sheet or a script of the pages.", "application/octet-stream"),
    "/rollouts/{id}": ("page_rollout", "One rollout, with everything that is known of it.", _HTML),
    "/rollouts/{id}/live": ("page_rollout_live", "The part of it that changes.", _HTML),
    "/rollouts/{id}/objectives/{objective}": ("page_objective", "One objective with its chart.", _HTML),
    "/rollouts/{id}/charts/exposure": ("page_exposure", "The figures of a chart.", _DATA),
    "/rollouts/{id}/charts/objectives/{objective}": ("page_column", "The figures of a chart.", _DATA),
    "/rollouts/{id}/{verb}": ("page_confirm", "What an order would do, and the form that gives it.", _HTML),
    "/noise": ("page_noise", "What fired and what of it was false, with the form for labels.", _HTML),
    "/preflight": ("page_preflight", "The newest preflight, with the form that starts one.", _HTML),
    "/drills": ("page_drills", "Rollback drills, with the form that starts one.", _HTML),
    "/drills/chart": ("page_drills_chart", "The figures of a chart.", _DATA),
    "/flags": ("page_flags", "Every flag that is known.", _HTML),
    "/flags/{service}/{flag}": ("page_flag", "One flag with its changes.", _HTML),
    "/flags/{service}/{flag}/{verb}": ("page_flag_confirm", "What a change would do, and its form.", _HTML),
}
"""Path -> (operationId, what it shows, media type)."""
FORMS = {
    "/login": ("page_enter", "Open a session."),
    "/logout": ("page_leave", "End the session."),
    "/rollouts/{id}/{verb}": ("page_order", "Give an order to a rollout."),
    "/noise/{episode}/label": ("page_label", "Say what an episode was."),
    "/preflight": ("page_start_preflight", "Start a preflight."),
    "/drills": ("page_start_drill", "Start a drill."),
    "/flags/{service}/{flag}/{verb}": ("page_change_flag", "Change a flag."),
}
"""Path -> (operationId, what sending the form does)."""


def page_paths() -> Json:
    """Every address of a page."""
    paths: Json = {}
    for where, (name, about, mime) in SHOWN.items():
        paths.setdefault(where, _parts(where))["get"] = _shown(name, about, mime)
    for where, (name, about) in FORMS.items():
        paths.setdefault(where, _parts(where))["post"] = _sent(name, about)
    return paths


def _parts(where: str) -> Json:
    names = re.findall(r"{(\w+)}", where)
    return {"parameters": [path(name, _PARTS[name]) for name in names]} if names else {}


def _shown(name: str, about: str, mime: str) -> Json:
    refusals = (*_SEEN, "too-many-readers") if name == "page_live" else _SEEN
    return {**operation(name, about, body(mime, {"type": "string"}), *refusals), "tags": [TAG]}


def _sent(name: str, about: str) -> Json:
    answers = {"303": {"description": "Done; where to look is in Location."}}
    content = {FORM: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}}
    described = operation(name, about, answers, *_SENT)
    return {**described, "tags": [TAG], "requestBody": {"required": True, "content": content}}
