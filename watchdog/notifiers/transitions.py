"""Pipelines: every transition of a rollout, signed, to the hook that the rollout names, or else to the daemon's.

Two styles: our own document, and GitHub's repository_dispatch, which starts a workflow (docs/notify/transitions.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from watchdog.errors import NotifierError
from watchdog.exchange.answer import asked_wait
from watchdog.messages import Message
from watchdog.model import TransitionHook
from watchdog.notifiers.base import Memo
from watchdog.notifiers.texts import cut, one_line
from watchdog.notifiers.wire import Answer, Post, document, instant, signed
from watchdog.signing import SIGNATURE, TIMESTAMP

if TYPE_CHECKING:
    from watchdog.config.notifysettings import TransitionSettings

NAME = "on_transition"
FORMAT = 1
"""Version of the document; a receiver refuses what it does not know."""

KINDS = ("transition", "test")
TIMEOUT = 10.0
"""Seconds that a rollout's own hook has to answer where the daemon's settings have no `on_transition`."""

GITHUB_LARGEST = 60_000
"""Bytes of a dispatch: GitHub takes 65,535 characters of payload."""

VOUCHED = ("format", "key", "rollout", "service", "flag", "version", "at", "from", "to", "kind")
"""The parts of a transition that a workflow may act on: names and phases, no sentences."""

LONGEST_EVENT = 100
LONGEST_SECRET = 64 * 1024


@dataclass(frozen=True)
class _Hook:
    """Whom to tell, with its secrets; `alone` says that every rollout is told there."""

    url: str
    style: str
    secret: str
    token: str
    alone: bool


def open_transitions(settings: TransitionSettings | None) -> Transitions:
    """The channel with these settings for rollouts that name no hook of their own. Reaches nothing yet."""
    return Transitions(settings)


class Transitions:
    """Tells pipelines. A rollout's own hook has its own troubles: they hold up nothing of other rollouts."""

    name = NAME

    def __init__(self, settings: TransitionSettings | None) -> None:
        self._settings = settings
        self._timeout = settings.timeout if settings is not None else TIMEOUT

    def ready_in(self, message: Message, now: float) -> float:  # noqa: ARG002 - the port's shape
        """0: a receiver that wants to be left alone says so."""
        return 0.0

    def send(self, message: Message, memo: Memo, now: float, *, again: bool) -> str:  # noqa: ARG002 - repeats have one id
        """POST the transition to its hook; a receiver knows a repeat by its id. Raises NotifierError."""
        if message.kind not in KINDS:
            return f"not sent: {message.kind} is no transition"
        hook = self._hook(message)
        if hook is None:
            return "there is no hook"
        secrets = [text for text in (hook.secret, hook.token) if text]
        post = Post(hook.url, channel=NAME, timeout=self._timeout, secrets=secrets, alone=hook.alone)
        if hook.style == "github":
            return _dispatch(post, hook, message, now)
        body = document(described(message))
        bearer = {"Authorization": f"Bearer {hook.token}"} if hook.token else {}
        answer = post.send(body, {**signed(hook.secret, body, message, now), **bearer})
        if answer.status == 409:
            return "had it already (409)"
        if not 200 <= answer.status < 300:
            raise post.refused(answer)
        return f"took it ({answer.status})"

    def close(self) -> None:
        """Nothing is kept open."""

    def _hook(self, message: Message) -> _Hook | None:
        own = message.rule.on_transition if message.rule is not None else None
        if own is not None:
            return _Hook(own.url, own.style, *_secrets_of(own), alone=False)
        settings = self._settings
        if settings is None:
            return None
        secret, token = (
            text.get_secret_value() if text is not None else "" for text in (settings.secret, settings.token)
        )
        return _Hook(settings.url, settings.style, secret, token, alone=True)


def described(message: Message) -> dict[str, Any]:
    """The transition as its document says it; what its record does not have is null."""
    details: Mapping[str, object] = message.details
    recorded = {
        name: details.get(name) for name in ("mode", "from", "to", "kind", "why", "by", "objective", "exposure")
    }
    return {
        "format": FORMAT,
        "key": message.key,
        "rollout": message.rollout,
        "service": message.service,
        "flag": message.flag,
        "version": message.version,
        "at": instant(message.at),
        **recorded,
        "kind": recorded["kind"] or message.kind,
        "why": recorded["why"] or message.summary,
    }


def _dispatch(post: Post, hook: _Hook, message: Message, now: float) -> str:
    """Start workflows: GitHub's own document, with ours under one key. It answers 204 and nothing else."""
    if not hook.token:
        raise post.error("has no token; GitHub takes a dispatch with one only", permanent=True, everything=True)
    told = described(message)
    moved = told["to"] and told["to"] != told["from"]
    event = cut(one_line(f"slo-watchdog-{told['to'] if moved else told['kind']}"), LONGEST_EVENT)
    payload = {"transition": told, **_vouched(told, hook, message, now)}
    body = document({"event_type": event, "client_payload": payload}, GITHUB_LARGEST)
    headers = {
        "Authorization": f"Bearer {hook.token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    answer = post.send(body, {**signed(hook.secret, body, message, now), **headers})
    if answer.status == 204:
        return f"GitHub took the event {event} (204)"
    if (limit := _limited(post, answer)) is not None:
        raise limit
    if 200 <= answer.status < 300:
        found = f"answered with status {answer.status}; GitHub says 204: check that the address ends in /dispatches"
        raise post.error(found, permanent=True, everything=True)
    raise post.refused(answer)


def _vouched(told: Mapping[str, Any], hook: _Hook, message: Message, now: float) -> dict[str, Any]:
    """What a workflow acts on, signed inside the payload; nothing where the hook has no secret.

    GitHub hands a workflow the payload and neither our headers nor our bytes, so that the signature covers a text that
    travels as a string.
    """
    if not hook.secret:
        return {}
    text = json.dumps({name: told[name] for name in VOUCHED}, ensure_ascii=True)
    headers = signed(hook.secret, text.encode(), message, now)
    return {"signed": {"text": text, "timestamp": headers[TIMESTAMP], "signature": headers[SIGNATURE]}}


def _limited(post: Post, answer: Answer) -> NotifierError | None:
    """The error of a 403 that is about speed, not rights: GitHub says so in its headers only."""
    spent = answer.headers.get("X-RateLimit-Remaining", "").strip() == "0"
    if answer.status != 403 or not (spent or answer.headers.get("Retry-After")):
        return None
    # Without a time GitHub asks for a minute at least.
    wait = asked_wait(answer.headers) or 60.0
    return post.error(f"was asked too often (403), waiting for {wait:g} s", retry_after=wait, everything=True)


def _secrets_of(hook: TransitionHook) -> tuple[str, str]:
    """Secret and token of a rollout's hook, read now: files of secrets change while we run. Raises NotifierError."""
    return (
        _read(hook.secret_file, "secret_file") if hook.secret_file else "",
        _read(hook.token_file, "token_file") if hook.token_file else "",
    )


def _read(file: str, key: str) -> str:
    try:
        with Path(file).open(encoding="utf-8") as lines:
            text = lines.read(LONGEST_SECRET).strip()
    except (OSError, ValueError) as error:
        found = getattr(error, "strerror", None) or "it is not text"
        message = (
            f"{NAME}: {key} {file} of the rollout's hook cannot be read: {found}; write it, readable for the daemon."
        )
        raise NotifierError(message, permanent=True, everything=True) from error
    if not text:
        message = f"{NAME}: {key} {file} of the rollout's hook is empty; expected one line with the secret."
        raise NotifierError(message, permanent=True, everything=True)
    return text
