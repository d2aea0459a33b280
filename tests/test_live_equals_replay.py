"""A live run, killed and restarted at random slots, agrees with a replay over the same Prometheus."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.history import History
from tests.ledgers import ledger_at
from tests.servers import PrometheusServer
from watchdog import __version__
from watchdog.account import Account
from watchdog.flags.memory import InMemoryFlags
from watchdog.ledger import Ledger
from watchdog.model import Rollout
from watchdog.prometheus import Prometheus
from watchdog.replay import Replay
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.tick import RolloutTick

MINUTE = 60
HOUR = 3600
S = 1_764_000_000 // HOUR * HOUR
E = S + 5 * HOUR
LIVE = 4 * HOUR

RULE = """
rollout: checkout-1
service: checkout
version: "1"
flag: new-checkout
interval: 60s
ramp: {strategy: progressive, from: 0, to: 100, over: 2h, every: 20m}
window: {slices: 4, slice: 20m}
cohorts: {exposed: 'variant="on"', control: 'variant="off"'}
objectives:
  - name: error_rate
    bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[$range]))
    total: sum(increase(http_requests_total{job="checkout"}[$range]))
    at_most: 0.1%
    on_breach: page
  - name: error_rate_exposed
    bad: sum(increase(http_requests_total{job="checkout",code=~"5..",$cohort}[$range]))
    total: sum(increase(http_requests_total{job="checkout",$cohort}[$range]))
    at_most: 0.1%
    min_slice_events: 100
    on_breach: page
  - name: latency_p95
    value: histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{job="checkout"}[$range])))
    below: 200ms
    on_breach: page
  - name: availability
    bad: sum(increase(probe_total{result="failed"}[$range]))
    total: sum(increase(probe_total[$range]))
    at_least: 99.9%
    pool: window
    no_data: fail
    outside: true
  - name: flag_ramp
    internal: flag_ramp
