"""The settings of flag services: the one that is steered, secondary ones, the emergency set, serving and drills."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from watchdog.config.values import Duration, File, Listen, Secret, Text, Url
from watchdog.quantities import parse_duration, shown
from watchdog.rolloutfile.fields import listing, mapping, text, whole, word

PROPAGATION = {
    "flagd-file": 1.0,
    "redis": 1.0,
    "unleash": 15.0,
    "launchdarkly": 5.0,
    "webhook": 0.0,
    "memory": 0.0,
}
"""Worst case from a write to the reader, by flag service: flagd's file watcher polls once a second, a Redis reader that
lost a message too; Unleash clients ask every 15 s unless told otherwise."""

KEYS = {
    "flagd-file": {"path", "bucketing", "audiences"},
    "redis": {"url", "set", "username", "password", "ca_file", "bucketing", "audiences"},
    "unleash": {"url", "token", "project", "environment", "ca_file"},
    "launchdarkly": {"url", "token", "project", "environment", "ca_file"},
    "webhook": {"url", "secret", "ca_file", "audiences"},
    "memory": set(),
}
"""Which keys a service understands besides `service`, `timeout` and `propagation`."""

ABILITIES = {
    "flagd-file": (0.001, True, True),
    "redis": (0.001, True, True),
    "unleash": (1.0, True, False),
    "launchdarkly": (0.001, True, False),
    "webhook": (0.001, True, True),
    "memory": (0.001, True, True),
}
"""What a plan may ask of a service, known without opening it: smallest step in percent, whether it has cohorts, and
audiences. A test compares them with what each service says of itself."""

NEEDED = {
    "redis": {"url": "redis://127.0.0.1:6379/0"},
    "unleash": {"url": "http://127.0.0.1:4242", "token": "an admin token, or token_file"},
    "launchdarkly": {"token": "an access token, or token_file", "project": "shop", "environment": "production"},
    "webhook": {"url": "https://receiver.example/flags", "secret": "the shared key, or secret_file"},
}
BUCKETINGS = ("flagd-v2", "flagd-v3")
SCHEMES = {"http", "https", "redis", "rediss"}
AUDIENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
SET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Section(BaseModel):
    """No unknown key, and no change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _service_url(found: Any) -> str:
    url = text(found)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if host is None or parts.scheme not in SCHEMES:
        expected = "an address such as https://flags.example or redis://127.0.0.1:6379/0"
        raise ValueError(f"found {shown(re.sub('//[^/@]*@', '//...@', url))}, expected {expected}")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or a password, which would print; write username and password_file instead")
    return url.rstrip("/")


