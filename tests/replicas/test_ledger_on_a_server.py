"""The ledger's own tests once more, on a real PostgreSQL; and what only a server can be: used by several at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect

from tests.ledgers import NOON, a_rollout, added, unknown
from tests.postgresserver import Postgres
from tests.processes import Installation
from tests.replicas.proxy import Proxy
from tests.test_alarms import *  # noqa: F403 - every test there that takes a `ledger`, with the one below
from tests.test_ledger import *  # noqa: F403
from tests.test_ledger_deliveries import *  # noqa: F403
from tests.test_ledger_figures import *  # noqa: F403
from tests.test_ledger_outbox import *  # noqa: F403
from watchdog.config import load_settings
from watchdog.errors import LedgerError
from watchdog.intake import Intake
from watchdog.ledger import Ledger, Record, open_ledger, tables
from watchdog.ledger.patience import PATIENCE

# One opens its ledger by its file; the other wants SQLite's own words.
del test_only_one_sender_gets_the_leave_to_send, test_a_fact_about_nothing_is_refused  # noqa: F821


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.url(postgres.database())


@pytest.fixture  # type: ignore[no-redef]
def ledger(url: str) -> Iterator[Ledger]:
    opened = open_ledger(url)
    yield opened
    opened.close()


def at_once(number: int, work: Callable[[int], None]) -> None:
    """Do it on so many threads that begin together; what one of them raises is raised."""
    barrier, errors = threading.Barrier(number), list[BaseException]()

    def run(which: int) -> None:
        barrier.wait()
        try:
            work(which)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=run, args=[which]) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []


def test_processes_that_start_together_migrate_once(url: str) -> None:
    at_once(4, lambda _: open_ledger(url).close())
    ledger = open_ledger(url)
    with ledger.reading() as connection:
        assert {table.name for table in tables.ALL} <= set(inspect(connection).get_table_names())
        assert connection.exec_driver_sql("SELECT count(*), max(position) FROM schema_steps").one() == tuple(
            connection.exec_driver_sql("SELECT max(position), max(position) FROM schema_steps").one()
        )
    ledger.close()


def test_processes_that_see_one_file_together_record_it_once(url: str, tmp_path: Path) -> None:
    site = Installation(tmp_path, "http://127.0.0.1:9", ledger=url)
    site.rollout("checkout-1")
    loaded = load_settings(site.config, {})
    ledgers = [open_ledger(url) for _ in range(4)]
    found: list[str] = []

    def look(which: int) -> None:
        found.extend(stored.name for stored in Intake(loaded, ledgers[which], lambda: NOON).look(strict=True))

    at_once(4, look)
    assert found == ["checkout-1"] * 4
    assert [stored.name for stored in ledgers[0].rollouts()] == ["checkout-1"]
    for one in ledgers:
        one.close()


def test_processes_that_write_one_new_sentence_together_both_record(url: str) -> None:
    ledgers = [open_ledger(url) for _ in range(4)]
    stored = [added(ledgers[0], a_rollout(f"r-{number}")) for number in range(4)]
    for round_ in range(5):

        def record(which: int, revision: int = round_) -> None:
            said = unknown(NOON + revision * 30, detail=f"sentence {revision}")
            ledgers[which].record(Record(stored[which].id, revision, evaluations=[("error_rate", said)]))

        at_once(4, record)
    assert [one.revision for one in ledgers[0].rollouts()] == [5] * 4
    for one in ledgers:
        one.close()


def test_a_server_that_says_nothing_is_not_waited_for(postgres: Postgres, url: str) -> None:
    open_ledger(url).close()
    with Proxy(postgres.port) as proxy:
        name = url.rpartition("/")[2]
        ledger = open_ledger(postgres.url(name, port=proxy.port))
        ledger.ping()
        proxy.swallow()
        with pytest.raises(LedgerError, match=rf"cannot be used: .*(has not answered for {PATIENCE:g} s|timeout)"):
            ledger.ping()
        proxy.mend()
        ledger.ping()
        ledger.close()


def test_two_daemons_do_not_share_one_emergency_journal(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.url(postgres.database())
    site = Installation(tmp_path, "http://127.0.0.1:9", ledger=url, replicas="{lease: 20s}")
    with site.daemon():
        other = site.daemon()
        assert other.process.wait(30) == 2
        assert "another slo-watchdog on this host keeps its own there" in other.text
        other.process.send_signal(signal.SIGTERM)
