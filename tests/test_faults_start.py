"""What keeps the program from starting, each as a person meets it: one sentence, status 2, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from tests.ledgers import run_child
from tests.postgresserver import Postgres
from tests.processes import Installation, Traffic, command, wait_for
from tests.servers import ScriptedPrometheus
from watchdog import migrations
from watchdog.config import load_settings
from watchdog.ledger import Ledger, open_ledger
from watchdog.migrations import STEPS, Step
from watchdog.model import Rollout
from watchdog.rolloutfile import load_rollout

NAME = "checkout-1"
PASSWORD = "hunter2-hunter2"


@pytest.fixture
def site(tmp_path: Path, scripted_prometheus: ScriptedPrometheus) -> Installation:
    scripted_prometheus.always(Traffic())
    return Installation(tmp_path, scripted_prometheus.url)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


def refusal(site: Installation, *words: str) -> str:
    """`run` ends with 2 and says one sentence with all of the words; the sentence."""
    done = site.run("run")
    (line,) = [line for line in done.err.splitlines() if not line.startswith("{")]
    assert (done.status, done.out) == (2, "")
    assert line.startswith("slo-watchdog: ")
    for word in words:
        assert word in line
    return line


def setting(site: Installation, text: str) -> None:
    with site.config.open("a") as file:
        file.write(f"{text}\n")


# --- secrets in files -------------------------------------------------------------------------------------------------


def test_secret_files_that_are_missing_empty_or_no_text_are_named_with_their_keys(site: Installation) -> None:
    (site.directory / "empty").write_text("  \n")
    (site.directory / "binary").write_bytes(b"\xff\xfe\x00")
    (site.directory / "directory").mkdir()
    text = site.config.read_text()
    for key, name in (("http: {", "token_file: missing, "), ("prometheus: {", "bearer_token_file: empty, ")):
        text = text.replace(key, key + name)
    text += "deadman: {url_file: binary}\nnotify: {slack: {token_file: directory, channel: '#shop'}}\n"
    site.config.write_text(text)
    done = site.run("run")
    assert (done.status, done.out) == (2, "")
    lines = done.err.splitlines()
    for said in (
        "http.token_file: 'missing' cannot be read (No such file or directory); write the secret into that file",
        "prometheus.bearer_token_file: 'empty' is empty or larger than 64 KiB; expected one secret",
        "deadman.url_file: 'binary' is not UTF-8 text; expected one secret",
        "notify.slack.token_file: 'directory' cannot be read (Is a directory); write the secret into that file",
    ):
        assert f"slo-watchdog: {site.config}: {said}" in lines
    assert not site.ledger_file.exists(), "nothing was begun"


def test_a_secret_file_that_this_user_may_not_read_is_named(site: Installation) -> None:
    secret = site.directory / "deadman.url"
    secret.write_text("http://127.0.0.1:1/secret-path-123")
    secret.chmod(0o000)
    setting(site, f"deadman: {{url_file: {secret}}}")
    # Root may read everything, unless it gives that up.
    meek = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    done = subprocess.run(
        [*meek, *command("--config", str(site.config), "run")], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert f"deadman.url_file: '{secret}' cannot be read (Permission denied); write the secret" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret-path-123" not in done.stderr


# --- the ledger's server ----------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_or_lets_nobody_in_says_why_and_shows_no_password(
    site: Installation, server: Postgres
) -> None:
    with server.connect() as connection:
        connection.execute(f"CREATE ROLE guarded LOGIN PASSWORD '{PASSWORD}'")
        (rules,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        place = Path(rules)
        place.write_text(f"host all guarded 127.0.0.1/32 scram-sha-256\n{place.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
    here = f"127.0.0.1:{server.port}"
    cases = (
        (f"me:{PASSWORD}@127.0.0.1:1/watchdog", "Connection refused", "start PostgreSQL"),
        (
            f"guarded:not-{PASSWORD}@{here}/postgres",
            "password authentication failed",
            "write the user and the password",
        ),
        (f"watchdog@{here}/nowhere", 'database "nowhere" does not exist', "create it"),
    )
    at_start = site.config.read_text()
    for address, found, advice in cases:
        setting(site, f"ledger: postgresql+psycopg://{address}")
        line = refusal(site, "ledger postgresql+psycopg://", found, advice)
        assert PASSWORD not in line
        site.config.write_text(at_start)


# --- the ledger's schema ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, site: Installation, server: Postgres) -> Iterator[Ledger]:
    """A ledger of the very first schema, with a rollout that waits for its start; the program is told to use it."""
    url = f"sqlite:///{site.ledger_file}" if request.param == "sqlite" else server.url(server.database())
    setting(site, f"ledger: {url}")
    ledger = Ledger(url)
    migrations.migrate(ledger.reading, ledger.writing, STEPS[:1], 0.0)
    rule = load_rollout(site.rollout(NAME), load_settings(site.config).facts())
    as_the_first_version_wrote_it(ledger, rule)
    yield ledger
    ledger.close()


def as_the_first_version_wrote_it(ledger: Ledger, rule: Rollout) -> None:
    """A pending rollout with its objectives, in the three tables that it had for that, and without a seal."""
    said = {name: getattr(rule, name) for name in ("name", "service", "version", "flag", "text", "sha256", "resolved")}
    said |= {"mode": rule.mode.value, "file": "checkout-1.yaml", "engine": "0.0.9", "created_at": 1.0}
    head = {"rollout": 1, "revision": 0, "phase": "pending", "control": "{}"}
    objectives = [{"rollout": 1, "objective": at, "name": one.name} for at, one in enumerate(rule.objectives)]
    with ledger.writing() as connection:
        for table, row in (("rollouts", said), ("heads", head), *(("objectives", one) for one in objectives)):
            names = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)  # noqa: S608 - names of our own


def steps_of(ledger: Ledger) -> list[str]:
    with ledger.reading() as connection:
        return migrations.applied(connection)


KILLED = """
import os, signal, sys
from watchdog import migrations
from watchdog.ledger import open_ledger
url, number = sys.argv[1], int(sys.argv[2])
step = migrations.STEPS[number]
def dies(connection):
    step.apply(connection)
    os.kill(os.getpid(), signal.SIGKILL)
