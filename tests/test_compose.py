"""deploy/compose says what is right: every path is there, every name is a service, every container is bounded."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.composing import FILE, LISTENS, PLACE, ROOT, SECRETS, addresses, mounts, secrets_of, spec
from tests.servers import binary
from watchdog import __version__

SPEC = spec()
SERVICES: dict[str, dict[str, Any]] = SPEC["services"]
CONFIGURATIONS = sorted(file for file in PLACE.rglob("*.y*ml") if "secrets" not in file.relative_to(PLACE).parts)
SHIPPED = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
OWN = yaml.safe_load((PLACE / "alertmanager.yml").read_text())
each_service = pytest.mark.parametrize("name", SERVICES)


def prepared(directory: Path) -> Path:
    """The directory of secrets that `prepare` makes."""
    script = directory / "prepare"
    script.write_bytes((PLACE / "prepare").read_bytes())
    script.chmod(0o755)
    subprocess.run([str(script)], check=True, capture_output=True, timeout=30)
    return directory / "secrets"


@each_service
def test_what_is_mounted_is_in_the_repository_and_read_only(name: str) -> None:
    for mount in mounts(SERVICES[name]):
        if mount.source is None:
            assert mount.volume in SPEC["volumes"]
        else:
            assert mount.source.exists(), f"{mount.source} is mounted and not there"
            assert not mount.writable, f"{mount.source} is of the repository, and {name} may write it"


@each_service
def test_it_may_do_nothing_that_it_need_not(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert {"pids_limit", "mem_limit"} <= service.keys()
    assert not {"privileged", "network_mode", "pid", "cap_add", "devices"} & service.keys()


@each_service
def test_it_is_reached_from_this_machine_only(name: str) -> None:
    for published in SERVICES[name].get("ports", []):
        address, outside, inside = published.split(":")
        assert (address, outside) == ("127.0.0.1", inside)
        assert int(inside) in LISTENS[name]


@each_service
def test_its_image_has_a_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert re.fullmatch(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", image), image
    if image.startswith("slo-watchdog:"):
        assert image == f"slo-watchdog:{__version__}"


@each_service
def test_it_waits_for_services_that_can_become_what_it_waits_for(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        service = SERVICES[other]
        if how["condition"] == "service_healthy":
            assert "build" in service or "test" in service["healthcheck"], f"{other} never becomes healthy"
        elif how["condition"] == "service_completed_successfully":
            assert service["restart"] == "no", f"{other} never ends"


def test_a_health_check_asks_the_service_itself_where_it_listens() -> None:
    for name, service in SERVICES.items():
        for port in re.findall(r"127\.0\.0\.1:(\d+)", " ".join(service.get("healthcheck", {}).get("test", []))):
            assert int(port) in LISTENS[name]


def test_secrets_are_files_that_prepare_writes(tmp_path: Path) -> None:
    directory = prepared(tmp_path)
    files = {Path(each["file"]) for each in SPEC["secrets"].values()}
    assert {file.name for file in files} == {file.name for file in directory.iterdir()}
    assert {str(file.parent) for file in files} == {"secrets"}
    used = {file for service in SERVICES.values() for file in secrets_of(service, SPEC["secrets"]).values()}
    assert used == {file.name for file in files}


def test_prepare_keeps_what_is_there_and_lets_nobody_else_in(tmp_path: Path) -> None:
    directory = prepared(tmp_path)
    (directory / "slack.url").write_text("https://hooks.example/x")
    before = {file.name: file.read_text() for file in directory.iterdir()}
    assert {file.name: file.read_text() for file in prepared(tmp_path).iterdir()} == before
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "readers.token").read_text() in (directory / "flagd.yaml").read_text()


def test_no_secret_is_written_into_a_file_of_the_repository() -> None:
    assert (PLACE / ".gitignore").read_text() == "secrets/\n"
    for file in [*CONFIGURATIONS, PLACE / "prepare"]:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"(?i)(password|token|secret|key)['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9+/]{16,}", text), file


@each_service
def test_every_secret_file_that_its_configuration_names_is_given_to_it(name: str) -> None:
    given = set(secrets_of(SERVICES[name], SPEC["secrets"]))
    texts = [str(SERVICES[name].get("command", "")), str(SERVICES[name].get("environment", ""))]
    texts += [mount.source.read_text() for mount in mounts(SERVICES[name]) if mount.source and mount.source.is_file()]
    named = {path for text in texts for path in re.findall(rf"{SECRETS}/[\w.-]+", re.sub(r"(?m)^#.*", "", text))}
    assert named <= given


@pytest.mark.parametrize("file", [*CONFIGURATIONS, PLACE / "prepare"], ids=lambda file: file.name)
def test_every_address_in_a_configuration_is_a_service_that_listens_there(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for name, port in addresses(text, list(SERVICES)):
        assert port in LISTENS[name], f"{file.name} names {name}:{port}"
    hosts = set(re.findall(r"https?://([\w.-]+)", re.sub(r"(^|\s)#.*", "", text)))
    assert hosts <= {*SERVICES, "localhost", "127.0.0.1"}


def test_services_listen_where_the_others_look_for_them() -> None:
    daemon = yaml.safe_load((PLACE / "watchdog.yaml").read_text())
    listens = {int(daemon[part]["listen"].rpartition(":")[2]) for part in ("http", "serve")}
    assert listens | {9464} == LISTENS["watchdog"]
    for name in ("shop", "load", "inbox"):
        command = SERVICES[name]["command"]
        assert {int(command[command.index("--port") + 1])} == LISTENS[name]


def without_addresses(receiver: dict[str, Any]) -> dict[str, Any]:
    """A receiver without where it sends to and how it is known there."""
    addressed = {"url", "http_config", "routing_key_file"}
    return {
        kind: [{key: value for key, value in one.items() if key not in addressed} for one in found]
        for kind, found in receiver.items()
        if kind != "name"
    }


def test_alertmanager_routes_and_inhibits_as_in_production() -> None:
    for part in ("route", "inhibit_rules", "time_intervals", "templates"):
        assert OWN[part] == SHIPPED[part], f"deploy/compose/alertmanager.yml differs from the shipped one in {part}"
    assert [each["name"] for each in OWN["receivers"]] == [each["name"] for each in SHIPPED["receivers"]]
    for own, shipped in zip(OWN["receivers"], SHIPPED["receivers"], strict=True):
        if "email_configs" in shipped:
            continue  # the inbox of the composition takes webhooks in place of mails
        assert without_addresses(own) == without_addresses(shipped)


def test_amtool_accepts_alertmanagers_configuration(tmp_path: Path) -> None:
    text = (PLACE / "alertmanager.yml").read_text().replace(SECRETS, str(prepared(tmp_path)))
    (tmp_path / "alertmanager.yml").write_text(text)
    (tmp_path / "templates").symlink_to(ROOT / "deploy" / "alertmanager" / "templates")
    done = subprocess.run(
        [binary("amtool"), "check-config", str(tmp_path / "alertmanager.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_the_dashboards_and_the_data_source() -> None:
    targets = {mount.target: mount.source for mount in mounts(SERVICES["grafana"])}
    environment = SERVICES["grafana"]["environment"]
    provisioning = environment["GF_PATHS_PROVISIONING"]
    assert targets[provisioning] == ROOT / "deploy" / "grafana" / "provisioning"
    [provider] = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/slo-watchdog.yaml").read_text())[
        "providers"
    ]
    path = Path(provider["options"]["path"].replace("$GF_PATHS_PROVISIONING/..", str(Path(provisioning).parent)))
    assert targets[str(path)] == ROOT / "deploy" / "grafana" / "dashboards"
    assert addresses(environment["PROMETHEUS_URL"], list(SERVICES)) == {("prometheus", 9090)}


def test_the_file_is_named_in_its_own_first_lines() -> None:
    assert str(FILE.relative_to(ROOT)) in FILE.read_text(encoding="utf-8").partition("\nname:")[0]
