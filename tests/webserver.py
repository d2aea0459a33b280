"""A daemon's HTTP side as tests meet it: a real ledger, a rollout that was really ticked, a real server on loopback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import requests

from tests.ledgers import NOON, ledger_at
from watchdog.audit import audited, open_changes
from watchdog.config.httpsettings import HttpSettings
from watchdog.flags.memory import InMemoryFlags
from watchdog.flagsystem import FlagSystem
from watchdog.ledger import Ledger, StoredRollout
from watchdog.metrics import Metrics
from watchdog.model import EMERGENCY_FLAGS, Series
from watchdog.prometheus import Range
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.serving import Counts, FlagSet, Readers
from watchdog.tick import RolloutTick
from watchdog.web.alerts import Receiving
from watchdog.web.app import create_app
from watchdog.web.entrance import entrance_of
from watchdog.web.readers import serve_routes
from watchdog.web.reports import Build
from watchdog.web.server import Server
from watchdog.web.tls import files_of, tls_context

SHOP = FlagSet("shop", lambda: ("1", {"flags": {"blue": {"state": "ENABLED", "variants": {"on": 1}}}}), "flagd-v2", int)
"""A flag set for readers, always the same."""
TOKEN = "correct horse battery staple"
ALERTS_TOKEN = "what only Alertmanager knows"
NAME = "checkout-2.14.0"
RULE = """\
rollout: {name}
service: checkout
version: 2.14.0
flag: {flag}
interval: 30s
auto_start: true
window: {{slices: 2, slice: 5m, max_gap: 5m}}
ramp: {{strategy: all_at_once}}
waive: {{dead_service: a test has no service, pooled_exposure: nor a cohort, feasibility: nor traffic}}
objectives:
  - name: error_rate
    bad: sum(increase(bad_total[$range]))
    total: sum(increase(requests_total[$range]))
    at_most: 0.1%
    no_data: fail
  - name: queue_age
    value: max(queue_age_seconds)
    below: 30s
    on_breach: page
  - name: flag_ramp
    internal: flag_ramp
"""

Answer = Callable[[str, int], float | None]


def healthy(expression: str, _at: int) -> float | None:
    """10,000 requests without an error, a queue of 3 s."""
    return 0.0 if "bad_total" in expression else 3.0 if "queue_age" in expression else 10_000.0


class Answers:
    """A source that answers every expression by a function of its text and the instant."""

    def __init__(self, answer: Answer = healthy) -> None:
        self.answer = answer

    def instants(self, expressions: Sequence[str], at: int, deadline: float | None = None) -> list[Series]:
        return [self._series(expression, [at]) for expression in expressions]

    def ranges(
        self,
        requests: Sequence[Range],
        deadline: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Series]:
        return [self._series(one.expression, range(one.start, one.end + 1, one.step)) for one in requests]

    def _series(self, expression: str, instants: Sequence[int]) -> Series:
        values = {at: self.answer(expression, at) for at in instants}
        return Series({at: value for at, value in values.items() if value is not None})


class Site:
    """A ledger, its rollouts and the server over them; `now` is the time that the server believes."""

    def __init__(
        self,
        directory: Path,
        *,
        token: str | None = TOKEN,
        report_bytes: Build | None = None,
        alerts_token: str | None = ALERTS_TOKEN,
        http: HttpSettings | None = None,
        prometheus_url: str | None = None,
        ticking: Callable[[], bool] = lambda: False,
    ) -> None:
        self.ledger: Ledger = ledger_at(directory / "watchdog.db")
        self.metrics = Metrics()
        self.source = Answers()
        self.flags = InMemoryFlags(["new-checkout", "old-checkout"])
        self.now = NOON + 0.5
        self.woken: list[str] = []
        address = f"sqlite:///{directory / 'watchdog.db'}"
        self.changes = open_changes(address, self.ledger, lambda: self.now, observer=self.metrics)
        self.emergency = InMemoryFlags(EMERGENCY_FLAGS)
        self.system = FlagSystem(
            primary=audited(self.flags, "flags", self.changes, lambda: self.now, observer=self.metrics),
            emergency=audited(
                self.emergency,
                "emergency",
                self.changes,
                lambda: self.now,
                actions=dict.fromkeys(EMERGENCY_FLAGS, "emergency"),
                observer=self.metrics,
            ),
            secondary={},
            changes=self.changes,
        )
        self.ready = (True, "ready")
        self.app = create_app(
            ledger=self.ledger,
            metrics=self.metrics,
            token=token,
            clock=lambda: self.now,
            ready=lambda: self.ready,
            wake=self.woken.append,
            report_bytes=report_bytes,
            flags=self.system,
            alerts=Receiving(alerts_token),
            readers=serve_routes(Readers([SHOP], Counts(self.metrics.registry)), None),
            entrance=entrance_of(http, lambda: self.now, self.metrics, self.ledger) if http is not None else None,
            prometheus_url=prometheus_url,
            ticking=ticking,
        )
        files = files_of(http.tls) if http is not None else None
        tls = tls_context(files) if files is not None else None
        self.answering = Server(self.app, "127.0.0.1", 0, tls=tls)
        self._ticks: dict[str, RolloutTick] = {}

    def __enter__(self) -> Self:
        self.answering.start()
        return self

    def __exit__(self, *_: object) -> None:
        stopped = self.answering.stop(10)
        self.ledger.close()
        assert stopped

    @property
    def url(self) -> str:
        return self.answering.url

    def add(self, name: str = NAME, flag: str = "new-checkout", rule: str = RULE) -> StoredRollout:
        """A pending rollout."""
        rollout = parse_rollout(rule.format(name=name, flag=flag), f"{name}.yaml", DaemonFacts())
        stored = self.ledger.add_rollout(rollout, file=f"rollouts/{name}.yaml", engine="0.1.0", now=self.now)
        self._ticks[name] = RolloutTick(name, self.ledger, self.source, self.system.primary, lambda: self.now)
        return stored

    def tick(self, slots: int = 1, name: str = NAME) -> RolloutTick:
        """Let it tick, once a slot."""
        for _ in range(slots):
            self._ticks[name].tick(self.now)
            self.now += 30
        return self._ticks[name]

    def ask(self, method: str, path: str, **how: Any) -> requests.Response:
        return requests.request(method, self.url + path, timeout=20, allow_redirects=False, **how)

    def get(self, path: str, **how: Any) -> requests.Response:
        return self.ask("GET", path, **how)

    def order(self, verb: str, name: str = NAME, token: str | None = TOKEN, **how: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return self.ask("POST", f"/api/v1/rollouts/{name}/{verb}", headers=headers | how.pop("headers", {}), **how)
