"""A directory, the processes that work in it and their ports, and the commands of slo-watchdog on its settings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stage import HERE, DemoError, Ports, Stage, answers, fetch, prometheus_binary


class Place:
    """Everything is below `root`; `ports` say where each server listens."""

    def __init__(self, root: Path, ports: Ports) -> None:
        self.root = root
        self.ports = ports
        self.stage = Stage(root / "logs")
        self.config = root / "watchdog.yaml"
        self.failures = root / "failures.jsonl"

    def url(self, server: str, path: str = "") -> str:
        """Address of one of the servers."""
        return f"http://127.0.0.1:{self.ports[server]}{path}"

    def command(self, *arguments: str, accept: tuple[int, ...] = (0,), timeout: float = 60.0) -> str:
        """Run one `slo-watchdog` command and return its output; DemoError when it ends otherwise than accepted."""
        environment = {**os.environ, "WATCHDOG_CONFIG": str(self.config)}
        try:
            done = subprocess.run(
                [sys.executable, "-m", "watchdog", *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise DemoError(f"`slo-watchdog {' '.join(arguments)}` did not end within {timeout:g} s.") from late
        if done.returncode not in accept:
            said = (done.stderr or done.stdout).strip()
            raise DemoError(f"`slo-watchdog {' '.join(arguments)}` ended with status {done.returncode}: {said}")
        return done.stdout

    def status(self, rollout: str) -> dict[str, Any]:
        """Where a rollout is, as the daemon's API gives it; DemoError when the daemon does not answer."""
        try:
            found: dict[str, Any] = json.loads(fetch(self.url("watchdog", f"/api/v1/rollouts/{rollout}"), 5.0))
        except OSError as problem:
            self.stage.check()
            raise DemoError(f"the daemon does not tell about {rollout}: {problem}.") from problem
        return found

    def script(self, name: str, *arguments: str | Path) -> list[str]:
        """Command line of a program of this directory."""
        return [sys.executable, str(HERE / name), *(str(argument) for argument in arguments)]

    def rollout_file(self, rollout: str) -> Path:
        """Where the daemon reads a rollout."""
        return self.root / "rollouts" / f"{rollout}.yaml"

    def start_prometheus(self, config: Path, *options: str, server: str = "prometheus") -> None:
        """Start a Prometheus with its own data."""
        self.stage.start(
            server,
            [
                prometheus_binary(),
                f"--config.file={config}",
                f"--storage.tsdb.path={self.root / server}",
                f"--web.listen-address=127.0.0.1:{self.ports[server]}",
                "--log.level=warn",
                *options,
            ],
            lambda: answers(self.url(server, "/-/ready")),
        )

    def start_shop(self, *options: str | Path) -> None:
        """Start the shop on the flag files of this place."""
        flags = self.root / "flags"
        files = ("--flags", flags / "shop.flagd.json", "--ops", flags / "ops.flagd.json")
        self.stage.start(
            "shop",
            self.script("shop.py", "--port", str(self.ports["shop"]), *files, "--hiccups", *options),
            lambda: answers(self.url("shop", "/healthz")),
        )

    def start_load(self, *options: str | Path) -> None:
        """Start the users of the shop."""
        where = ("--shop", f"127.0.0.1:{self.ports['shop']}", "--port", str(self.ports["load"]))
        self.stage.start(
            "load",
            self.script("load.py", *where, "--failures", self.failures, *options),
            lambda: answers(self.url("load", "/metrics")),
        )

    def start_watchdog(self) -> None:
        """Start the daemon."""
        self.stage.start(
            "watchdog",
            [sys.executable, "-m", "watchdog", "run", "--config", str(self.config)],
            lambda: answers(self.url("watchdog", "/readyz")),
        )