def _audiences(found: Any) -> dict[str, Any]:
    """Name -> JsonLogic condition; from the environment as JSON."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError as error:
            raise ValueError(f"found {shown(found)}, expected a mapping, or one as JSON") from error
    audiences = {}
    for name, condition in mapping(found).items():
        if not AUDIENCE.fullmatch(name):
            raise ValueError(f"names an audience {shown(name)}; expected letters, digits, dots, dashes and underscores")
        if not isinstance(condition, dict) or len(condition) != 1:
            example = '{ends_with: [{var: email}, "@example.com"]}'
            raise ValueError(f"{name}: found {shown(condition)}, expected one JsonLogic condition such as {example}")
        _refuse_hostile(condition, name)
        audiences[name] = condition
    return audiences


def _refuse_hostile(condition: Any, name: str, depth: int = 0) -> None:
    """A condition is evaluated for every request: plain JSON, shallow, and no dealing out of percentages inside it."""
    if depth > 20:
        raise ValueError(f"{name}: is nested more than 20 levels deep; write a simpler condition")
    if isinstance(condition, dict):
        for key, inner in condition.items():
            if key in {"fractional", "$ref"}:
                raise ValueError(f"{name}: uses {key}, which an audience must not; write plain conditions")
            _refuse_hostile(inner, name, depth + 1)
    elif isinstance(condition, list):
        for inner in listing(condition):
            _refuse_hostile(inner, name, depth + 1)
    elif condition is not None and not isinstance(condition, str | int | float):  # a date, in YAML
        raise ValueError(f"{name}: found {shown(condition)}; expected text, numbers, lists and maps")


def _set_name(found: Any) -> str:
    name = text(found)
    if not SET.fullmatch(name):
        raise ValueError(
            f"found {shown(name)}, expected letters, digits, dots, dashes and underscores, such as checkout"
        )
    return name


class FlagSettings(Section):
    """One flag service: which, where, and how long it may take."""

    service: Annotated[str, BeforeValidator(word(*PROPAGATION))] = "flagd-file"
    path: File = Path("flags/flags.flagd.json")
    """flagd-file: the document, one file a flag set."""
    timeout: Duration = 5.0
    propagation: Annotated[float, BeforeValidator(parse_duration)] | None = None
    """Worst case from a write to its last reader; None: what is known of the service (`PROPAGATION`)."""
    bucketing: Annotated[str, BeforeValidator(word(*BUCKETINGS))] = "flagd-v2"
    """Which hash deals users to percentages, of the two that flagd's providers have had."""
    audiences: Annotated[dict[str, Any], BeforeValidator(_audiences)] = Field(default_factory=dict)
    url: Annotated[str, BeforeValidator(_service_url)] | None = None
    set: Annotated[str, BeforeValidator(_set_name)] = "flags"
    """redis: the flag set, a part of every key."""
    username: Text | None = None
    password: Secret | None = None
    password_file: File | None = None
    token: Secret | None = None
    token_file: File | None = None
    secret: Secret | None = None
    secret_file: File | None = None
    project: Text = "default"
    environment: Text = "production"
    ca_file: File | None = None

    @model_validator(mode="after")
    def _fits(self) -> FlagSettings:
        given = {name.removesuffix("_file") if name != "ca_file" else name for name in self.model_fields_set}
        understood = KEYS[self.service] | {"service", "timeout", "propagation"}
        if foreign := sorted(given - understood):
            owners = " and ".join(name for name, keys in KEYS.items() if foreign[0] in keys)
            raise ValueError(f"{foreign[0]} belongs to service {owners}, but the service is {self.service}; remove it")
        for key, example in NEEDED.get(self.service, {}).items():
            if getattr(self, key) is None:
                raise ValueError(f"the service {self.service} needs {key}; write for example {key}: {example}")
        if self.url is not None and (self.service == "redis") != self.url.startswith("redis"):
            expected = "redis:// or rediss://" if self.service == "redis" else "http:// or https://"
            raise ValueError(f"the service {self.service} has an address that begins with {expected}; correct url")
        return self

    @property
    def worst_propagation(self) -> float:
        """Worst case from a write to its last reader, as written or as known of the service."""
        return PROPAGATION[self.service] if self.propagation is None else self.propagation


class ServeSettings(Section):
    """Answering evaluations: OFREP and flagd's HTTP sync, from the flag set that this daemon keeps."""

    listen: Listen | None = None
    """An address of its own for readers, besides the one of `http`."""
    token: Secret | None = None
    """What a reader must send as a bearer token; None: anybody who reaches the address may read."""
    token_file: File | None = None


READERS = ("auto", "flagd-file", "ofrep", "flagd", "redis", "unleash", "memory")


class DrillSettings(Section):
    """Timed rollback drills on a flag of their own, measured to a real reader."""

    flag: Text = "slo-watchdog-drill"
    every: Annotated[float, BeforeValidator(parse_duration)] = 86400.0
    """How often the daemon drills by itself, in seconds; 0 never."""
    runs: Annotated[int, BeforeValidator(whole(1, 10_000))] = 5
    reader: Annotated[str, BeforeValidator(word(*READERS))] = "auto"
    """Which client reads the flag; auto: the one that belongs to the service."""
    url: Url | None = None
    """Where that client asks, if not where the service's own settings say."""
    token: Secret | None = None
    """The reader's own token: an Unleash client token, or that of `serve`."""
    token_file: File | None = None
    refresh: Duration = 1.0
    """How often a reader that polls does so."""
