"""How many run, what keeps them apart, and where what they write lies."""

from __future__ import annotations

import math
import re

import pytest

from tests.kubernetes.rendering import (
    OVERLAYS,
    ROOT,
    megabytes,
    of,
    overlay,
    pod,
    selects,
    settings,
    watchdog,
    workload,
)

EVERY = pytest.mark.parametrize("name", OVERLAYS)
WRITABLE = ("emptyDir", "persistentVolumeClaim")


@EVERY
def test_where_there_is_more_than_one_a_budget_keeps_the_others(name: str) -> None:
    budgets = of(overlay(name), "PodDisruptionBudget")
    replicas = workload(name)["spec"]["replicas"]
    if replicas == 1:
        assert budgets == [], "it would only keep a node from being drained"
        return
    (budget,) = budgets
    assert selects(budget["spec"]["selector"], pod(name)["metadata"]["labels"])
    assert budget["spec"]["maxUnavailable"] < replicas
    (spread, *_) = pod(name)["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert selects(spread["labelSelector"], pod(name)["metadata"]["labels"])


@EVERY
def test_more_than_one_replica_has_a_lease_and_no_file_for_a_ledger(name: str) -> None:
    said = settings(name)
    many = workload(name)["spec"]["replicas"] > 1
    assert ("replicas" in said) == many
    assert ("ledger" in said) == (not many), "the address of a server is a secret"
    assert (said["flags"]["service"] == "flagd-file") == (not many), "every replica steers the same flag"


def test_a_sqlite_ledger_is_on_a_volume_that_outlives_the_pod_and_takes_one_pod() -> None:
    stateful = workload("standalone")
    assert (stateful["kind"], stateful["spec"]["replicas"]) == ("StatefulSet", 1)
    (claim,) = stateful["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    (mount,) = [one for one in watchdog("standalone")["volumeMounts"] if one["name"] == claim["metadata"]["name"]]
    said = settings("standalone")
    for path in (said["ledger"].removeprefix("sqlite:///"), said["reports"]["dir"], said["flags"]["path"]):
        assert path.startswith(f"{mount['mountPath']}/")
    assert set(stateful["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    growth = re.search(
        r"ledger growth \| <= 4 MB a day \| ([\d.]+) MB a day", (ROOT / "docs" / "benchmarks.md").read_text()
    )
    assert growth is not None
    assert megabytes(claim["spec"]["resources"]["requests"]["storage"]) > math.ceil(float(growth[1])) * 365


@EVERY
def test_what_is_written_has_a_place_and_all_else_is_read_only(name: str) -> None:
    volumes = {one["name"]: one for one in pod(name)["spec"]["volumes"]}
    claims = {one["metadata"]["name"] for one in workload(name)["spec"].get("volumeClaimTemplates", ())}
    mounts = watchdog(name)["volumeMounts"]
    writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
    assert writable == {"/var/lib/slo-watchdog", "/tmp"}  # noqa: S108 - a mount
    for mount in mounts:
        kept = mount["name"] in claims or any(kind in volumes[mount["name"]] for kind in WRITABLE)
        assert kept or mount.get("readOnly") is True
        if mount["name"] not in claims and "emptyDir" in volumes[mount["name"]]:
            assert "sizeLimit" in volumes[mount["name"]]["emptyDir"], "a node's disk is everybody's"
    assert watchdog(name)["workingDir"] == "/var/lib/slo-watchdog"
