"""What a daemon shows and does while another one on its ledger leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ledgers import NOON, added, ledger_at, page
from tests.test_metrics import status
from watchdog.config import load_settings
from watchdog.errors import ConfigError
from watchdog.ledger import Record
from watchdog.metrics import Metrics
from watchdog.notifiers.memory import InMemoryNotifier
from watchdog.notify import Sender

SERVER = "ledger: postgresql+psycopg://watchdog@db/watchdog\n"


def settings_of(tmp_path: Path, text: str) -> float | None:
    file = tmp_path / "watchdog.yaml"
    file.write_text(f'prometheus: {{url: "http://127.0.0.1:9090"}}\n{text}')
    return load_settings(file, {}).replicas.lease


def test_a_lease_is_asked_for_and_needs_a_server(tmp_path: Path) -> None:
    assert settings_of(tmp_path, SERVER) is None
    assert settings_of(tmp_path, SERVER + "replicas: {lease: 20s}\n") == 20.0
    with pytest.raises(ConfigError, match=r"replicas\.lease: needs a ledger on PostgreSQL, and this one is a SQLite"):
        settings_of(tmp_path, "replicas: {lease: 20s}\n")
    for wrong in ("500ms", "1h"):
        with pytest.raises(ConfigError, match="expected 1 s to 300 s, such as 20s"):
            settings_of(tmp_path, f"{SERVER}replicas: {{lease: {wrong}}}\n")


def test_of_a_rollout_that_another_leads_no_series_is_left_and_what_is_past_is_no_increase_later() -> None:
    metrics = Metrics()
    breach = [("error_rate", NOON)]
    for name in ("mine", "theirs"):
        metrics.set_rollout(name, "checkout", "new-checkout", "1.0")
        metrics.on_tick(name, status(), [("error_rate", "pass", "")], 1, NOON, breach)
        metrics.on_sample_age(name, 3.0)
    metrics.forget("theirs")
    left = metrics.exposition().decode()
    assert 'rollout="theirs"' not in left
    assert 'slo_watchdog_rollout_phase{phase="soaking",rollout="mine"} 1.0' in left
    metrics.on_tick("theirs", status(), [], 0, NOON, breach)
    assert 'slo_watchdog_breaches_total{objective="error_rate",rollout="theirs"} 1.0' in metrics.exposition().decode()


def test_one_that_stands_by_sends_nothing_and_takes_its_own_silence_for_nobody_s(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "watchdog.db")
    stored, pager = added(ledger), InMemoryNotifier("pager")
    now = NOON
    sender = Sender(ledger, (pager,), lambda: now)
    leads = False
    for lane in sender.lanes:
        lane.sends = lambda: leads
    ledger.record(Record(stored.id, 0, notifications=[page("k", NOON)]))
    now += 3600
    assert sender.send_due(now) == 0
    assert sender.sentence == "pager: another process sends"
    leads = True
    assert sender.send_due(now) == 1
    assert [told.key for _, told in pager.sent] == [f"{stored.name}:k"], "nobody is told that the channel was silent"
    ledger.close()
