"""What the manifests promise: restricted pods, probes that are answered, closed networks, secrets as files."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

import pytest
import yaml

from tests.kubernetes.rendering import (
    MANIFESTS,
    OVERLAYS,
    ROOT,
    containers,
    megabytes,
    of,
    overlay,
    pod,
    selects,
    settings,
    watchdog,
)
from watchdog import daemon
from watchdog.config import _secrets
from watchdog.config.settings import Settings

EVERY = pytest.mark.parametrize("name", OVERLAYS)
PAGE = ROOT / "docs" / "kubernetes.md"


# --- pods -------------------------------------------------------------------------------------------------------------


@EVERY
def test_every_container_meets_the_restricted_standard(name: str) -> None:
    spec = pod(name)["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in containers(name):
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["allowPrivilegeEscalation"] is False
        assert security["readOnlyRootFilesystem"] is True
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert "privileged" not in security
        assert all("hostPort" not in port for port in container["ports"])
    kinds = {kind for volume in spec["volumes"] for kind in volume.keys() - {"name"}}
    assert kinds <= {"configMap", "secret", "emptyDir"}


@EVERY
def test_nobody_gets_rights_in_the_cluster(name: str) -> None:
    kinds = {one["kind"] for one in overlay(name)}
    assert not {kind for kind in kinds if "Role" in kind or kind in {"Namespace", "CustomResourceDefinition"}}
    assert pod(name)["spec"]["automountServiceAccountToken"] is False
    assert pod(name)["spec"]["enableServiceLinks"] is False
    for account in of(overlay(name), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_beside_a_service_with_a_token_the_watchdog_has_none() -> None:
    mounts = {mount["mountPath"]: mount for mount in watchdog("sidecar")["volumeMounts"]}
    kept_out = mounts["/var/run/secrets/kubernetes.io/serviceaccount"]
    (volume,) = [one for one in pod("sidecar")["spec"]["volumes"] if one["name"] == kept_out["name"]]
    assert "emptyDir" in volume
    assert kept_out["readOnly"] is True


@EVERY
def test_the_container_is_the_same_in_every_overlay(name: str) -> None:
    """But for readiness and what is mounted and served besides."""
    different = {"readinessProbe", "ports", "volumeMounts"}
    here, there = watchdog(name), watchdog("ha")
    assert {key: here[key] for key in here.keys() - different} == {key: there[key] for key in there.keys() - different}


@EVERY
def test_memory_leaves_room_above_what_was_measured(name: str) -> None:
    figures = (ROOT / "docs" / "benchmarks.md").read_text()
    serving = (ROOT / "docs" / "flags" / "serving.md").read_text()
    daemon_rss = re.search(r"^\| daemon RSS[^|]*\|[^|]*\| ([\d.]+) MB", figures, re.MULTILINE)
    process_rss = re.search(r"about (\d+) MB", serving)
    assert daemon_rss is not None
    assert process_rss is not None
    measured = float(daemon_rss[1]) + (float(process_rss[1]) if "serve" in settings(name) else 0.0)
    resources = watchdog(name)["resources"]
    assert megabytes(resources["limits"]["memory"]) >= 1.5 * measured
    assert megabytes(resources["requests"]["memory"]) >= measured
    assert "cpu" not in resources["limits"], "a tick that is throttled is a late tick"


@EVERY
def test_kubernetes_waits_longer_for_the_stop_than_the_daemon_takes_at_most(name: str) -> None:
    tree = ast.parse(textwrap.dedent(inspect.getsource(daemon.Daemon.stop)))
    (loop,) = [node for node in ast.walk(tree) if isinstance(node, ast.For)]
    assert isinstance(loop.iter, ast.Tuple)
    parts = len(loop.iter.elts)
    assert parts > 8
    assert pod(name)["spec"]["terminationGracePeriodSeconds"] >= parts * daemon.STOP_WITHIN


# --- probes and addresses ---------------------------------------------------------------------------------------------


def port_of(name: str, key: str) -> int:
    return int(settings(name)[key]["listen"].rpartition(":")[2])


@EVERY
def test_every_port_that_is_named_is_there_and_listened_on(name: str) -> None:
    ports = {port["name"]: port["containerPort"] for one in containers(name) for port in one["ports"]}
    assert len(ports) == sum(len(one["ports"]) for one in containers(name)), "a name is one port of the whole pod"
    for container in containers(name):
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            if probe in container:
                assert container[probe]["httpGet"]["port"] in ports
    for service in of(overlay(name), "Service"):
        assert selects({"matchLabels": service["spec"]["selector"]}, pod(name)["metadata"]["labels"])
        assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    assert ports["slo-health"] == port_of(name, "health")
    if "slo-flags" in ports:
        assert ports["slo-flags"] == port_of(name, "serve")


@EVERY
def test_probes_ask_the_address_that_changes_nothing(name: str) -> None:
    container = watchdog(name)
    asked = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    own = {"startupProbe": "/healthz", "livenessProbe": "/livez"}
    assert asked == (own if name == "sidecar" else own | {"readinessProbe": "/readyz"})
    assert {container[probe]["httpGet"]["port"] for probe in asked} == {"slo-health"}
    liveness = container["livenessProbe"]
    assert liveness["timeoutSeconds"] < liveness["periodSeconds"]
    assert liveness["failureThreshold"] * liveness["periodSeconds"] >= 60


@EVERY
def test_the_page_and_the_api_are_reached_in_the_pod_only(name: str) -> None:
    assert settings(name)["http"]["listen"].startswith("127.0.0.1:")
    api = port_of(name, "http")
    assert api not in {port["containerPort"] for port in watchdog(name)["ports"]}
    opened = [rule for policy in of(overlay(name), "NetworkPolicy") for rule in policy["spec"].get("ingress", ())]
    assert api not in {port["port"] for rule in opened for port in rule["ports"]}


@EVERY
def test_prometheus_finds_the_metrics(name: str) -> None:
    (monitor,) = of(overlay(name), "ServiceMonitor")
    (service,) = [
        one for one in of(overlay(name), "Service") if selects(monitor["spec"]["selector"], one["metadata"]["labels"])
    ]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert monitor["spec"]["jobLabel"] in service["metadata"]["labels"]
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert "environment" in {rule["targetLabel"] for rule in endpoint["relabelings"]}


# --- networks ---------------------------------------------------------------------------------------------------------


def rules(name: str, direction: str) -> list[dict[str, Any]]:
    return [
        rule
        for policy in of(overlay(name), "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], pod(name)["metadata"]["labels"])
        for rule in policy["spec"].get(direction, ())
    ]


@EVERY
def test_nothing_gets_in_or_out_that_is_not_listed(name: str) -> None:
    labels = pod(name)["metadata"]["labels"]
    policies = of(overlay(name), "NetworkPolicy")
    assert all(selects(policy["spec"]["podSelector"], labels) for policy in policies), "each is for these pods"
    closed = [policy["spec"] for policy in policies if not {"ingress", "egress"} & policy["spec"].keys()]
    assert [spec["policyTypes"] for spec in closed] == [["Ingress", "Egress"]]
    for rule in rules(name, "egress"):
        assert rule["to"]
        assert rule["ports"]
    own = [rule for rule in rules(name, "ingress") if "from" not in rule]
    assert [rule["ports"] for rule in own] == ([[{"protocol": "TCP", "port": 8080}]] if name == "sidecar" else [])


@EVERY
def test_what_the_settings_name_can_be_reached(name: str) -> None:
    reached = {port["port"] for rule in rules(name, "egress") for port in rule["ports"]}
    said = settings(name)
    urls = [said["prometheus"]["url"], said["flags"].get("url", "")]
    assert {int(port) for url in urls for port in re.findall(r":(\d+)", url)} <= reached
    assert {53, 443} <= reached
    assert (5432 in reached) == (name != "standalone")
    assert any(
        port["port"] == port_of(name, "health") for rule in rules(name, "ingress") for port in rule.get("ports", ())
    )


@EVERY
def test_the_way_to_the_internet_is_none_to_the_cluster(name: str) -> None:
    blocks = [
        to["ipBlock"]
        for rule in rules(name, "egress")
        for to in rule["to"]
        if to.get("ipBlock", {}).get("cidr") == "0.0.0.0/0"
    ]
    (block,) = blocks
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(block["except"])


# --- secrets ----------------------------------------------------------------------------------------------------------


@EVERY
def test_secrets_are_files_and_never_in_the_environment(name: str) -> None:
    for container in containers(name):
        assert "envFrom" not in container
        assert all("valueFrom" not in variable for variable in container.get("env", ()))
    assert of(overlay(name), "Secret") == [], "a Secret is not committed"
    (volume,) = [one for one in pod(name)["spec"]["volumes"] if "secret" in one]
    mounting = [
        one["name"]
        for one in containers(name)
        for mount in one.get("volumeMounts", ())
        if mount["name"] == volume["name"]
    ]
    assert mounting == ["slo-watchdog"]
    (mount,) = [mount for mount in watchdog(name)["volumeMounts"] if mount["name"] == volume["name"]]
    assert mount["readOnly"] is True
    assert settings(name)["secrets_dir"] == mount["mountPath"]
    assert volume["secret"]["secretName"] == example()["metadata"]["name"]


def example() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((MANIFESTS / "secret.example.yaml").read_text())
    return found


def test_every_key_of_the_secret_is_a_setting_and_told_on_the_page() -> None:
    known = {"__".join(place) for place in _secrets(Settings)}
    keys = set(example()["stringData"])
    assert keys <= known
    told = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert keys == told & known


def test_no_settings_file_holds_a_secret() -> None:
    words = {place[-1] for place in _secrets(Settings)} - {"ledger", "url"}
    for name in OVERLAYS:
        for section in settings(name).values():
            assert not words & (section.keys() if isinstance(section, dict) else set())
