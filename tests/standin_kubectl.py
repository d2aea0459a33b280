"""Answers as kubectl 1.32 does to the words that the driver uses, and refuses all others. Started as `kubectl`.

STANDIN names its file: Deployments, the Service's selector, and what was asked. Pods follow at once.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tests.standin import stop

PINNED = re.compile(r"app=[a-z0-9./:-]+@sha256:[0-9a-f]{64}")
MARK = re.compile(r"slo-watchdog/[a-z-]+=.*")


def deployment(world: dict[str, Any], name: str) -> dict[str, Any]:
    """The model of one; kubectl's words when there is none."""
    kind, _, plain = name.partition("/")
    if kind != "deployment" or plain not in world["deployments"]:
        stop(f'Error from server (NotFound): deployments.apps "{plain}" not found')
    found: dict[str, Any] = world["deployments"][plain]
    return found


def described(one: dict[str, Any]) -> dict[str, Any]:
    """A Deployment, as the API shows it."""
    up = one["replicas"] if world_is_well(one) else 0
    return {
        "kind": "Deployment",
        "metadata": {"generation": one["generation"]},
        "spec": {
            "replicas": one["replicas"],
            "template": {
                "spec": {"containers": [{"name": "proxy", "image": "x"}, {"name": "app", "image": one["image"]}]}
            },
        },
        # The API leaves out counts that are zero.
        "status": {
            "observedGeneration": one["generation"],
            **{name: up for name in ("replicas", "updatedReplicas", "availableReplicas") if up},
        },
    }


def world_is_well(one: dict[str, Any]) -> bool:
    """Whether its pods become ready."""
    return not one["broken"] or one["broken"] not in one["image"]


def endpoints(world: dict[str, Any]) -> dict[str, Any]:
    """The EndpointSlices of the Service: the pods of the colour that its selector names."""
    one = world["deployments"][f"checkout-{world['selector']['colour']}"]
    pods = [f"checkout-{world['selector']['colour']}-5d9c-{number}" for number in range(one["replicas"])]
    found = [{"conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": pod}} for pod in pods]
    leaving = [{"conditions": {"ready": False}, "targetRef": {"kind": "Pod", "name": "checkout-blue-5d9c-old"}}]
    return {"kind": "List", "items": [{"endpoints": found}, {"endpoints": leaving}, {"endpoints": None}]}


def run(world: dict[str, Any], words: list[str]) -> None:
    """One command on the world."""
    if words[:2] != ["--context=production", "--namespace=checkout"]:
        stop(f"error: no context or namespace in {words}")
    match words[2:]:
        case ["set", "image", name, pinned] if PINNED.fullmatch(pinned):
            one, image = deployment(world, name), pinned.partition("=")[2]
            one["generation"] += image != one["image"]
            one["image"] = image
        case ["annotate", name, "--overwrite", *marks] if marks and all(MARK.fullmatch(mark) for mark in marks):
            deployment(world, name)["marks"] = marks
        case ["scale", name, replicas] if re.fullmatch(r"--replicas=\d+", replicas):
            deployment(world, name)["replicas"] = int(replicas.partition("=")[2])
        case ["rollout", "status", name, "--timeout=300s"]:
            if not world_is_well(deployment(world, name)):
                stop("error: timed out waiting for the condition")
            print(f'deployment "{name}" successfully rolled out')
        case ["get", "service/checkout", "-o", "json"]:
            print(json.dumps({"kind": "Service", "spec": {"selector": world["selector"]}}))
        case ["get", "endpointslices", "-l", "kubernetes.io/service-name=checkout", "-o", "json"]:
            print(json.dumps(endpoints(world)))
        case ["get", name, "-o", "json"]:
            print(json.dumps(described(deployment(world, name))))
        case ["patch", "service/checkout", "--type=merge", "-p", patch]:
            change = json.loads(patch)
            if list(change) != ["spec"] or list(change["spec"]) != ["selector"]:
                stop(f"error: more than the selector would change: {patch}")
            world["selector"].update(change["spec"]["selector"])
        case rest:
            stop(f"error: unknown command or flag: {rest}")
