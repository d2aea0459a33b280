"""Each overlay is what Kubernetes and the Prometheus operator take, every field of it known."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.rendering import (
    MANIFESTS,
    OVERLAYS,
    ROOT,
    VERSIONS,
    kustomize,
    of,
    overlay,
    problems,
    render,
    workload,
)
from watchdog import __version__

EVERY = pytest.mark.parametrize("name", OVERLAYS)


@EVERY
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(name: str, version: str) -> None:
    assert [problem for one in overlay(name) for problem in problems(one, version)] == []


def test_an_object_that_is_wrong_would_be_found() -> None:
    """The schemas are strict, for a field that is not known is one that does nothing."""
    misspelt = copy.deepcopy(workload("ha"))
    misspelt["spec"]["template"]["spec"]["containers"][0]["livenessProbes"] = {}
    misspelt["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = "long"
    found = "\n".join(problems(misspelt, VERSIONS[0]))
    assert "livenessProbes" in found
    assert "'long' is not of type" in found

    (monitor,) = copy.deepcopy(of(overlay("ha"), "ServiceMonitor"))
    monitor["spec"]["endpoints"][0]["intervall"] = "15s"
    assert "intervall" in "\n".join(problems(monitor, VERSIONS[0]))
    rule = copy.deepcopy(of(overlay("ha"), "PrometheusRule")[0])
    rule["spec"]["groups"][0]["rules"][0]["severity"] = "critical"
    assert "severity" in "\n".join(problems(rule, VERSIONS[0]))


@EVERY
def test_nothing_that_is_rendered_is_empty(name: str) -> None:
    """A patch that misses leaves a null, or nothing at all."""

    def nulls(value: Any, place: str) -> list[str]:
        if isinstance(value, dict):
            return [found for key, inner in value.items() for found in nulls(inner, f"{place}.{key}")]
        if isinstance(value, list):
            return [found for inner in value for found in nulls(inner, place)]
        return [place] if value is None else []

    for one in overlay(name):
        assert nulls(one, one["kind"]) == []


@EVERY
def test_every_object_is_in_the_namespace_and_no_two_are_the_same(name: str) -> None:
    objects = overlay(name)
    assert {one["metadata"]["namespace"] for one in objects} == {"checkout" if name == "sidecar" else "slo-watchdog"}
    named = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(named) == len(set(named))


def test_the_api_component_is_valid_with_each_overlay(tmp_path: Path) -> None:
    copied = shutil.copytree(MANIFESTS, tmp_path / "kubernetes")
    for name in OVERLAYS:
        directory = copied / "overlays" / name
        kustomize("edit", "add", "component", "../../components/api", directory=directory)
        objects = render(directory)
        assert [problem for one in objects for problem in problems(one, VERSIONS[0])] == []
        assert [one["metadata"]["name"] for one in of(objects, "Service") if one["metadata"]["name"].endswith("-api")]


def test_the_image_is_the_program_s_version_and_becomes_a_digest_by_one_command(tmp_path: Path) -> None:
    digest = f"sha256:{'0123456789abcdef' * 4}"
    copied = shutil.copytree(MANIFESTS, tmp_path / "kubernetes")
    for name in OVERLAYS:
        assert f"image: registry.example/slo-watchdog:{__version__}\n" in kustomize(
            "build", str(MANIFESTS / "overlays" / name)
        )
        directory = copied / "overlays" / name
        kustomize("edit", "set", "image", f"slo-watchdog=registry.example/slo-watchdog@{digest}", directory=directory)
        images = re.findall(r"image: (\S*slo-watchdog\S*)", kustomize("build", str(directory)))
        assert images == [f"registry.example/slo-watchdog@{digest}"]


def test_the_rules_of_the_operator_are_those_of_the_files() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "kubernetes_rules.py"), "--check"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    files = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / "rules" / "prometheus").glob("*.yaml")}
    for name in OVERLAYS:
        rules = {one["metadata"]["name"]: one["spec"] for one in of(overlay(name), "PrometheusRule")}
        assert rules == {f"slo-watchdog-{stem}": content for stem, content in files.items()}


@EVERY
def test_every_object_fits_into_the_annotation_of_a_client_side_apply(name: str) -> None:
    for one in overlay(name):
        assert len(yaml.safe_dump(one)) < 200_000, (
            "kubectl apply keeps a copy in an annotation of 262,144 bytes at most"
        )


def test_new_settings_replace_the_pods_and_new_rollouts_do_not(tmp_path: Path) -> None:
    copied = shutil.copytree(MANIFESTS, tmp_path / "kubernetes")
    directory = copied / "overlays" / "ha"

    def template() -> Any:
        (found,) = of(render(directory), "Deployment")
        return found["spec"]["template"]

    before = template()
    with (copied / "base" / "rollouts" / "checkout.yaml").open("a") as file:
        file.write("# changed\n")
    assert template() == before
    with (directory / "watchdog.yaml").open("a") as file:
        file.write("# changed\n")
    assert template() != before
