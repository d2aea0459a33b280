"""`make stack` as its user runs it: it says where everything is, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tests.stack.running import DEPLOY

RUN = [sys.executable, str(DEPLOY / "stack" / "run.py")]


GRAFANA = """\
#!/usr/bin/env python3
import http.server, json, os, sys
told = {name: value for name, value in os.environ.items() if name.startswith(("GF_", "PROMETHEUS_"))}
open(os.path.join(os.environ["GF_PATHS_DATA"] + ".json"), "w").write(json.dumps(told))
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["GF_SERVER_HTTP_PORT"])), Health).serve_forever()
"""
"""Says what it was told and that it is well, as the real one does; that one is not in Debian."""


def with_grafana(directory: Path) -> dict[str, str]:
    """An environment in which there is a Grafana."""
    directory.mkdir()
    program = directory / "grafana-server"
    program.write_text(GRAFANA)
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}


def test_grafana_is_started_with_the_data_source_and_the_dashboards_where_it_is_installed(tmp_path: Path) -> None:
    environ = with_grafana(tmp_path / "bin")
    command = [*RUN, "--json", "--root", str(tmp_path / "stack"), "--for", "1"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    addresses = json.loads(done.stdout)["addresses"]
    told = json.loads((tmp_path / "stack" / "grafana.json").read_text())
    assert addresses["grafana"] == f"http://{told['GF_SERVER_HTTP_ADDR']}:{told['GF_SERVER_HTTP_PORT']}"
    assert told["PROMETHEUS_URL"] == addresses["prometheus"]
    provisioning = Path(told["GF_PATHS_PROVISIONING"])
    assert (provisioning / "datasources").is_dir()
    assert any((provisioning / ".." / "dashboards").glob("*.json"))


def test_ends_all_it_started_on_sigterm_and_starts_again_in_the_same_place(tmp_path: Path) -> None:
    with subprocess.Popen([*RUN, "--json", "--root", str(tmp_path)], stdout=subprocess.PIPE, text=True) as stack:
        assert stack.stdout is not None
        told: dict[str, Any] = json.loads(stack.stdout.readline())
        assert told == json.loads((tmp_path / "stack.json").read_text())
        for name, address in told["addresses"].items():
            path = {"grafana": "/api/health", "inbox": "/"}.get(name, "/metrics")
            assert requests.get(f"{address}{path}", timeout=10).status_code == 200, name
        stack.send_signal(signal.SIGTERM)
        assert stack.wait(60) == 0
    assert all(map(is_gone, told["pids"].values()))
    again = subprocess.run(
        [*RUN, "--root", str(tmp_path), "--for", "1"], capture_output=True, text=True, timeout=120, check=False
    )
    assert (again.returncode, again.stderr) == (0, "")
    for name in told["addresses"]:
        assert name in again.stdout


def test_says_what_has_ended_and_ends_the_rest(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*RUN, "--json", "--root", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as stack:
        assert stack.stdout is not None
        told: dict[str, Any] = json.loads(stack.stdout.readline())
        os.kill(told["pids"]["alertmanager"], signal.SIGKILL)
        _, said = stack.communicate(timeout=60)
    assert stack.returncode == 1
    assert "alertmanager ended with status -9" in said
    assert all(map(is_gone, told["pids"].values()))


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
