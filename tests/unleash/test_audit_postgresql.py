"""The log of flag changes on a real PostgreSQL, which this suite needs anyway: one chain, several writers at once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.ledgers import NOON
from tests.test_audit_chain import APPEND, change
from tests.unleash.server import _Postgres
from watchdog.audit import ChangeLog
from watchdog.ledger import Ledger, open_ledger


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A ledger on a PostgreSQL of its own."""
    directory = tmp_path_factory.mktemp("postgresql")
    for above in directory.parents[:2]:
        above.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
    server = _Postgres(directory / "database")
    server.start()
    try:
        yield server.url.replace("postgres://", "postgresql+psycopg://")
    finally:
        server.stop()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    opened = open_ledger(url)
    yield opened
    opened.close()


def writer(url: str, who: str, directory: Path) -> subprocess.Popen[str]:
    """A process that appends; it runs where the anchor of a server's ledger is kept."""
    command = [sys.executable, "-c", APPEND, url, who, "25"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        command, cwd=directory, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_writers_at_once_make_one_chain_and_an_edit_is_named(url: str, ledger: Ledger, tmp_path: Path) -> None:
    ledger.append_flag_change(change(0, uid="first"))
    writers = [writer(url, who, tmp_path) for who in ("ada", "eve", "joe")]
    ended = [(one.communicate(timeout=60)[1], one.returncode) for one in writers]
    assert ended == [("", 0)] * 3
    changes = ChangeLog(ledger, tmp_path / "postgres", lambda: float(NOON))
    assert changes.anchor.read() is not None
    found = changes.verify()
    assert (found.rows, found.findings) == (76, ())
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE flag_changes SET at = at + 1e-6 WHERE id = 7"))
    engine.dispose()
    assert [one.id for one in changes.verify().findings] == [7]


def test_lookups_answer_as_they_do_on_sqlite(ledger: Ledger) -> None:
    first = ledger.append_flag_change(change(1, uid="a", flag="one", result="found", service_version="1-x"))
    ledger.append_flag_change(change(2, uid="b", flag="one", result="intended", service_version=""))
    third = ledger.append_flag_change(change(3, uid="c", flag="one", service_version="2-y"))
    assert ledger.append_flag_change(change(3, uid="c", flag="one", service_version="2-y")) == third
    assert (first.version, third.version) == (1, 2)
    assert ledger.last_flag_content("flags", "one") == third
    assert ledger.flag_version("flags", "one", 1) == first
    assert ledger.flag_state_rows("flags", "one") == {"1-x": first.id, "2-y": third.id}
    assert [row.id for row in ledger.flag_changes_of_key("flags", "one", "ada:3")] == [third.id]
    assert third in ledger.flags_known()
    assert ledger.flag_history("flags", "one", 2)[0] == third