steps = (*migrations.STEPS[:number], migrations.Step(step.name, dies))
from watchdog.ledger.database import Database
database = Database(url)
migrations.migrate(database.reading, database.writing, steps, 0.0)
"""


def test_a_migration_killed_in_each_of_its_steps_goes_on_and_loses_nothing(site: Installation, old: Ledger) -> None:
    url = load_settings(site.config).ledger
    for number in range(1, len(STEPS)):
        child = run_child(KILLED, url, str(number))
        _, said = child.communicate(timeout=60)
        assert child.returncode == -9, said
        assert steps_of(old) == [step.name for step in STEPS[:number]], "the step left nothing of itself"
        migrations.migrate(old.reading, old.writing, STEPS[: number + 1], 0.0)
    done = site.run("status", "--json")
    assert done.status == 0, done.err
    assert [one["rollout"] for one in done.data] == [NAME]
    with old.reading() as connection:
        tables = set(inspect(connection).get_table_names())
    fresh = open_ledger(f"sqlite:///{site.directory / 'fresh.db'}")
    with fresh.reading() as connection:
        assert tables == set(inspect(connection).get_table_names())
    fresh.close()


def test_a_newer_program_takes_an_older_ledger_over_and_carries_its_rollout_on(site: Installation, old: Ledger) -> None:
    done = site.run("start", f"rollouts/{NAME}.yaml", "--by", "ada")
    assert done.status == 0, done.err
    assert steps_of(old) == [step.name for step in STEPS]
    with site.daemon() as daemon:
        wait_for(lambda: site.serves > 0 or None, 15, lambda: daemon.text[-2000:])
        assert daemon.end() == 0
    stored = old.rollout(NAME)
    assert stored is not None
    told = {one.kind: one for one in old.transitions(stored.id)}
    assert told["engine"].by.startswith("slo-watchdog "), "who judges from now on is on record"
    assert "goes on where 0.0.9 stopped" in told["engine"].why


def test_an_older_program_refuses_a_newer_ledger_and_leaves_it_alone(site: Installation, old: Ledger) -> None:
    newer = (*STEPS, Step("9999_tomorrow", lambda connection: None))
    migrations.migrate(old.reading, old.writing, newer, 0.0)
    line = refusal(
        site, "does not know (9999_tomorrow)", "run the newer slo-watchdog", "backup made before the upgrade"
    )
    assert "ledger" in line
    assert steps_of(old) == [step.name for step in newer]
    assert old.rollout(NAME) is not None


def test_a_signal_in_the_middle_of_a_migration_lets_it_end(site: Installation, request: pytest.FixtureRequest) -> None:
    """Somebody holds the ledger, so the migration waits; SIGTERM comes; the schema is whole and the status 0."""
    ledger = Ledger(f"sqlite:///{site.ledger_file}")
    request.addfinalizer(ledger.close)
    migrations.migrate(ledger.reading, ledger.writing, STEPS[:1], 0.0)
    with closing(sqlite3.connect(site.ledger_file, isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        daemon = site.daemon()
        files = Path(f"/proc/{daemon.process.pid}/fd")
        here = str(site.ledger_file)
        wait_for(lambda: here in {os.path.realpath(fd) for fd in files.iterdir()} or None, 20, lambda: daemon.text)
        daemon.process.terminate()
        lock.execute("ROLLBACK")
    assert daemon.process.wait(20) == 0
    assert daemon.lines[-1]["event"] == "stopped"
    assert steps_of(ledger) == [step.name for step in STEPS]
