"""A ledger in which every table has a history, and ways to tamper with it as somebody with a database shell would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from tests.ledgers import NOON, a_rollout, a_slice, added, happened, ledger_at, page, passed, step, unknown
from watchdog.ledger import (
    BreachFact,
    DrillIntent,
    ExposureFact,
    Ledger,
    MadePreflight,
    ReadingFact,
    Record,
    RuleVerdict,
    StoredRollout,
)
from watchdog.ledger.canon import SHAPES
from watchdog.ledger.rowset import sealed_rows
from watchdog.ledger.sealcheck import Check, Difference
from watchdog.ledger.seals import OWN
from watchdog.ledger.texts import Texts
from watchdog.model import (
    STANDARD_OBJECTIVES,
    Attribution,
    Blame,
    Breach,
    Counts,
    Exposure,
    Phase,
    Rollout,
    SliceVerdict,
    Transition,
    Waiver,
)
from watchdog.noise.episodes import Alert, Label

HOUR = 3600
NAME = "checkout-2.14.0"


def breach(at: int, closed_at: int | None = None) -> Breach:
    return Breach("error_rate", at, "sequential", 401.5, 400.0, bad=3.0, total=9.0, why="above", closed_at=closed_at)


def blame(at: int) -> Attribution:
    counts = Counts(3, 9)
    return Attribution("error_rate", at, 1, at, at, 1, counts, counts, 0.01, Blame.UNKNOWN, "too few")


def tick(ledger: Ledger, stored: StoredRollout, number: int, revision: int, **more: Any) -> int:
    """What a tick records when nothing happens: every objective's slot and step."""
    at = NOON + 30 * number
    evaluations = [(name, unknown(at) if name == "latency_p95" else passed(at)) for name in STANDARD_OBJECTIVES]
    steps = [(name, step(at, float(number))) for name in STANDARD_OBJECTIVES[:2]]
    extra = {"evaluations": evaluations, "steps": steps, "last_slot": at, **more}
    return ledger.record(Record(stored.id, revision, **extra))


def lived(ledger: Ledger, rollout: Rollout | None = None) -> StoredRollout:
    """A rollout that saw everything a ledger can hold, three times over."""
    stored = added(ledger, rollout)
    revision = 0
    for number in range(1, 4):
        at = NOON + 1000 * number
        ledger.add_waiver(stored.name, Waiver("feasibility", "ada", f"reason {number}", at, at + 9.5))
        ledger.add_deployment(stored.name, f'{{"image": "checkout:{number}"}}', "ci", at + 0.5)
        command = ledger.add_command(stored.name, "hold", "ada", f"a look {number}", at + 0.25)
        revision = tick(
            ledger,
            stored,
            number,
            revision,
            phase=Phase.RAMPING,
            controls=[("error_rate", passed(NOON + 30 * number))],
            slice_measurements=[("error_rate", step(NOON + HOUR * number))],
            slices=[a_slice(NOON + HOUR * number)],
            transitions=[happened("start" if number == 1 else "advanced", at)],
            breaches=[BreachFact(breach(at), at + 1.5)],
            exposures=[ExposureFact(at + 0.1, "desired", Exposure(12.5 * number, cohort=True))],
            readings=[ReadingFact(at + 0.2, Exposure(12.5 * number, audiences=("qa",)), f"v{number}", None)],
            notifications=[page(f"k{number}", at)],
            attributions=[blame(at)],
            caused_at=at + 2.5,
            commands_done=[(command, "held")],
        )
        ledger.save_report(stored.id, "interim", "html", f"reports/{stored.name}.{number}.html", f"{number:064d}", at)
        preflight(ledger, stored, number)
        drill = ledger.begin_drill(DrillIntent("flags", "new", "redis", "ada", f"drill {number}", 3, 10.0), at, 0.0)
        ledger.finish_drill(drill, at + 30, passed=True, worst=0.5 * number, report={"runs": [number]})
        ledger.take_alerts("am", [Alert(f"f{number}", "Slow", "checkout", "page", at)], at)
        ledger.label_episode(f"a{number}", Label.FALSE_POSITIVE, "ada", f"noise {number}", at, at + 3.5)
    again = [("error_rate", passed(NOON + 30, 0.0007)), ("latency_p95", passed(NOON + 30))]
    closed = [BreachFact(breach(NOON + 1000, NOON + 1600), NOON + 1001.5)]
    unconfirmed = [BreachFact(breach(NOON + 2000), NOON + 2001.5, unconfirmed=True)]
    slices = [a_slice(NOON + HOUR, SliceVerdict.FAIL)]
    revision = ledger.record(
        Record(stored.id, revision, evaluations=again, slices=slices, breaches=[*closed, *unconfirmed])
    )
    ledger.tell_once(stored.id, page("on its own", NOON + 4000))
    ledger.add_command(stored.name, "resume", "bob", "later", NOON + 4001.5)
    return next(one for one in ledger.rollouts() if one.id == stored.id)


