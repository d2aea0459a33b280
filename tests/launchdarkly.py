"""A strict local LaunchDarkly: the few calls that the watchdog makes, refused wherever the API reference says so.

with Answering() as server:
    launchdarkly = LaunchDarkly(flags=["new-checkout"])
    server.always(launchdarkly)

Facts from the reference: paths, headers, the semantic patch, 405 where approvals are required, 400 for a change that a
pending one conflicts with (unless `ignoreConflicts=true`), the shape of errors, `X-Ratelimit-Reset` in milliseconds.
Inferred, for lack of the real service: that a patch counts the environment's version up by one, that turning off what
is off is taken and changes nothing, the words of messages, and that a dry run answers as the patch would.
"""

from __future__ import annotations

import copy
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.answering import Reply, Request, reply

TOKEN = "api-0123456789"
API_VERSION = "20240415"
SEMANTIC = "application/json; domain-model=launchdarkly.semanticpatch"
ON, OFF = 0, 1
ON_ID, OFF_ID = "a1b2c3d4-on", "a1b2c3d4-off"
FLAG = re.compile(r"/api/v2/flags/(?P<project>[^/]+)/(?P<flag>[^/]+)")
FLAGS = re.compile(r"/api/v2/flags/(?P<project>[^/]+)")
PLACE = re.compile(r"/api/v2/projects/(?P<project>[^/]+)/environments/(?P<environment>[^/]+)")
SCHEDULED = re.compile(
    r"/api/v2/projects/(?P<project>[^/]+)/flags/(?P<flag>[^/]+)/environments/(?P<environment>[^/]+)/scheduled-changes"
)


class Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code = status, code
        super().__init__(message)


@dataclass(frozen=True)
class Audited:
    """One line of LaunchDarkly's own audit log."""

    flag: str
    comment: str
    kinds: tuple[str, ...]


