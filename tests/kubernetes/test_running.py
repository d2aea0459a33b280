"""The daemon with the files of a pod: ConfigMaps and Secrets as the kubelet lays them out, and each probe asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.kubernetes.rendering import MANIFESTS, OVERLAYS, of, overlay, watchdog
from tests.processes import Daemon, Finished, Installation, run
from watchdog.config import load_settings

PLACES = ("/etc/slo-watchdog-rollouts", "/etc/slo-watchdog", "/run/secrets/slo-watchdog", "/var/lib/slo-watchdog")
NOT_FOR_ONE = {"ledger", "flags__password"}
"""Keys of the secret that only replicas have."""


def laid_out(directory: Path, name: str) -> Path:
    """The volumes of an overlay's container below a directory, with its addresses on loopback; the settings file."""

    def moved(text: str) -> str:
        for place in PLACES:
            text = re.sub(rf"{place}(?=[/\s,\]}}]|$)", f"{directory}{place}", text, flags=re.MULTILINE)
        return re.sub(r"(?:0\.0\.0\.0|127\.0\.0\.1):\d+", "127.0.0.1:0", text)

    secret = yaml.safe_load((MANIFESTS / "secret.example.yaml").read_text())["stringData"]
    keys = {key: value for key, value in secret.items() if name != "standalone" or key not in NOT_FOR_ONE}
    (directory / "var/lib/slo-watchdog").mkdir(parents=True)
    volume(directory / "run/secrets/slo-watchdog", keys)
    for one in of(overlay(name), "ConfigMap"):
        place = PLACES[0] if "rollouts" in one["metadata"]["name"] else PLACES[1]
        volume(directory / place[1:], {key: moved(text) for key, text in one["data"].items()})
    return directory / PLACES[1][1:] / "watchdog.yaml"


def volume(directory: Path, files: dict[str, str]) -> None:
    """As the kubelet does it: links to links, so that all files change at once."""
    version = directory / "..2026_11_23_09_00_00.1831"
    version.mkdir(parents=True)
    (directory / "..data").symlink_to(version.name)
    for name, text in files.items():
        (version / name).write_text(text)
        (directory / name).symlink_to(f"..data/{name}")


def files(directory: Path) -> set[Path]:
    return {path for path in directory.rglob("*") if path.is_file()}


def check(config: Path) -> Finished:
    return run("check", environ={"WATCHDOG_CONFIG": str(config)}, directory=config.parents[2] / "var/lib/slo-watchdog")


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_settings_and_the_rollout_are_what_the_program_takes(name: str, tmp_path: Path) -> None:
    config = laid_out(tmp_path, name)
    done = check(config)
    assert (done.status, done.err) == (0, ""), done.out + done.err
    assert "checkout-2.14.0" in done.out
    found = load_settings(config, {})
    assert found.http.token is not None, "the secrets are read from the directory"
    assert found.notify.pagerduty is not None
    assert found.ledger.startswith("sqlite" if name == "standalone" else "postgresql+psycopg://")


def test_a_secret_that_is_missing_is_told_by_name(tmp_path: Path) -> None:
    config = laid_out(tmp_path, "ha")
    (tmp_path / "run/secrets/slo-watchdog" / "notify__slack__token").unlink()
    done = check(config)
    assert done.status == 2
    assert "notify.slack" in done.err


def test_every_probe_is_answered_by_the_daemon_of_these_files(tmp_path: Path) -> None:
    """Its Prometheus is not there, and it lives and is ready all the same once the flags are."""
    config = laid_out(tmp_path, "standalone")
    before = files(tmp_path)
    site = Installation.__new__(Installation)
    site.directory, site.config = tmp_path / "var/lib/slo-watchdog", config
    assert run("flags", "init", "--config", str(config)).status == 0
    container: dict[str, Any] = watchdog("standalone")
    with Daemon(site) as daemon:
        started = daemon.said("started")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            answer = requests.get(f"http://{started['health']}{container[probe]['httpGet']['path']}", timeout=10)
            assert answer.status_code == 200, (probe, answer.text)
        assert requests.get(f"http://{started['health']}/metrics", timeout=10).status_code == 200
        assert requests.get(f"http://{started['serving']}/healthz", timeout=10).status_code == 200
        assert requests.get(f"http://{started['health']}/api/v1/rollouts", timeout=10).status_code == 404
        assert daemon.end() == 0
    assert {path for path in files(tmp_path) if site.directory not in path.parents} == before, "all else is read-only"
    assert site.directory / "watchdog.db" in files(site.directory)
