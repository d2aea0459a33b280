"""A real Prometheus with two cohorts and three routes: live ticks, a replay, and who contributed most."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.history import History
from tests.ledgers import ledger_at
from tests.servers import PrometheusServer
from watchdog import __version__
from watchdog.causes import explain
from watchdog.flags.memory import InMemoryFlags
from watchdog.ledger import Ledger
from watchdog.model import Blame, Breach, Exposure, Phase, Rollout
from watchdog.prometheus import Prometheus
from watchdog.replay import Replay
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.rulelint.splitting import split_count
from watchdog.tick import RolloutTick

MINUTE = 60
HOUR = 3600
S = 1_764_000_000 // HOUR * HOUR
E = S + 2 * HOUR
ONSET = S + 30 * MINUTE
ROUTES = {"/pay": 0.2, "/cart": 0.3, "/browse": 0.5}
"""Each route with its part of all requests."""

RULE = """
rollout: {name}
service: checkout
version: "1"
flag: new-checkout
interval: 60s
ramp: {{strategy: progressive, from: 50, to: 100, over: 10h, every: 5h}}
window: {{slices: 4, slice: 20m}}
cohorts: {{exposed: 'variant="on"', control: 'variant="off"'}}
explain_by: [route, pod]
waive: {{dead_service: a test, pooled_exposure: a test}}
objectives:
  - name: error_rate
    bad: sum(increase({name}_requests_total{{code=~"5..",$cohort}}[$range]))
    total: sum(increase({name}_requests_total{{$cohort}}[$range]))
    at_most: 0.1%
    min_slice_events: 100
"""


def failing(route: str, t: int) -> float:
    """From the onset on /pay fails badly and /cart a little."""
    return {"/pay": 0.2, "/cart": 0.02}.get(route, 0.0001) if t >= ONSET else 0.0001


def healthy(route: str, t: int) -> float:
    return 0.0001


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """`alone`: only those who have the feature fail; `both`: everybody does."""
    history = History()
    first = S - HOUR
    history.up(first, E)
    for name, control in (("alone", healthy), ("both", failing)):
        for variant, share in (("on", failing), ("off", control)):
            for route, part in ROUTES.items():
                history.requests(
                    *(first, E),
                    rps=40.0 * part,
                    error_share=partial(share, route),
                    variant=variant,
                    labels={"route": route},
                    metric=f"{name}_requests_total",
                )
    with PrometheusServer(history.build(tmp_path_factory.mktemp("cohorts"))) as server:
        yield server


def a_rule(name: str) -> Rollout:
    return parse_rollout(RULE.format(name=name), f"{name}.yaml", DaemonFacts())


def live(rule: Rollout, source: Prometheus, path: Path, until: int) -> Ledger:
    """The real tick over the past, time as an argument."""
    ledger = ledger_at(path / "ledger.db")
    ledger.add_rollout(rule, file="x.yaml", engine=__version__, now=S)
    ledger.add_command(rule.name, "start", "test", "", S)
    flags = InMemoryFlags(("new-checkout",))
    flags.changed_by_person("new-checkout", Exposure(50.0))
    now = [float(S)]
    tick = RolloutTick(rule.name, ledger, source, flags, lambda: now[0])
    tick.tick(now[0])
    now[0] += rule.delay + 1
    while now[0] < until:
        now[0] += rule.interval
        tick.tick(now[0])
        tick.causes.settle(20.0)
    return ledger


@pytest.mark.parametrize(
    ("name", "verdict", "phase"), [("alone", Blame.FLAG, Phase.ROLLED_BACK), ("both", Blame.SHARED, Phase.RAMPING)]
)
def test_live_and_replay_ask_the_same_and_decide_the_same(
    prometheus: PrometheusServer, tmp_path: Path, name: str, verdict: Blame, phase: Phase
) -> None:
    rule = a_rule(name)
    with Prometheus(prometheus.url, judge_skew=False) as source:
        ledger = live(rule, source, tmp_path, S + 50 * MINUTE)
        stored = ledger.rollout(rule.name)
        assert stored is not None
        assert stored.last_slot is not None
        run = Replay(rule, S, stored.last_slot, keep_going=True)
        run.run(source)
    found = ledger.attributions(stored.id)
    assert {one.verdict for one in found} == {verdict}
    assert run.attributions == found
    assert (stored.phase, run.control.phase) == (phase, phase)
    assert (run.control.hold is not None) == (verdict is Blame.SHARED)
    (told,) = ledger.contributors(stored.id)
    assert [one.value for one in told.found][:2] == ["/pay", "/cart"]
    assert told.problem == "pod: nothing that failed has such a label"
    ledger.close()


def test_the_parts_by_a_label_add_up_to_the_whole(prometheus: PrometheusServer) -> None:
    at = S + 50 * MINUTE
    queries = [
        'sum(increase(both_requests_total{code=~"5.."}[10m]))',
        'sum(increase(both_requests_total[10m])) - sum(increase(both_requests_total{code!~"5.."}[10m]))',
        "sum(sum by (variant) (increase(both_requests_total[10m])))",
        'sum(increase(both_requests_total{code=~"5.."}[10m])) or vector(0)',
    ]
    with Prometheus(prometheus.url, judge_skew=False) as source:
        for query in queries:
            ((_, whole),) = source.rows(query, at)
            parts = source.rows(split_count(query, "route"), at)
            assert {labels["route"] for labels, _ in parts} == set(ROUTES)
            assert sum(value for _, value in parts) == pytest.approx(whole)


def test_the_shares_and_rates_are_those_of_the_data(prometheus: PrometheusServer) -> None:
    breach = Breach("error_rate", ONSET + 5 * MINUTE, "sequential", 1.0, 1.0)
    with Prometheus(prometheus.url, judge_skew=False) as source:
        found = explain(a_rule("alone"), source, breach, S, float(S))
    pay, cart = found.found[:2]
    assert (pay.value, cart.value) == ("/pay", "/cart")
    assert pay.rate == pytest.approx(0.2, rel=0.15)
    assert cart.rate == pytest.approx(0.02, rel=0.15)
    assert pay.share == pytest.approx(0.2 * 0.2 / (0.2 * 0.2 + 0.3 * 0.02), rel=0.05)


def test_a_server_that_is_gone_is_a_sentence(prometheus: PrometheusServer) -> None:
    breach = Breach("error_rate", ONSET + 5 * MINUTE, "sequential", 1.0, 1.0)
    with Prometheus("http://127.0.0.1:9", judge_skew=False) as source:
        found = explain(a_rule("alone"), source, breach, S, float(S))
    assert found.found == ()
    assert "route: Prometheus at http://127.0.0.1:9" in found.problem