"""


def errors(t: int) -> float:
    """A burst of errors after an hour and a half, else a tenth of what is allowed."""
    return 0.05 if S + 90 * MINUTE + 40 <= t < S + 110 * MINUTE + 40 else 0.0001


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Five hours of a shop: an error burst, twenty minutes of lost scrapes, slow spells, a counter reset."""
    lost = ((S + 3 * HOUR + 300, S + 3 * HOUR + 1500),)
    first = S - HOUR
    history = History()
    history.up(first, E, gaps=lost)
    for variant, rps in (("on", 20.0), ("off", 30.0)):
        history.requests(
            first, E, rps=rps, error_share=errors, variant=variant, gaps=lost, resets=(S + 150 * MINUTE + 77,), seed=3
        )
    history.latency(first, E, rps=50.0, slow_share=lambda t: 0.5 if t // 600 % 17 == 3 else 0.01, gaps=lost, seed=5)
    for result, share in (("ok", 0.9999), ("failed", 0.0001)):
        history.counter("probe_total", {"job": "probe", "result": result}, first, E, share, gaps=lost)
    with PrometheusServer(history.build(tmp_path_factory.mktemp("history"))) as server:
        yield server


@pytest.fixture
def rollout() -> Rollout:
    """The rule under test."""
    return parse_rollout(RULE, "checkout.yaml", DaemonFacts())


def live(rollout: Rollout, server: PrometheusServer, path: Path, seed: int, *, outages: bool) -> Ledger:
    """Run the real tick over the past, time as an argument; drop everything in memory at random slots."""
    chance = random.Random(seed)
    ledger = ledger_at(path / "ledger.db")
    ledger.add_rollout(rollout, file="checkout.yaml", engine=__version__, now=S)
    ledger.add_command(rollout.name, "start", "test", "", S)
    flags = InMemoryFlags(("new-checkout",))
    source = Prometheus(server.url, judge_skew=False)
    now = [float(S)]
    tick = RolloutTick(rollout.name, ledger, source, flags, lambda: now[0])
    tick.tick(now[0])
    end = S + LIVE
    while now[0] < end + rollout.delay + 1:
        now[0] += rollout.interval if now[0] != S else rollout.interval + rollout.delay + 1
        if outages and chance.random() < 0.03:
            now[0] += rollout.interval * chance.randrange(1, 60)
        if chance.random() < 0.05:
            ledger.close()
            ledger = ledger_at(path / "ledger.db")
            tick = RolloutTick(rollout.name, ledger, source, flags, lambda: now[0])
        if ticked := tick.tick(min(now[0], end + rollout.delay + 1)):
            assert ticked.sentence
    source.close()
    return ledger


def figures_of(ledger: Ledger, rollout: Rollout) -> tuple[dict[str, object], dict[str, list[tuple[object, ...]]]]:
    """The live run's figures and evaluations, from its ledger."""
    stored = ledger.rollout(rollout.name)
    assert stored is not None
    account = Account(ledger, stored)
    evaluations = account.evaluations()
    rows = {
        name: [(e.at, e.verdict, e.reason, e.value, e.bad, e.total) for e in column]
        for name, column in evaluations.items()
    }
    return account.figures(evaluations), rows


def replayed(rollout: Rollout, server: PrometheusServer, end: int) -> Replay:
    """The same time, replayed."""
    run = Replay(rollout, S, end, keep_going=True, keep_evaluations=True)
    with Prometheus(server.url, judge_skew=False) as source:
        run.run(source)
    return run


def test_a_run_that_is_killed_at_random_slots_agrees_with_its_replay_in_everything(
    rollout: Rollout, prometheus: PrometheusServer, tmp_path: Path
) -> None:
    """No downtime: evaluations, breaches, window, gaps, exposure and phase are equal."""
    ledger = live(rollout, prometheus, tmp_path, seed=11, outages=False)
    figures, rows = figures_of(ledger, rollout)
    stored = ledger.rollout(rollout.name)
    assert stored is not None
    assert stored.last_slot is not None
    run = replayed(rollout, prometheus, stored.last_slot)
    expected = run.figures()
    for name, column in run.evaluations.items():
        assert rows[name] == [(e.at, e.verdict, e.reason, e.value, e.bad, e.total) for e in column], name
    for key in ("evaluations", "breaches", "gaps", "window", "exposure", "phase", "slots"):
        assert figures[key] == expected[key], key
    assert expected["breaches"], "the burst was meant to breach"
    assert expected["gaps"], "the lost scrapes were meant to leave a gap"
    ledger.close()


def test_a_run_with_outages_agrees_with_its_replay_once_settled(
    rollout: Rollout, prometheus: PrometheusServer, tmp_path: Path
) -> None:
    """Downtime is back-filled: evaluations, breaches by grid instant and the interim window are equal."""
    ledger = live(rollout, prometheus, tmp_path, seed=7, outages=True)
    figures, rows = figures_of(ledger, rollout)
    stored = ledger.rollout(rollout.name)
    assert stored is not None
    assert stored.last_slot is not None
    run = replayed(rollout, prometheus, stored.last_slot)
    expected = run.figures()
    asked = [o.name for o in rollout.objectives if o.gates]
    for name in asked:
        column = run.evaluations[name]
        assert rows[name] == [(e.at, e.verdict, e.reason, e.value, e.bad, e.total) for e in column], name
    assert figures["breaches"] == expected["breaches"]
    live_window, replay_window = figures["window"], expected["window"]
    assert isinstance(live_window, dict)
    assert isinstance(replay_window, dict)
    for key in ("current", "longest", "completed_at", "resets"):
        assert live_window[key] == replay_window[key], key
    ledger.close()


def test_skipping_the_slots_at_which_nothing_can_be_decided_changes_nothing(
    rollout: Rollout, prometheus: PrometheusServer
) -> None:
    """A replay that asks for a decision at every slot ends with the same figures, to the byte."""
    found = []
    for skips in (True, False):
        run = Replay(rollout, S, S + LIVE, keep_going=True, skips_quiet_slots=skips)
        with Prometheus(prometheus.url, judge_skew=False) as source:
            run.run(source)
        found.append(run.figures())
    assert found[0] == found[1]
