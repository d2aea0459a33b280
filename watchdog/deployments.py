"""`deployment.json`: what a pipeline put where, on whose word and on which evidence.

A pipeline writes it (`deploy/pipelines/scripts/record-deployment`), the next stage checks it, and `start --deployment`
records it, so that the report says which build it signs. The models below are its schema, and the JSON Schema in
`watchdog/schemas/` is generated from them for those who read the file with other tools.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from watchdog.errors import ConfigError, Problem

SCHEMA = "slo-watchdog/deployment/1"
"""Changes when a field is renamed or changes its meaning."""

LARGEST = 64 * 1024
"""Bytes of such a file."""

SCHEMA_FILE = Path(__file__).parent / "schemas" / "deployment.schema.json"

Line = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Digest = Annotated[
    str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="what runs, by its content; never by a tag")
]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$", description="the whole hash, not a short one")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleRef(_Part):
    """The rollout that watches this deployment."""

    name: Line
    sha256: Sha256 = Field(description="of its rule, as the ledger freezes it")


class FlagRef(_Part):
    """The flag that the rollout ramps, as it was when this was written."""

    name: Line
    version: Line | None = Field(description="the flag service's own version; null where it has none")


class PreflightRef(_Part):
    """The preflight that let it through, as the ledger has it."""

    id: int = Field(ge=1)
    sha256: Sha256
    passed: bool


class Previous(_Part):
    """What served before: the way back."""

    colour: Line | None
    digest: Digest
    commit: Commit | None = None


class RollbackTest(_Part):
    """A switch and its rollback, tried under load. Only staging does this."""

    passed: bool
    requests: int = Field(ge=0)
    failed: int = Field(ge=0)
    back_s: float = Field(ge=0, description="seconds from the order until the old colour answered everything")


class Bypass(_Part):
    """Somebody's word in place of the evidence of staging."""

    by: Line
    reason: Line


class Deployment(_Part):
    """One build in one environment."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="A deployment watched by slo-watchdog")

    schema_: Literal["slo-watchdog/deployment/1"] = Field(alias="schema")
    environment: Line
    service: Line
    commit: Commit
    image: Line = Field(description="the repository or name of the artefact, without tag and digest")
    digest: Digest
    colour: Line = Field(description="which of the two installations serves it")
    rollout: RuleRef
    flag: FlagRef
    preflight: PreflightRef | None = Field(description="null only with `bypass`")
    by: Line = Field(description="who asked for it")
    at: AwareDatetime = Field(description="when this was written, RFC 3339")
    previous: Previous | None = Field(description="null at the very first deployment")
    rollback_test: RollbackTest | None = None
    staging: Sha256 | None = Field(None, description="sha256 of staging's own deployment.json, on which this rests")
    bypass: Bypass | None = None
    run: Line | None = Field(None, description="address of the pipeline's run")


@dataclass(frozen=True, slots=True)
class ReadDeployment:
    """A file that held. `sha256` is that of its bytes, `text` is these bytes."""

    facts: Deployment
    text: str
    sha256: str


def read_deployment(file: Path) -> ReadDeployment:
    """The deployment that a file tells of. Raises ConfigError with every problem of it."""
    place = str(file)
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError([Problem(place, f"cannot be read: {error.strerror}; expected a deployment.json")]) from error
    if len(raw) > LARGEST:
        raise ConfigError([Problem(place, f"is larger than {LARGEST} bytes; expected a deployment.json")])
    return ReadDeployment(parsed(raw, place), raw.decode(), hashlib.sha256(raw).hexdigest())


def parsed(raw: bytes, place: str) -> Deployment:
    """The same from its bytes; `place` is what complaints call it. Raises ConfigError."""
    try:
        return checked(json.loads(raw.decode()), place)
    except (RecursionError, ValueError) as error:
        raise ConfigError([Problem(place, f"is not JSON: {error}; expected a deployment.json")]) from error


def checked(data: Any, place: str) -> Deployment:
    """Plain data as a deployment. Raises ConfigError with every problem of it."""
    try:
        found = Deployment.model_validate(data)
    except ValidationError as error:
        raise ConfigError([_problem(place, one["loc"], one["msg"]) for one in error.errors()]) from error
    if found.preflight is None and found.bypass is None:
        why = "is null and there is no bypass; expected the preflight, or who goes without it and why"
        raise ConfigError([Problem(f"{place}: preflight", why)])
    return found


def written(facts: Deployment) -> str:
    """Its text: sorted keys, two spaces, a final newline; equal facts give equal bytes."""
    data = facts.model_dump(mode="json", by_alias=True)
    data["at"] = _zulu(facts.at)
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def json_schema() -> str:
    """The JSON Schema of the file, as `watchdog/schemas/` has it."""
    schema = Deployment.model_json_schema(by_alias=True)
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:{SCHEMA.replace('/', ':')}"}
    return json.dumps({**found, **schema}, indent=2, ensure_ascii=False) + "\n"


def _problem(place: str, where: tuple[int | str, ...], message: str) -> Problem:
    inside = ".".join(str(part) for part in where)
    return Problem(f"{place}: {inside}" if inside else place, message[:1].lower() + message[1:])


def _zulu(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
