"""What LaunchDarkly says of a flag in one environment, understood; and the instructions that change it. No I/O.

Weights are thousandths of a percent of the default ("fallthrough") rule. While targeting is off, everybody gets the off
variation, whatever else the flag says. Anything that would give the feature to people whom nobody here can count is a
problem: the flag then has no exposure that could be told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from watchdog.model import Exposure

Instruction = dict[str, Any]
Json = dict[str, Any]

TOTAL = 100_000
"""Sum of the weights, 100 %."""

USER = "user"
LARGEST_COHORT = 1000


class NotUnderstood(ValueError):
    """The answer is no flag of this environment; the text goes on after "it"."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag in one environment. `on_id` and `off_id` are the ids of the variations `true` and `false`."""

    on: bool
    version: int
    on_id: str
    off_id: str
    off_serves: bool | None
    """What the off variation gives; None when there is none, and callers get their code defaults."""
    weight: int | None
    """Of the on variation in the default rule; None when that cannot be told."""
    members: tuple[str, ...]
    """User keys that are individually targeted with the on variation."""
    kind: str
    bucket_by: str | None
    """What users are dealt by, in the default rule; kept as it is, for changing it deals everybody anew."""
    tags: tuple[str, ...]
    stray: tuple[str, ...]
    """Sentences: what else decides who has the feature while targeting is on."""
    archived: bool = False

    @property
    def exposure(self) -> Exposure | None:
        """Who has the feature; None when that cannot be told (`problems`)."""
        if self.problems:
            return None
        if not self.on:
            return Exposure(100.0 if self.off_serves else 0.0)
        return Exposure(round((self.weight or 0) * 100 / TOTAL, 3), bool(self.members))

    @property
    def problems(self) -> tuple[str, ...]:
        """Why nobody can tell who has the feature; empty when that is clear."""
        if self.archived:
            return ("it is archived",)
        if not self.on:
            unset = "it is off without an off variation, so that callers get their code defaults"
            return (unset,) if self.off_serves is None else ()
        return self.stray

    @property
    def harmless(self) -> bool:
        """Whether nobody has the feature."""
        exposure = self.exposure
        return exposure is not None and exposure.none


def understood(body: Any, environment: str) -> Flag:
    """A flag as LaunchDarkly represents it. Raises NotUnderstood."""
    if not isinstance(body, dict):
        raise NotUnderstood("is no flag")
    true, ids = _variations(body.get("variations"))
    places = body.get("environments")
    found = places.get(environment) if isinstance(places, dict) else None
    if not isinstance(found, dict):
        raise NotUnderstood(f"has no environment {environment!r}")
    on, version = found.get("on"), found.get("version")
    if not isinstance(on, bool) or isinstance(version, bool) or not isinstance(version, int):
        raise NotUnderstood(f"says neither whether it is on in {environment!r}, nor its version there")
    off = found.get("offVariation")
    members, stray = _targets(found, true)
    weight, rollout, problem = _fallthrough(found.get("fallthrough"), true)
    stray += _rules(found, true) + ([problem] if problem else [])
    bucket_by = rollout.get("bucketBy")
    tags = body.get("tags")
    return Flag(
        on,
        version,
        ids[true],
        ids[1 - true],
        off == true if _index(off) else None,
        weight,
        members,
        str(rollout.get("contextKind") or USER),
        bucket_by if isinstance(bucket_by, str) and bucket_by not in {"", "key"} else None,
        tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        tuple(stray),
        body.get("archived") is True or found.get("archived") is True,
    )


