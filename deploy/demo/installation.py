"""What the demo runs on: its directory, its configuration, its servers, and what it asks them."""

from __future__ import annotations

import json
import time
import urllib.parse
from pathlib import Path
from typing import Any

import evidence
from place import Place
from stage import HERE, DemoError, fetch, fill, free_ports, prometheus_binary

from watchdog.config import load_settings
from watchdog.model import Rollout
from watchdog.rolloutfile import DaemonFacts, load_rollout

SERVERS = ("prometheus", "shop", "load", "watchdog")
BROKEN_SHARE = 0.14
"""Part of the users whom the faulty build's new code fails: at 5 % exposure 0.7 % of all requests."""
FAULTY, HEALTHY = "checkout-faulty", "checkout-healthy"
VERSIONS = {FAULTY: "2.14.0", HEALTHY: "2.14.1"}
PRODUCTION = HERE.parents[1] / "rules" / "rollouts" / "checkout.yaml"
"""The example rollout that the demo's is compared with."""


class Installation(Place):
    """Everything below one directory, `build/demo/` by default."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, free_ports(SERVERS))

    def set_up(self) -> None:
        """Write the configuration and start everything, the faulty build of the shop among it."""
        names = self.ports.addresses
        prometheus_binary()
        metrics = fill("prometheus.yml", self.root / "prometheus.yml", names)
        fill("watchdog.yaml", self.config, names)
        for rollout, version in VERSIONS.items():
            fill("rollout.yaml", self.rollout_file(rollout), {"ROLLOUT": rollout, "VERSION": version})
        self.command("flags", "init")
        self.start_prometheus(metrics)
        self.start_build(FAULTY)
        self.start_load()
        self.start_watchdog()
        self.calm(3.0)

    def start_build(self, rollout: str) -> None:
        """Start the build of the shop that this rollout is about."""
        share = BROKEN_SHARE if rollout == FAULTY else 0.0
        self.start_shop("--version", VERSIONS[rollout], "--broken-share", str(share))

    def calm(self, seconds: float) -> None:
        """Wait until every user has had an answer for so long."""
        since = time.time()
        self.stage.wait(
            f"{seconds:g} s in which every user is answered",
            lambda: (
                time.time() - max([since, *(failure.at for failure in self.seen(since) if failure.status == 0)])
                >= seconds
            ),
            within=30.0,
        )

    def last_answer(self, variant: str) -> float:
        """When the load generator was last served by `on` or `off`, in seconds since the epoch."""
        series = f'load_last_answer_timestamp_seconds{{variant="{variant}"}} '
        lines = fetch(self.url("load", "/metrics")).decode().splitlines()
        return float(next(line for line in lines if line.startswith(series)).removeprefix(series))

    def seen(self, since: float) -> list[evidence.Failure]:
        """Failures since then."""
        return [failure for failure in evidence.failures(self.failures) if failure.at >= since]

    def rules(self, rollout: str) -> tuple[Rollout, Rollout]:
        """Load the demo's rule and production's, each as its daemon would freeze it."""
        facts = load_settings(self.config).facts()
        usual = DaemonFacts(propagation=facts.propagation)
        return load_rollout(self.rollout_file(rollout), facts), load_rollout(PRODUCTION, usual)

    def transitions(self, rollout: str) -> list[dict[str, Any]]:
        """Fetch what happened to a rollout, oldest first."""
        told = json.loads(fetch(self.url("watchdog", f"/api/v1/rollouts/{rollout}/transitions"), 5.0))
        found: list[dict[str, Any]] = told["transitions"]
        return found

    def told(self, rollout: str) -> dict[str, Any]:
        """Fetch the report of a rollout as the daemon gives it now."""
        found: dict[str, Any] = json.loads(
            fetch(self.url("watchdog", f"/api/v1/rollouts/{rollout}/report?format=json"), 10.0)
        )
        return found

    def share(self, rollout: str, objective: str, span: tuple[float, float]) -> float:
        """Ask Prometheus for the bad share of an objective over a span of time (epoch seconds)."""
        rule = self.rules(rollout)[0]
        asked = rule.objective(objective)
        bad, total = (self._number(text, rule, span) for text in (asked.bad, asked.total))
        if total <= 0.0:
            raise DemoError(f"Prometheus has no events of {objective} in the {span[1] - span[0]:.0f} s asked for.")
        return bad / total

    def _number(self, template: str | None, rule: Rollout, span: tuple[float, float]) -> float:
        query = (template or "").replace("$range", f"{round(1000 * (span[1] - span[0]))}ms")
        if rule.cohorts is not None:
            query = query.replace("$cohort", rule.cohorts.exposed)
        asked = urllib.parse.urlencode({"query": query, "time": f"{span[1]:.3f}"})
        found = json.loads(fetch(self.url("prometheus", f"/api/v1/query?{asked}"), 5.0))["data"]["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def report(self, rollout: str, folder: str, kind: str) -> None:
        """Write one report with the command."""
        (self.root / folder).mkdir(exist_ok=True)
        self.command("report", rollout, "--format", kind, "-o", str(self.root / folder / f"report.{kind}"))

    def proof(self, rollout: str, folder: str) -> str:
        """Write the signed bundle of a rollout's evidence, and verify it as others would: what that says at last."""
        key, bundle = self.root / "evidence.key", self.root / folder / "evidence.tar.gz"
        if not key.exists():
            self.command("evidence", "keygen", str(key))
        self.command("report", rollout, "--bundle", str(bundle), "--key", str(key))
        told = self.command("verify", str(bundle), "--public-key", f"{key}.pub").splitlines()
        return (
            f"{told[-1]} ({bundle.stat().st_size / 1000:.0f} kB, {sum(line.startswith('ok') for line in told)} checks)"
        )

    def written(self, folder: str) -> dict[str, Any]:
        """Read a report that the command has written."""
        found: dict[str, Any] = json.loads((self.root / folder / "report.json").read_text(encoding="utf-8"))
        return found

    def replay(self, rollout: str, span: tuple[str, str]) -> dict[str, Any]:
        """Replay a rollout's rule over what Prometheus has of a span; the JSON is kept beside the reports."""
        times = ("--from", span[0], "--to", span[1])
        rule = str(self.rollout_file(rollout))
        text = self.command("replay", rule, *times, "--keep-going", "--json", accept=(0, 1))
        (self.root / f"{rollout}.replay.json").write_text(text, encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found
