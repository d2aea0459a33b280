#!/usr/bin/env python3
"""Protection of branches and environments: `diff` tells GitHub from branch-protection.json, `apply` makes them equal.

GITHUB_TOKEN needs the right to administrate GITHUB_REPOSITORY. Exit: 0 equal or applied, 1 different or failed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import github
import owners
import steps

FILE = steps.ROOT / "deploy" / "pipelines" / "branch-protection.json"
Json = dict[str, Any]


def standing(told: Json) -> Json:
    """What GitHub answers for a branch, as it is written: GitHub wraps and decorates what it was given."""
    found: Json = {}
    for name, value in told.items():
        if isinstance(value, dict) and set(value) <= {"enabled", "url"}:
            found[name] = value["enabled"]
        elif isinstance(value, dict):
            found[name] = {key: one for key, one in value.items() if not key.endswith("url") and key != "checks"}
        elif name != "url":
            found[name] = value
    return found


def environment(wanted: Json, reviewers: list[str]) -> Json:
    """An environment in GitHub's form. `CODEOWNERS` stands for who owns everything."""
    names = [name for one in wanted["reviewers"] for name in (reviewers if one == "CODEOWNERS" else [one])]
    return {
        "reviewers": [owners.reviewer(name) for name in names],
        "prevent_self_review": wanted["prevent_self_review"],
        "deployment_branch_policy": {
            "protected_branches": wanted["protected_branches"],
            "custom_branch_policies": not wanted["protected_branches"],
        },
    }


def standing_environment(told: Json) -> Json:
    """What GitHub answers for an environment, in the form in which it is written."""
    rule = next((one for one in told.get("protection_rules", ()) if one["type"] == "required_reviewers"), {})
    reviewers = [{"type": one["type"], "id": one["reviewer"]["id"]} for one in rule.get("reviewers", ())]
    return {
        "reviewers": reviewers,
        "prevent_self_review": rule.get("prevent_self_review", False),
        "deployment_branch_policy": told.get("deployment_branch_policy"),
    }


def differences(wanted: Any, found: Any, place: str) -> Iterator[str]:
    """One sentence for each value that is not as it is written down. Lists of names have no order."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from differences(value, found.get(key), f"{place}.{key}")
    elif isinstance(wanted, list) and isinstance(found, list):
        if sorted(map(json.dumps, wanted)) != sorted(map(json.dumps, found)):
            yield f"{place}: GitHub has {json.dumps(found)}, written is {json.dumps(wanted)}"
    elif wanted != found and not (wanted in (None, False) and found in (None, False)):
        yield f"{place}: GitHub has {json.dumps(found)}, written is {json.dumps(wanted)}"


def targets(repository: str) -> Iterator[tuple[str, str, Json, Any]]:
    """Each thing that is protected: what it is called, its path, as it is written, and as GitHub has it."""
    written = json.loads(FILE.read_text(encoding="utf-8"))
    everything = next(rule for rule in owners.rules(owners.FILE.read_text(encoding="utf-8")) if rule.pattern == "*")
    for branch, wanted in written["branches"].items():
        path = f"/repos/{repository}/branches/{quote(branch, safe='')}/protection"
        answer = github.ask("GET", path, accept=(200, 404))
        yield f"branch {branch}", path, wanted, standing(answer.data) if answer.status == 200 else None
    for name, about in written["environments"].items():
        path = f"/repos/{repository}/environments/{quote(name, safe='')}"
        answer = github.ask("GET", path, accept=(200, 404))
        found = standing_environment(answer.data) if answer.status == 200 else None
        yield f"environment {name}", path, environment(about, list(everything.owners)), found


def _step() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=("diff", "apply"))
    verb = parser.parse_args().verb
    told: list[str] = []
    for name, path, wanted, found in targets(github.repository()):
        lacks = [f"{name} is not protected"] if found is None else list(differences(wanted, found, name))
        if lacks and verb == "apply":
            github.ask("PUT", path, wanted)
            steps.summary(f"{name}: written")
        told += lacks
    for line in told:
        print(line, flush=True)
    if told and verb == "diff":
        raise steps.StepFailed(f"{len(told)} differences; `branch_protection.py apply` ends them")
    steps.summary(f"{len(told)} differences" if told else "GitHub has what is written")


if __name__ == "__main__":
    steps.main(_step)
