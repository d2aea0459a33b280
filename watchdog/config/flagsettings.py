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
    """One flag service: which, where, and how long it may take.

    For example::

        flags:
          service: redis
          url: rediss://redis.example:6380/0
          password_file: redis.password
          set: checkout
          audiences:
            internal: {ends_with: [{var: email}, "@example.com"]}
        services:
          app: {service: webhook, url: "https://app.example/flags", secret_file: app.secret}
    """

    service: Annotated[str, BeforeValidator(word(*PROPAGATION))] = "flagd-file"
    """`flagd-file`, `redis`, `unleash`, `launchdarkly`, `webhook`, or `memory` (steers nothing real). See
    docs/flags.md."""
    path: File = Path("flags/flags.flagd.json")
    """`flagd-file`: the flag file. `flags init` creates it; a tick never does."""
    timeout: Duration = 5.0
    """For one call to the service."""
    propagation: Annotated[float, BeforeValidator(parse_duration)] | None = None
    """Worst case from a write to its last reader, part of the time that a rollback takes: 1s for `flagd-file` and
    `redis`, 15s for `unleash`, 5s for `launchdarkly`, 0s for `webhook` and `memory`."""
    bucketing: Annotated[str, BeforeValidator(word(*BUCKETINGS))] = "flagd-v2"
    """`flagd-file`, `redis`: which of flagd's two hashes deals users to percentages, `flagd-v2` or `flagd-v3`. Not to
    be changed in the middle of a ramp."""
    audiences: Annotated[dict[str, Any], BeforeValidator(_audiences)] = Field(default_factory=dict)
    """`flagd-file`, `redis`, `webhook`: whom each audience means, for ring steps: `{internal: {ends_with: [{var:
    email}, "@example.com"]}}`."""
    url: Annotated[str, BeforeValidator(_service_url)] | None = None
    """Address of `redis`, `unleash`, `launchdarkly` (if not the vendor's) or `webhook`."""
    set: Annotated[str, BeforeValidator(_set_name)] = "flags"
    """`redis`: name of the flag set, a part of every key."""
    username: Text | None = None
    """`redis`: who signs in."""
    password: Secret | None = None
    """`redis`: with which password."""
    password_file: File | None = None
    token: Secret | None = None
    """`unleash`, `launchdarkly`: the token that may change flags."""
    token_file: File | None = None
    secret: Secret | None = None
    """`webhook`: signs each message."""
    secret_file: File | None = None
    project: Text = "default"
    """`unleash`, `launchdarkly`: the project."""
    environment: Text = "production"
    """`unleash`, `launchdarkly`: the environment in which flags are changed."""
    ca_file: File | None = None
    """Certificate authority of the service, PEM. Without it, the system's."""

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
    """Answering evaluations: OFREP and flagd's HTTP sync, from the flag set that this daemon keeps.

    For example::

        serve:
          listen: 0.0.0.0:8016
          token_file: readers.token
    """

    listen: Listen | None = None
    """A second address that only answers evaluations, by a process of its own; `http.listen` answers them too."""
    token: Secret | None = None
    """Bearer token that readers must send; without one, whoever reaches the address may read."""
    token_file: File | None = None


READERS = ("auto", "flagd-file", "ofrep", "flagd", "redis", "unleash", "memory")


class DrillSettings(Section):
    """Timed rollback drills on a flag of their own, measured to a real reader.

    For example::

        drill:
          every: 12h
          reader: flagd
          url: http://127.0.0.1:8016
    """

    flag: Text = "slo-watchdog-drill"
    """The flag of the rollback drills, used for nothing else."""
    every: Annotated[float, BeforeValidator(parse_duration)] = 86400.0
    """How often the daemon drills by itself; 0 never."""
    runs: Annotated[int, BeforeValidator(whole(1, 10_000))] = 5
    """Kills in one drill."""
    reader: Annotated[str, BeforeValidator(word(*READERS))] = "auto"
    """The client that reads the flag: `flagd-file`, `ofrep`, `flagd`, `redis`, `unleash` or `memory`; `auto` takes the
    one of the service."""
    url: Url | None = None
    """Where that client asks, if not where the service's settings say."""
    token: Secret | None = None
    """The client's own token."""
    token_file: File | None = None
    refresh: Duration = 1.0
    """How often a client that polls does so."""
