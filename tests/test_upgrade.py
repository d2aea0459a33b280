"""The watchdog itself is upgraded in the middle of nine days, and put back: ramp, window and sign-off are the same.

Each part is a process of its own with another version of the package. The engine is the real one over a real
Prometheus that holds the nine days; time is an argument.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.history import History
from tests.ledgers import ledger_at
from tests.servers import PrometheusServer
from tests.versions import Version
from watchdog import __version__
from watchdog.account import Account
from watchdog.model import Phase, Slice, SliceVerdict
from watchdog.report import build, render_markdown

HOUR, DAY = 3600, 86_400
S = 1_764_028_800
NAME = "checkout-2.14.0"
NEWER = "99.1.0"
STEP = "9999_tomorrow"

RULE = """
rollout: checkout-2.14.0
service: checkout
version: "2.14.0"
flag: new-checkout
interval: 20m
ramp: {strategy: progressive, from: 0, to: 100, over: 7d, every: 1h}
window: {slices: 48, slice: 1h}
waive: {dead_service: a test, pooled_exposure: a test, rollback_bound: a test}
objectives:
  - name: error_rate
    bad: sum(increase(http_requests_total{job="checkout",code=~"5.."}[$range]))
    total: sum(increase(http_requests_total{job="checkout"}[$range]))
    at_most: 0.1%
    sequential: {every: 20m}
    on_breach: page
  - name: flag_ramp
    internal: flag_ramp
"""

PART = """
import sys
from pathlib import Path
from watchdog import __version__
from watchdog.flags.flagd_file import FlagdFile
from watchdog.ledger import open_ledger
from watchdog.prometheus import Prometheus
from watchdog.rolloutfile import DaemonFacts, parse_rollout
from watchdog.tick import RolloutTick

directory, server, begin, end = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rollout = parse_rollout((directory / "checkout.yaml").read_text(), "checkout.yaml", DaemonFacts())
ledger = open_ledger(f"sqlite:///{directory / 'watchdog.db'}")
flags = FlagdFile(directory / "flags.json")
if ledger.rollout(rollout.name) is None:
    flags.init((rollout.flag,), "a test")
    ledger.add_rollout(rollout, file="checkout.yaml", engine=__version__, now=begin)
    ledger.add_command(rollout.name, "start", "ada", "", begin)
now = [float(begin)]
with Prometheus(server, judge_skew=False) as source:
    tick = RolloutTick(rollout.name, ledger, source, flags, lambda: now[0])
    for at in range(begin, end, rollout.interval):
        now[0] = at + rollout.delay + 1
        while tick.tick(now[0]).again_in == 0.0:
            pass
ledger.close()
"""


def errors(t: int) -> float:
    """Half an hour of errors on the fifth day, while the newer version is in charge."""
    return 0.02 if S + 4 * DAY + 7000 <= t < S + 4 * DAY + 8800 else 0.0002


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Nine days and a few hours of a shop, scraped once a minute, with an hour of lost scrapes on day six."""
    lost = ((S + 5 * DAY + 1800, S + 5 * DAY + 5400),)
    history = History().requests(
        S - HOUR, S + 9 * DAY + 6 * HOUR, rps=20.0, error_share=errors, scrape=60, gaps=lost, seed=3
    )
    with PrometheusServer(history.build(tmp_path_factory.mktemp("history"))) as server:
        yield server


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Version, Version]:
    """This one; a newer one with the same schema; a newer one that changes the schema."""
    root = tmp_path_factory.mktemp("versions")
    return Version(root, __version__), Version(root, NEWER), Version(root, f"{NEWER}.1", STEP)


def part(version: Version, directory: Path, server: PrometheusServer, begin: float, end: float) -> None:
    """That version is in charge from one day of the rollout to another."""
    span = (str(int(S + begin * DAY)), str(int(S + end * DAY)))
    done = version.python("-c", PART, str(directory), server.url, *span)
    assert done.returncode == 0, done.stderr


def site(path: Path) -> Path:
    path.mkdir()
    (path / "checkout.yaml").write_text(RULE)
    (path / "watchdog.yaml").write_text("prometheus: {url: http://127.0.0.1:1}\nflags: {path: flags.json}\n")
    return path


@pytest.fixture(scope="module")
def straight(
    tmp_path_factory: pytest.TempPathFactory, prometheus: PrometheusServer, versions: tuple[Version, ...]
) -> Path:
    """The nine days with one version, without a break."""
    directory = site(tmp_path_factory.mktemp("straight") / "site")
    part(versions[0], directory, prometheus, 0, 9.2)
    return directory