class LaunchDarkly:
    """The flags of one project, as a script for `Answering`."""

    def __init__(
        self,
        flags: Iterable[str] = (),
        *,
        environments: tuple[str, ...] = ("production", "test"),
    ) -> None:
        self.token, self.project, self.environments = TOKEN, "shop", environments
        self.flags: dict[str, dict[str, Any]] = {flag: self._made(flag, ON, OFF) for flag in flags}
        self.audit: list[Audited] = []
        self.approvals: dict[str, Any] = {"required": False, "requiredApprovalTags": []}
        self.enforced = False
        self.scheduled: list[dict[str, Any]] | None = []
        self.read_only = False
        self.limited_for: float | None = None
        self.terse = False
        """Answer a patch without the environments."""
        self.meanwhile: Callable[[], None] | None = None
        """Runs once, after the next reading of a flag: somebody else is quicker."""

    def of(self, flag: str, environment: str = "production") -> dict[str, Any]:
        """The configuration of a flag in an environment, to look at or to change by hand."""
        found: dict[str, Any] = self.flags[flag]["environments"][environment]
        return found

    def by_person(self, flag: str, **changes: Any) -> None:
        """Somebody changes the flag in LaunchDarkly."""
        self.of(flag).update(changes)
        self.of(flag)["version"] += 1

    def __call__(self, request: Request) -> Reply:
        try:
            return self._answered(request)
        except Refused as refused:
            return reply(refused.status, json={"code": refused.code, "message": str(refused)})

    def _answered(self, request: Request) -> Reply:
        parts = urlsplit(request.target)
        params = dict(parse_qsl(parts.query))
        if request.headers.get("authorization") != self.token:
            raise Refused(401, "unauthorized", "Invalid access token")
        if request.headers.get("ld-api-version") != API_VERSION:
            raise Refused(400, "invalid_request", "expected a pinned LD-API-Version")
        if self.limited_for is not None:
            reset = {"X-Ratelimit-Reset": str(int((time.time() + self.limited_for) * 1000))}
            return reply(
                429, json={"code": "rate_limited", "message": "You've exceeded the API rate limit"}, headers=reset
            )
        calls: list[tuple[str, re.Pattern[str], Callable[..., Reply], set[str]]] = [
            ("GET", FLAG, self._get, {"env"}),
            ("PATCH", FLAG, self._patch, {"dryRun", "ignoreConflicts"}),
            ("POST", FLAGS, self._post, set()),
            ("GET", PLACE, self._environment, set()),
            ("GET", SCHEDULED, self._scheduled, set()),
        ]
        for method, pattern, call, known in calls:
            match = pattern.fullmatch(parts.path)
            if match is None or method != request.method:
                continue
            if unknown := set(params) - known:
                raise Refused(400, "invalid_request", f"unknown parameters {unknown}")
            names = {name: unquote(text) for name, text in match.groupdict().items()}
            if names.pop("project") != self.project or names.get("environment", "production") not in self.environments:
                raise Refused(404, "not_found", "Unknown project or environment")
            return call(request, params, **names)
        raise Refused(404, "not_found", "Unknown resource")

    def _get(self, _: Request, params: dict[str, str], flag: str) -> Reply:
        body = copy.deepcopy(self._found(flag))
        wanted = params.get("env")
        body["environments"] = {name: each for name, each in body["environments"].items() if wanted in (None, name)}
        answer = reply(json=body)
        if self.meanwhile is not None:
            quicker, self.meanwhile = self.meanwhile, None
            quicker()
        return answer

    def _post(self, request: Request, _: dict[str, str]) -> Reply:
        body = request.json
        if request.headers.get("content-type") != "application/json" or self.read_only:
            raise Refused(403 if self.read_only else 400, "forbidden", "Access to the requested resource was denied")
        values = [variation["value"] for variation in body["variations"]]
        if not re.fullmatch(r"[A-Za-z0-9._-]+", body["key"]) or values != [True, False] or not body["name"]:
            raise Refused(400, "invalid_request", "key, name or variations are invalid")
        if body["key"] in self.flags:
            raise Refused(409, "conflict", "A flag with that key already exists")
        made = self._made(body["key"], body["defaults"]["onVariation"], body["defaults"]["offVariation"])
        self.flags[body["key"]] = made
        return reply(201, json=made)

    def _environment(self, _: Request, __: dict[str, str], environment: str) -> Reply:
        return reply(json={"key": environment, "_id": "e", "approvalSettings": self.approvals})

    def _scheduled(self, _: Request, __: dict[str, str], flag: str, environment: str) -> Reply:
        self._found(flag)
        if self.scheduled is None:
            raise Refused(404, "not_found", "Unknown resource")
        return reply(json={"items": self.scheduled, "_links": {}})

    def _patch(self, request: Request, params: dict[str, str], flag: str) -> Reply:
        if request.headers.get("content-type") != SEMANTIC:
            raise Refused(400, "invalid_request", "expected a semantic patch")
        if self.read_only:
            raise Refused(403, "forbidden", "Access to the requested resource was denied")
        whole, body = copy.deepcopy(self._found(flag)), request.json
        if set(body) != {"environmentKey", "comment", "instructions"} or not body["instructions"]:
            raise Refused(400, "invalid_request", "expected environmentKey, comment and instructions")
        if self.enforced:
            raise Refused(405, "method_not_allowed", "Approval is required for this environment")
        if self.scheduled and params.get("ignoreConflicts") != "true":
            raise Refused(400, "invalid_request", "This change conflicts with a pending scheduled change")
        config = whole["environments"].get(body["environmentKey"])
        if config is None:
            raise Refused(404, "not_found", "Unknown environment")
        before = copy.deepcopy(config)
        for instruction in body["instructions"]:
            instruct(config, dict(instruction))
        if config != before:
            config["version"] += 1
        if params.get("dryRun") != "true":
            self.flags[flag] = whole
            self.audit.append(Audited(flag, body["comment"], tuple(each["kind"] for each in body["instructions"])))
        shown = {name: each for name, each in whole.items() if not (self.terse and name == "environments")}
        return reply(json=shown)

    def _found(self, flag: str) -> dict[str, Any]:
        if flag not in self.flags:
            raise Refused(404, "not_found", "Unknown feature flag key")
        return self.flags[flag]

    def _made(self, flag: str, on: int, off: int) -> dict[str, Any]:
        config = {
            "on": False,
            "archived": False,
            "salt": "s",
            "sel": "s",
            "version": 1,
            "targets": [],
            "contextTargets": [],
            "rules": [],
            "prerequisites": [],
            "fallthrough": {"variation": on},
            "offVariation": off,
        }
        return {
            "key": flag,
            "name": flag,
            "kind": "boolean",
            "archived": False,
            "tags": [],
            "_version": 1,
            "variations": [{"_id": ON_ID, "value": True}, {"_id": OFF_ID, "value": False}],
            "environments": {name: copy.deepcopy(config) for name in self.environments},
        }


