"""Renders an overlay with the pinned kustomize, and says what the schemas of Kubernetes find wrong with it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from referencing import Registry, Resource

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "deploy" / "kubernetes"
PLACE = ROOT / "build" / "kubernetes"
SCHEMAS = PLACE / "schemas" / "kubernetes_validate" / "kubernetes-json-schema"
OVERLAYS = ("standalone", "ha", "sidecar")
VERSIONS = ("1.29.0", "1.37.0")
"""The oldest version that the manifests are for, and the newest that has schemas here."""
CUSTOM = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}
Object = dict[str, Any]


def built(name: str) -> Path:
    """Something that scripts/setup-kubernetes puts into place; a sentence when it is not there."""
    path = PLACE / name
    if not path.exists():
        raise RuntimeError(
            f"{path} is not there, and these tests need it: run `make test-kubernetes` or scripts/setup-kubernetes"
        )
    return path


def kustomize(*arguments: str, directory: Path = ROOT) -> str:
    """What kustomize prints."""
    done = subprocess.run(
        [str(built("kustomize")), *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=directory
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(directory: Path) -> list[Object]:
    """The objects of a kustomization."""
    return list(yaml.safe_load_all(kustomize("build", str(directory))))


@cache
def overlay(name: str) -> list[Object]:
    """The objects of an overlay. Not to be changed."""
    return render(MANIFESTS / "overlays" / name)


def of(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def workload(name: str) -> Object:
    """The Deployment or StatefulSet that has the watchdog in its pods."""
    (found,) = of(overlay(name), "Deployment", "StatefulSet")
    return found


def pod(name: str) -> Object:
    found: Object = workload(name)["spec"]["template"]
    return found


def containers(name: str) -> list[Object]:
    spec = pod(name)["spec"]
    return [*spec["containers"], *spec.get("initContainers", ())]


def watchdog(name: str) -> Object:
    (found,) = [one for one in containers(name) if one["name"] == "slo-watchdog"]
    return found


def settings(name: str) -> Object:
    """What watchdog.yaml of an overlay says."""
    (found,) = [one for one in of(overlay(name), "ConfigMap") if "watchdog.yaml" in one["data"]]
    said: Object = yaml.safe_load(found["data"]["watchdog.yaml"])
    return said


def megabytes(quantity: str) -> float:
    """A quantity of Kubernetes in units of 1,000,000 bytes."""
    number, unit = re.fullmatch(r"(\d+)([MG]i)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 2**20, "Gi": 2**30}[unit] / 1e6


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector that has matchLabels only, or none, takes something with these labels."""
    assert set(selector) <= {"matchLabels"}, selector
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def problems(one: Object, version: str) -> Iterator[str]:
    """What the schema of this kind says: unknown fields, wrong types, what is missing."""
    for error in _validator(one["apiVersion"], one["kind"], version).iter_errors(one):
        yield f"{one['kind']} {one['metadata']['name']}: {error.json_path}: {error.message[:300]}"


@cache
def _validator(api_version: str, kind: str, version: str) -> Draft202012Validator:
    if kind in CUSTOM:
        return _custom(api_version, kind)
    directory = built("schemas") / SCHEMAS.relative_to(PLACE / "schemas") / f"v{version}-local-strict"
    group, _, last = api_version.rpartition("/")
    suffix = "-".join(part for part in (group.partition(".")[0], last) if part)
    file = directory / f"{kind.lower()}-{suffix}.json"
    assert file.exists(), f"Kubernetes {version} has no {kind} in {api_version}"
    definitions = json.loads((directory / "_definitions.json").read_text())
    registry: Registry[Any] = Registry().with_resource(definitions["$id"], Resource.from_contents(definitions))
    schema = json.loads(file.read_text())
    schema.setdefault("$id", definitions["$id"].replace("/api/_definitions", "/one"))
    return Draft202012Validator(schema, registry=registry)


def _custom(api_version: str, kind: str) -> Draft202012Validator:
    """The schema in the CustomResourceDefinition, which then refuses unknown fields as the API server drops them."""
    crd = yaml.safe_load((built("crds") / f"{CUSTOM[kind]}.yaml").read_text())
    assert crd["spec"]["names"]["kind"] == kind
    (version,) = [one for one in crd["spec"]["versions"] if f"{crd['spec']['group']}/{one['name']}" == api_version]
    schema = _closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return Draft202012Validator(schema)


def _closed(schema: Any) -> Any:
    """The same, each object with fields closed to others; a number or a text where Kubernetes takes either."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and "type" in closed:
        open_ended = closed.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in closed
        closed |= {} if open_ended else {"additionalProperties": False}
    if closed.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    return closed
