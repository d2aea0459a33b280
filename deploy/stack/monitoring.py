"""The stack: servers of monitoring around the demo's shop and a watchdog, below one directory.

    stack = Stack(Path("build/stack"))
    try:
        stack.set_up()
        stack.settle(within=720)
        stack.query("up")
    finally:
        stack.stage.stop_all()

`stop`, `kill`, `pause`, `resume` and `start` act on one of its processes by name; `break_` on how the shop behaves.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from asking import Asking
from faults import Faults
from place import Place
from programs import ALERTMANAGER, BLACKBOX, GRAFANA, NODE, located
from receivers import local
from stage import DemoError, Ports, answers, fill, free_ports

HERE = Path(__file__).parent
SOURCE = HERE.parents[1]
RULES = SOURCE / "rules" / "prometheus"
ALERTS = SOURCE / "deploy" / "alertmanager" / "alertmanager.yml"
ROLLOUT = "shop-2.14.1"
SCRAPE = "2s"
RETENTION = "15d"
"""Of Prometheus; the longest range of a rule is 3 days."""
USUAL_PORTS = Ports(
    {
        "prometheus": 9090,
        "prometheus-second": 9091,
        "alertmanager": 9093,
        "node": 9100,
        "blackbox": 9115,
        "inbox": 8090,
        "mail": 8025,
        "shop": 8080,
        "load": 8081,
        "watchdog": 8799,
        "grafana": 3000,
    }
)
"""Where people expect them; the stack takes free ones unless it is told otherwise."""
NODE_COLLECTORS = (
    *("cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev"),
    *("pressure", "stat", "textfile", "time", "timex", "vmstat"),
)
RATE = 50
"""Checkouts a second: 15,000 in a slice of five minutes, five times what 0.1 % needs."""


class Stack(Place, Asking):
    """What `make stack` starts, below `root`.

    `rules` is a directory of Prometheus rules, `alerts` an Alertmanager configuration, whose receivers become the
    inbox (`receivers.local`). `scrape` is the interval at which most targets are scraped. Without `ports` it takes
    free ones.
    """

    def __init__(
        self,
        root: Path,
        *,
        rules: Path = RULES,
        alerts: Path = ALERTS,
        scrape: str = SCRAPE,
        ports: Ports | None = None,
    ) -> None:
        super().__init__(root.resolve(), ports or free_ports(USUAL_PORTS.numbers))
        self.rules = rules.resolve()
        self.alerts = alerts
        self.scrape = scrape
        self.rollout = ROLLOUT
        self.known = self.root / "stack.json"
        self.faults = self.root / "faults.json"
        self.textfiles = self.root / "textfile"
        # The watched before the watchers: nothing is down when it is looked at for the first time.
        self._starts: dict[str, Callable[[], None]] = {
            "inbox": self._inbox,
            "alertmanager": self._alertmanager,
            "node": self._node,
            "blackbox": self._blackbox,
            "shop": lambda: self.start_shop("--version", "2.14.1", "--faults", self.faults),
            "load": lambda: self.start_load("--rate", str(RATE), "--faults", self.faults),
            "prometheus": lambda: self._prometheus("prometheus", "prometheus.yml"),
            "prometheus-second": lambda: self._prometheus("prometheus-second", "second.yml"),
            "watchdog": self.start_watchdog,
            "grafana": self._grafana,
        }

    @property
    def running(self) -> tuple[str, ...]:
        """The servers that have a process now."""
        return tuple(self.stage.pids())

    def set_up(self) -> None:
        """Write the configuration and start everything; DemoError when a program is missing or does not start."""
        located()
        self.ports.check()
        if not any(self.rules.glob("*.yaml")):
            raise DemoError(
                f"there are no rules (*.yaml) in {self.rules}: name what `slo-watchdog rules generate` wrote."
            )
        for name in ("secrets", "textfile"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in ("http.token", "slo-watchdog.token"):
            file = self.root / "secrets" / name
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        self.break_()
        for name, to in (("watchdog.yaml", self.config), ("rollout.yaml", self.rollout_file(self.rollout))):
            self._fill(HERE / name, to)
        self.command("flags", "init")
        for name in self._starts:
            if name != "grafana" or GRAFANA.path is not None:
                self.start(name)
        self.save()

    def start(self, name: str) -> None:
        """Start one of its servers, for the first time or again, on the same port and data; wait until it answers."""
        self._starts[name]()
        if self.known.exists():
            self.save()

    def stop(self, name: str) -> None:
        """End one of its servers gently, by SIGTERM."""
        self.stage.stop(name)

    def restart(self, name: str) -> None:
        """End and start one of its servers."""
        self.stop(name)
        self.start(name)

    def kill(self, name: str) -> None:
        """End one of its servers as a crash would, by SIGKILL."""
        self.stage.signal(name, signal.SIGKILL)
        self.stage.stop(name)

    def pause(self, name: str) -> None:
        """Freeze one of its servers: it accepts connections and never answers."""
        self.stage.signal(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a frozen server go on."""
        self.stage.signal(name, signal.SIGCONT)

    def break_(self, **faults: float) -> None:
        """Make the shop and its users behave so from now on (see `faults.Faults`); without arguments: well."""
        Faults(**faults).write(self.faults)

    def settle(self, within: float = 720.0) -> None:
        """Wait until all targets are up, all recordings over five minutes have samples and the rollout ramps."""
        give_up = time.monotonic() + within
        while missing := self.unsettled():
            self.stage.check()
            if time.monotonic() > give_up:
                raise DemoError(f"after {within:g} s the stack still waits for: {'; '.join(missing)}.")
            time.sleep(1.0)

    def save(self) -> None:
        """Write `stack.json`: addresses, process ids and files, for other programs."""
        self.known.write_text(json.dumps(self.described(), indent=2) + "\n", encoding="utf-8")

    def described(self) -> dict[str, object]:
        """What `stack.json` holds."""
        return {
            "root": str(self.root),
            "config": str(self.config),
            "rules": str(self.rules),
            "faults": str(self.faults),
            "rollout": self.rollout,
            "addresses": {name: self.url(name) for name in self.running},
            "pids": self.stage.pids(),
        }

    def _fill(self, template: Path, to: Path) -> Path:
        names = {"ROOT": str(self.root), "RULES": str(self.rules), "SCRAPE": self.scrape, "ROLLOUT": self.rollout}
        return fill(template, to, {**self.ports.addresses, **names})

    def _prometheus(self, name: str, template: str) -> None:
        config = self._fill(HERE / template, self.root / template)
        options = (f"--storage.tsdb.retention.time={RETENTION}", "--web.enable-lifecycle")
        self.start_prometheus(config, *options, server=name)

    def _alertmanager(self) -> None:
        config = self.root / "alertmanager.yml"
        inbox, mail, watchdog = self.url("inbox"), self.ports.addresses["MAIL"], self.url("watchdog")
        text = local(self.alerts, self.root / "secrets", inbox=inbox, mail=mail, watchdog=watchdog)
        config.write_text(text, encoding="utf-8")
        self._serve(
            "alertmanager",
            located()[ALERTMANAGER],
            f"--config.file={config}",
            f"--storage.path={self.root / 'alertmanager'}",
            "--cluster.listen-address=",
            "--log.level=warn",
            ready="/-/ready",
        )

    def _inbox(self) -> None:
        ports = ("--port", str(self.ports["inbox"]), "--smtp-port", str(self.ports["mail"]))
        command = [sys.executable, str(HERE / "inbox.py"), *ports]
        self.stage.start("inbox", command, lambda: answers(self.url("inbox", "/")))

    def _node(self) -> None:
        collectors = [f"--collector.{name}" for name in NODE_COLLECTORS]
        textfiles = f"--collector.textfile.directory={self.textfiles}"
        self._serve("node", located()[NODE], "--collector.disable-defaults", *collectors, textfiles, "--log.level=warn")

    def _blackbox(self) -> None:
        self._serve("blackbox", located()[BLACKBOX], f"--config.file={HERE / 'blackbox.yml'}", "--log.level=warn")

    def _grafana(self) -> None:
        path = GRAFANA.path or ""
        server = [path] if path.endswith("grafana-server") else [path, "server"]
        home = os.environ.get("GF_PATHS_HOME", "/usr/share/grafana")
        self.stage.start(
            "grafana",
            [*server, f"--homepath={home}"],
            lambda: answers(self.url("grafana", "/api/health")),
            within=60.0,
            environ=self._grafana_settings(),
        )

    def _grafana_settings(self) -> dict[str, str]:
        return {
            "GF_SERVER_HTTP_ADDR": "127.0.0.1",
            "GF_SERVER_HTTP_PORT": str(self.ports["grafana"]),
            "GF_PATHS_DATA": str(self.root / "grafana"),
            "GF_PATHS_LOGS": str(self.root / "logs" / "grafana"),
            "GF_PATHS_PROVISIONING": str(SOURCE / "deploy" / "grafana" / "provisioning"),
            "GF_AUTH_ANONYMOUS_ENABLED": "true",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "PROMETHEUS_URL": self.url("prometheus"),
        }

    def _serve(self, name: str, *command: str, ready: str = "/metrics") -> None:
        listen = f"--web.listen-address=127.0.0.1:{self.ports[name]}"
        self.stage.start(name, [*command, listen], lambda: answers(self.url(name, ready)))
