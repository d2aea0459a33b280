"""GitHub's REST API, as far as the scripts here ask it. GITHUB_API_URL is its address, GITHUB_TOKEN opens it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import steps

VERSION = "2022-11-28"
TIMEOUT = 20.0
"""Seconds for one answer."""
LARGEST = 4 * 1024 * 1024


class Answer:
    """What GitHub said: a status and, where there is one, a document."""

    def __init__(self, status: int, data: Any) -> None:
        self.status, self.data = status, data


def ask(method: str, path: str, body: Mapping[str, Any] | None = None, *, accept: tuple[int, ...] = (200,)) -> Answer:
    """One request, never repeated. StepFailed when there is no answer, or one of another status."""
    base = steps.optional("GITHUB_API_URL") or "https://api.github.com"
    if not base.startswith(("https://", "http://")):
        raise steps.StepFailed(f"GITHUB_API_URL is {base!r}; expected an address that begins with https://")
    request = urllib.request.Request(  # noqa: S310 - looked at above
        base.rstrip("/") + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {steps.setting('GITHUB_TOKEN', 'a token with the rights that the script names')}",
            "Content-Type": "application/json",
            "User-Agent": "slo-watchdog-pipelines",
            "X-GitHub-Api-Version": VERSION,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310 - looked at above
            status, raw = answer.status, answer.read(LARGEST)
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read(LARGEST)
    except OSError as error:
        raise steps.StepFailed(f"{method} {path}: GitHub could not be asked: {error}") from error
    data = _document(raw)
    if status not in accept:
        said = data.get("message", "") if isinstance(data, dict) else ""
        raise steps.StepFailed(f"{method} {path}: GitHub answered {status} {said}".rstrip() + _advice(status))
    return Answer(status, data)


def repository() -> str:
    """`owner/name` of the repository. StepFailed when nobody says."""
    found = steps.setting("GITHUB_REPOSITORY", "owner/name")
    if found.count("/") != 1:
        raise steps.StepFailed(f"GITHUB_REPOSITORY is {found!r}; expected owner/name")
    return found


def _document(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None


def _advice(status: int) -> str:
    return {
        401: "; the token is wrong or has ended",
        403: "; give the token the right to administrate this repository",
        404: "; there is no such thing, or the token may not see it",
    }.get(status, "")