def preflight(ledger: Ledger, stored: StoredRollout, number: int) -> None:
    verdicts = [RuleVerdict(stored.name, stored.sha256, number, 0, 90)]
    at = NOON + 1000.0 * number
    ledger.add_preflight(MadePreflight(at, at + 5, "ada", number > 1, 90, {"checks": [number]}, verdicts))


def full(path: Path) -> Ledger:
    """A ledger with two rollouts that saw everything."""
    ledger = ledger_at(path)
    lived(ledger)
    lived(ledger, a_rollout("cart-3", flag="new-cart"))
    return ledger


def ended(ledger: Ledger, stored: StoredRollout, phase: Phase, at: float) -> None:
    """The rollout is over."""
    over = Transition(at, str(phase), stored.phase, phase, "it is over", "ada")
    ledger.record(Record(stored.id, stored.revision, phase=phase, transitions=[over]))


def checked(connection: Connection, chain: int) -> list[Difference]:
    """What is wrong with a chain, as this connection sees it."""
    check = Check(chain)
    for table, row in sealed_rows(connection, Texts(), chain):
        check.add(table, row)
    check.end()
    return check.findings


@contextmanager
def tampering(ledger: Ledger) -> Iterator[Connection]:
    """A transaction in which anything may be done to the ledger, and which is taken back."""
    with ledger.writing() as connection:
        if not ledger.shared:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        savepoint = connection.begin_nested()
        yield connection
        savepoint.rollback()


def found_after(ledger: Ledger, *statements: str, chains: tuple[int, ...] = (OWN, 1)) -> dict[int, list[str]]:
    """What the chains show after these statements, which are taken back."""
    with tampering(ledger) as connection:
        for statement in statements:
            assert connection.exec_driver_sql(statement).rowcount != 0, f"nothing was done: {statement}"
        found = {chain: [one.what for one in checked(connection, chain)] for chain in chains}
    return {chain: whats for chain, whats in found.items() if whats}


def chain_of(table: str) -> int:
    """The chain that a table's first rows are in."""
    return OWN if SHAPES[table].own else 1


def where(table: str) -> str:
    """Which rows of a table are those of the first rollout, in SQL."""
    if SHAPES[table].own:
        return "1 = 1"
    return "id = 1" if table == "rollouts" else "rollout = 1"


def keys(ledger: Ledger, table: str) -> list[str]:
    """Each of those rows, in SQL, in the order in which they were recorded."""
    columns = ["id"] if "id" in SHAPES[table].columns else list(_primary(ledger, table))
    order = ", ".join(["seal", *columns] if table != "rollouts" else columns)
    with ledger.reading() as connection:
        rows = connection.exec_driver_sql(
            f"SELECT {', '.join(columns)} FROM {table} WHERE {where(table)} ORDER BY {order}"  # noqa: S608
        ).all()
    named = [zip(columns, row, strict=True) for row in rows]
    return [" AND ".join(f"{name} = {_literal(value)}" for name, value in row) for row in named]


def _primary(ledger: Ledger, table: str) -> Iterable[str]:
    with ledger.reading() as connection:
        rows = connection.exec_driver_sql(f"PRAGMA table_info({table})").all()
    return [row.name for row in rows if row.pk]


def _literal(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)