def told(directory: Path) -> dict[str, Any]:
    """Everything that was judged and done, without who judged it."""
    ledger = ledger_at(directory / "watchdog.db")
    try:
        stored = ledger.rollout(NAME)
        assert stored is not None
        account = Account(ledger, stored)
        evaluations = account.evaluations()
        return {
            "figures": {key: value for key, value in account.figures(evaluations).items() if key != "events"},
            "evaluations": {name: [(e.at, e.verdict, e.reason) for e in some] for name, some in evaluations.items()},
            "slices": ledger.slices(stored.id),
            "exposures": ledger.exposures(stored.id),
            "transitions": [one for one in ledger.transitions(stored.id) if one.kind != "engine"],
            "phase": stored.phase,
        }
    finally:
        ledger.close()


def hours(slices: list[Slice]) -> dict[int, SliceVerdict]:
    """The verdicts on what Prometheus knows; what the flag read while nobody looked, nobody can tell afterwards."""
    return {one.end: o.verdict for one in slices for o in one.objectives if o.objective == "error_rate"}


def test_upgraded_and_put_back_within_nine_days_the_result_is_the_same_and_both_versions_are_on_record(
    tmp_path: Path, prometheus: PrometheusServer, versions: tuple[Version, ...], straight: Path
) -> None:
    ours, newer, _ = versions
    directory = site(tmp_path / "site")
    for version, begin, end in ((ours, 0.0, 3.0), (newer, 3.0, 6.0), (ours, 6.0, 9.2)):
        part(version, directory, prometheus, begin, end)
    expected, found = told(straight), told(directory)
    assert expected["phase"] is Phase.SIGNED_OFF
    assert expected["figures"]["window"]["resets"], "the errors were meant to reset the window"
    assert expected["figures"]["gaps"], "the lost scrapes were meant to leave a gap"
    for key, value in expected.items():
        assert found[key] == value, key
    ledger = ledger_at(directory / "watchdog.db")
    stored = ledger.rollout(NAME)
    assert stored is not None
    taken = [(one.at, one.by) for one in ledger.transitions(stored.id) if one.kind == "engine"]
    assert [by for _, by in taken] == [f"slo-watchdog {NEWER}", f"slo-watchdog {__version__}"]
    assert [round((at - S) / DAY, 2) for at, _ in taken] == [3.0, 6.0]
    report = render_markdown(build(Account(ledger, stored).evidence(S + 10 * DAY)))
    ledger.close()
    assert f"{__version__}, from 2025-11-28T00:00:31Z {NEWER}, from 2025-12-01T00:00:31Z {__version__}" in report


def test_a_newer_schema_is_refused_by_the_older_version_until_the_backup_of_before_is_restored(
    tmp_path: Path, prometheus: PrometheusServer, versions: tuple[Version, ...], straight: Path
) -> None:
    """What the newer one did is lost with its ledger: the slots are asked for again, the ramp goes on from before."""
    ours, _, newer = versions
    directory = site(tmp_path / "site")
    config = ("--config", str(directory / "watchdog.yaml"))
    part(ours, directory, prometheus, 0, 3)
    before = told(directory)
    assert ours.run(*config, "ledger", "backup", str(tmp_path / "before.db")).returncode == 0
    part(newer, directory, prometheus, 3, 6)
    refused = ours.run(*config, "status")
    assert refused.returncode == 2
    assert f"does not know ({STEP}); run the newer slo-watchdog that wrote it" in refused.stderr
    assert "restore the backup made before the upgrade" in refused.stderr
    done = ours.run(*config, "ledger", "restore", str(tmp_path / "before.db"), "--by", "ada", "--json")
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["kept"]).exists(), "what the newer one wrote is kept"
    part(ours, directory, prometheus, 6, 6.5)
    expected, found = told(straight), told(directory)
    until = S + 6.4 * DAY
    slots = [item for item in expected["evaluations"]["error_rate"] if item[0] <= until]
    assert [item for item in found["evaluations"]["error_rate"] if item[0] <= until] == slots, "no slot is lost"
    judged = hours(expected["slices"])
    assert hours(found["slices"]).items() <= judged.items(), "every hour is judged as it was"
    last = before["exposures"][-1].exposure.percent
    after = [fact.exposure.percent for fact in found["exposures"] if fact.at > S + 6 * DAY]
    assert max(after) - last < 10, "twelve hours of steps from where the backup was, none made up for"
    assert "set back" in next(one.why for one in found["transitions"] if one.kind == "drift")
