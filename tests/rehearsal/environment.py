"""One environment of the rehearsal: nginx before two colours of the demo's shop, its users, and a watchdog.

with Environment(tmp_path, "staging", prometheus_url, github) as staging:
    staging.serves          # colour and version that users get now
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from tests.drilling import FLAG as DRILL
from tests.preflighting import flags, switches
from tests.processes import Daemon, Installation, wait_for
from tests.rehearsal import colours
from tests.servers import free_port
from watchdog.model import EMERGENCY_FLAGS

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "deploy" / "demo"
COLOURS = ("blue", "green")
REPOSITORY = "acme/checkout"
NGINX = """
{user}daemon off;
worker_processes 1;
pid {root}/nginx.pid;
error_log {root}/nginx.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {root}/nginx; proxy_temp_path {root}/nginx; fastcgi_temp_path {root}/nginx;
  uwsgi_temp_path {root}/nginx; scgi_temp_path {root}/nginx;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  server {{ listen 127.0.0.1:{front}; location / {{ proxy_pass http://unix:{root}/current.sock; }} }}
{servers}}}
"""
SERVER = """  server {{
    listen unix:{root}/{colour}.sock; listen 127.0.0.1:{entry};
    location / {{ proxy_pass http://127.0.0.1:{port}; add_header X-Colour {colour} always; }}
  }}
"""
TARGET = """
name = "checkout"
backend = "nginx"
url = "http://127.0.0.1:{front}"
state = "{root}/driver.json"
[colours.blue]
url = "http://127.0.0.1:{blue}"
socket = "{root}/blue.sock"
[colours.green]
url = "http://127.0.0.1:{green}"
socket = "{root}/green.sock"
[nginx]
switch = "{root}/current.sock"
store = "{root}/store"
releases = "{root}/releases"
start = ["{python}", "{program}", "start", "{root}/colours.json", "{{colour}}"]
stop = ["{python}", "{program}", "stop", "{root}/colours.json", "{{colour}}"]
[health]
every = 0.1
within = 30
[drain]
seconds = 1
"""
ROLLOUT = """
rollout: {name}
service: shop
version: "{version}"
flag: new-checkout
interval: 1s
delay: 1s
window: {{slices: 6, slice: 2s, max_gap: 4s, max_idle: 6}}
ramp: {{steps: [{{percent: 50, for: 4s}}, {{percent: 100}}]}}
rollback: {{to: 0, within: 60s, verify: 4s}}
settle: 4s
blind_after: 30s
resume_after: 5s
cohorts: {{exposed: 'variant="on"', control: 'variant="off"'}}
waive: {{feasibility: a rehearsal, dead_service: a rehearsal}}
objectives:
  - name: error_rate
    bad: sum(increase(http_requests_total{{job="{job}",code=~"5..",$cohort}}[$range])) or vector(0)
    total: sum(increase(http_requests_total{{job="{job}",$cohort}}[$range])) or vector(0)
    below: 2%
    range: 5s
    min_slice_events: 20
    sequential: {{every: 2s}}
"""


def release(directory: Path, version: str, *options: str) -> tuple[Path, str]:
    """A release of the shop as a tar file, and its digest."""
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "release.tar"
    with tarfile.open(file, "w") as tar:
        for source in sorted(DEMO.glob("*.py")) + sorted(DEMO.glob("*.html")):
            tar.add(source, f"shop/{source.name}")
        text = "\n".join(("--version", version, *options)).encode()
        entry = tarfile.TarInfo("options")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return file, f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


class Environment:
    """`name` is staging or production; `hook` is where its daemon tells of transitions, if anywhere."""

    def __init__(self, directory: Path, name: str, ports: dict[str, int]) -> None:
        self.name, self.root, self.ports = name, directory / name, ports
        self.job = f"shop-{name}"
        self.target = self.root / "target.toml"
        self._open = ExitStack()
        self.site: Installation
        self.daemon: Daemon

    @property
    def front(self) -> str:
        """Where users go."""
        return f"http://127.0.0.1:{self.ports['front']}"

    @property
    def variables(self) -> dict[str, str]:
        """What GitHub's environment holds."""
        return {
            "PIPELINE_TARGET": str(self.target),
            "PIPELINE_ROLLOUT": "",
            "PIPELINE_IMAGE": "shop",
            "PIPELINE_URL": self.front,
            "SLO_SMOKE_TARGET": self.daemon.url,
            "WATCHDOG_CONFIG": str(self.site.config),
        }

    @property
    def serves(self) -> tuple[str, str]:
        """Colour and version of what a user is answered by."""
        with urllib.request.urlopen(f"{self.front}/metrics", timeout=5) as answer:  # noqa: S310 - loopback
            text, colour = answer.read().decode(), answer.headers["X-Colour"]
        return colour, text.partition('shop_info{version="')[2].partition('"')[0]

    def start(self, prometheus: str, **top: Any) -> Self:
        """Write everything and start it, without a build. `top` are keys of the daemon's settings."""
        self.root.mkdir(exist_ok=True)
        (self.root / "nginx").mkdir()
        self.site = Installation(
            self.root,
            prometheus,
            flags="{service: flagd-file, path: flags/checkout.flagd.json, bucketing: flagd-v3}",
            preflight="{required: true, history: 30s}",
            **{key: json.dumps(value) for key, value in top.items()},
        )
        flags(self.site).init([DRILL], "a rehearsal")
        switches(self.site).init(EMERGENCY_FLAGS, "a rehearsal")
        self._write()
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self._process("nginx", [nginx, "-p", str(self.root), "-c", str(self.root / "nginx.conf"), "-e", "stderr"])
        self.daemon = self._open.enter_context(self.site.daemon())
        return self

    def users(self) -> None:
        """Let users come, once something serves."""
        where = f"127.0.0.1:{self.ports['front']}"
        options = ("--port", str(self.ports["load"]), "--failures", str(self.root / "failures.jsonl"), "--rate", "30")
        self._process("load", [sys.executable, str(DEMO / "load.py"), "--shop", where, *options])

    def known(self, prometheus: str) -> None:
        """Wait until Prometheus has enough of these users to judge a window by."""
        query = quote(f'sum(increase(http_requests_total{{job="{self.job}"}}[20s])) > 450')

        def found() -> object:
            with urllib.request.urlopen(f"{prometheus}/api/v1/query?query={query}", timeout=5) as answer:  # noqa: S310
                return json.load(answer)["data"]["result"] or None

        wait_for(found, 60, lambda: f"{self.job} has too few requests in Prometheus")

    def rollout(self, name: str, version: str) -> Path:
        """Write a rollout of this environment."""
        file = self.root / "rollouts" / f"{name}.yaml"
        file.write_text(ROLLOUT.format(name=name, version=version, job=self.job))
        return file

    def stop(self) -> None:
        """End all of it."""
        self._open.close()
        for colour in COLOURS:
            colours.end(self.root / f"{colour}.pid")

    def _write(self) -> None:
        root, ports = str(self.root), self.ports
        servers = "".join(
            SERVER.format(root=root, colour=one, entry=ports[one], port=ports[f"{one}-shop"]) for one in COLOURS
        )
        # Its workers are to read this directory, which is ours alone.
        user = f"user {pwd.getpwuid(os.getuid()).pw_name};\n" if os.getuid() == 0 else ""
        (self.root / "nginx.conf").write_text(NGINX.format(user=user, root=root, front=ports["front"], servers=servers))
        paths = {"root": root, "python": sys.executable, "program": colours.__file__}
        self.target.write_text(TARGET.format(**paths, **{name: ports[name] for name in ("front", *COLOURS)}))
        about = {one: {"port": ports[f"{one}-shop"]} for one in COLOURS}
        ops = self.site.flag_file.with_name("ops.flagd.json")
        files = {"flags": str(self.site.flag_file), "ops": str(ops), "releases": f"{root}/releases"}
        (self.root / "colours.json").write_text(json.dumps({**about, **files}))

    def _process(self, name: str, command: list[str]) -> None:
        log = (self.root / f"{name}.out").open("wb")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self._open.callback(process.wait, 20)
        self._open.callback(process.terminate)


def some_ports() -> dict[str, int]:
    """Free ports for one environment."""
    return {name: free_port() for name in ("front", *COLOURS, *(f"{one}-shop" for one in COLOURS), "load")}