def raising(flag: Flag, percent: float, cohort: Sequence[str]) -> list[Instruction]:
    """Instructions that make the flag serve exactly this.

    In this order no prefix of them exposes anybody who was not asked for: who is to lose the feature first, then the
    weights, then who is to get it by name, and targeting last.
    """
    weight = math.floor(round(percent * TOTAL / 100, 6))
    target: Instruction = {"contextKind": USER, "variationId": flag.on_id}
    instructions: list[Instruction] = []
    if gone := [key for key in flag.members if key not in cohort]:
        instructions.append({"kind": "removeTargets", **target, "values": gone})
    instructions.append(
        {
            "kind": "updateFallthroughVariationOrRollout",
            "rolloutContextKind": flag.kind,
            **({"rolloutBucketBy": flag.bucket_by} if flag.bucket_by else {}),
            "rolloutWeights": {flag.on_id: weight, flag.off_id: TOTAL - weight},
        }
    )
    if new := [key for key in cohort if key not in flag.members]:
        instructions.append({"kind": "addTargets", **target, "values": new})
    if not flag.on:
        instructions.append({"kind": "turnFlagOn"})
    return instructions


def _variations(listed: Any) -> tuple[int, list[str]]:
    """Index of the variation `true`, and both ids in order. Raises NotUnderstood."""
    both = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    values = [each.get("value") for each in both]
    if len(both) != 2 or len(both) != len(listed) or sorted(map(repr, values)) != ["False", "True"]:
        raise NotUnderstood("is not a boolean flag with the variations true and false")
    ids = [each["_id"] for each in both if isinstance(each.get("_id"), str) and each["_id"]]
    if len(set(ids)) != 2:
        raise NotUnderstood("does not say the ids of its variations")
    return 0 if values[0] is True else 1, ids


def _index(found: Any) -> bool:
    """Whether this is the index of one of the two variations."""
    return isinstance(found, int) and not isinstance(found, bool) and found in (0, 1)


def _fallthrough(found: Any, true: int) -> tuple[int | None, Json, str]:
    """The on weight of the default rule, its rollout as it stands, and a problem with it."""
    if not isinstance(found, dict):
        return None, {}, "its default rule is missing"
    rollout = found.get("rollout")
    if not isinstance(rollout, dict):
        variation = found.get("variation")
        if not _index(variation):
            return None, {}, "its default rule serves no variation"
        return (TOTAL if variation == true else 0), {}, ""
    weights = [0, 0]
    for share in _list(rollout, "variations"):
        index, weight = share.get("variation"), share.get("weight")
        if not _index(index) or isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            return None, rollout, f"its default rule has the share {str(share)[:80]}"
        weights[int(index or 0)] += weight
    if sum(weights) != TOTAL:
        return None, rollout, f"the weights of its default rule add up to {sum(weights)}, not {TOTAL}"
    if rollout.get("experimentAllocation"):
        return None, rollout, "an experiment deals out its default rule"
    return weights[true], rollout, ""


def _targets(found: dict[str, Any], true: int) -> tuple[tuple[str, ...], list[str]]:
    """Users who are targeted with the feature by name; and other kinds of contexts that are, which nobody counts."""
    members: list[str] = []
    stray: list[str] = []
    for target in [*_list(found, "targets"), *_list(found, "contextTargets")]:
        values = target.get("values")
        if target.get("variation") != true or not isinstance(values, list) or not values:
            continue
        kind = target.get("contextKind") or USER
        if kind == USER:
            members += [str(value) for value in values]
        else:
            stray.append(f"{len(values)} contexts of kind {kind} are targeted with the feature by name")
    return tuple(dict.fromkeys(members)), stray


def _rules(found: dict[str, Any], true: int) -> list[str]:
    """Rules that give the feature to somebody, and prerequisites, which take it from somebody."""
    stray = []
    for number, rule in enumerate(_list(found, "rules"), 1):
        rollout = rule.get("rollout")
        shares = _list(rollout, "variations") if isinstance(rollout, dict) else []
        if rule.get("variation") == true or any(
            share.get("variation") == true and share.get("weight") for share in shares
        ):
            stray.append(
                f"its rule {number} ({str(rule.get('description') or 'without a name')[:60]}) gives the feature"
            )
    if needed := _list(found, "prerequisites"):
        keys = ", ".join(str(each.get("key"))[:60] for each in needed)
        stray.append(f"it depends on other flags ({keys})")
    return stray


def _list(found: dict[str, Any], key: str) -> list[dict[str, Any]]:
    listed = found.get(key)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