def instruct(config: dict[str, Any], given: dict[str, Any]) -> None:
    """Carry out one instruction, or refuse it, to the letter."""
    kind = given.pop("kind", None)
    shapes: dict[str, tuple[set[str], set[str]]] = {
        "turnFlagOn": (set(), set()),
        "turnFlagOff": (set(), set()),
        "updateOffVariation": ({"variationId"}, set()),
        "updateFallthroughVariationOrRollout": ({"rolloutWeights"}, {"rolloutContextKind", "rolloutBucketBy"}),
        "addTargets": ({"contextKind", "variationId", "values"}, set()),
        "removeTargets": ({"contextKind", "variationId", "values"}, set()),
    }
    if kind not in shapes:
        raise Refused(400, "invalid_request", f"unknown instruction kind {kind!r}")
    needed, allowed = shapes[kind]
    if needed - set(given) or set(given) - needed - allowed:
        raise Refused(400, "invalid_request", f"wrong parameters for {kind}: {sorted(given)}")
    if kind in ("turnFlagOn", "turnFlagOff"):
        config["on"] = kind == "turnFlagOn"
    elif kind == "updateOffVariation":
        config["offVariation"] = _index(given["variationId"])
    elif kind == "updateFallthroughVariationOrRollout":
        config["fallthrough"] = {"rollout": _rollout(given)}
    else:
        _target(config, kind, given)


def _rollout(given: dict[str, Any]) -> dict[str, Any]:
    weights = {_index(name): weight for name, weight in given["rolloutWeights"].items()}
    whole = all(isinstance(weight, int) and 0 <= weight <= 100_000 for weight in weights.values())
    if not whole or sum(weights.values()) != 100_000:
        raise Refused(400, "invalid_request", "rolloutWeights must be whole numbers that add up to 100000")
    shares = [{"variation": index, "weight": weights[index]} for index in sorted(weights)]
    bucket_by = {"bucketBy": given["rolloutBucketBy"]} if "rolloutBucketBy" in given else {}
    return {"variations": shares, "contextKind": given.get("rolloutContextKind", "user"), **bucket_by}


def _target(config: dict[str, Any], kind: str, given: dict[str, Any]) -> None:
    index, values = _index(given["variationId"]), given["values"]
    if given["contextKind"] != "user" or not values or not all(isinstance(value, str) for value in values):
        raise Refused(400, "invalid_request", "expected user keys")
    held = [value for target in config["targets"] if target["variation"] == index for value in target["values"]]
    others = [target for target in config["targets"] if target["variation"] != index]
    if kind == "addTargets":
        held += [value for value in values if value not in held]
    elif set(values) <= set(held):
        held = [value for value in held if value not in values]
    else:
        raise Refused(400, "invalid_request", "a key is not targeted")
    config["targets"] = others + ([{"values": held, "variation": index, "contextKind": "user"}] if held else [])


def _index(variation_id: object) -> int:
    if variation_id not in (ON_ID, OFF_ID):
        raise Refused(400, "invalid_request", f"unknown variation {json.dumps(variation_id)}")
    return ON if variation_id == ON_ID else OFF
