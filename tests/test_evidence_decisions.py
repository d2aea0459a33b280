"""Decisions that do not follow are noticed in a bundle whose every hash, manifest and report was made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.evidences import SCENES, Forgery, bundle_of
from tests.forging import first_difference
from tests.rollouts import NOON
from watchdog.evidence.statement import text
from watchdog.evidence.verify import verify_members

ROWS = dict[str, list[dict[str, Any]]]
Change = Callable[[ROWS], None]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Forgery]:
    made: dict[str, Forgery] = {}

    def bundle(name: str) -> Forgery:
        if name not in made:
            stage = SCENES[name](tmp_path_factory.mktemp(name))
            made[name] = Forgery(bundle_of(stage))
            stage.close()
        return made[name].copied()

    return bundle


def control(**values: Any) -> Change:
    """Its control state says something else."""

    def change(rows: ROWS) -> None:
        head = rows["heads"][0]
        head["control"] = json.dumps(json.loads(head["control"]) | values, separators=(",", ":"))

    return change


def edited(table: str, found: Callable[[dict[str, Any]], bool], **values: Any) -> Change:
    """The first of these rows says something else."""

    def change(rows: ROWS) -> None:
        next(row for row in rows[table] if found(row)).update(values)

    return change


def kind(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row["kind"] == name


def without(table: str, found: Callable[[dict[str, Any]], bool]) -> Change:
    """None of these rows is there."""

    def change(rows: ROWS) -> None:
        rows[table] = [row for row in rows[table] if not found(row)]

    return change


def first(rows: ROWS, table: str) -> dict[str, Any]:
    return rows[table][0]


def rule_of_nothing(rows: ROWS) -> None:
    """The text is no rule, and has the sha256 that is recorded."""
    text = first(rows, "rollouts")["text"].replace("slice: 10m", "slice: 10 bananas")
    _with_text(rows, text)


def easier_text(rows: ROWS) -> None:
    """The text allows more than what was judged by."""
    _with_text(rows, first(rows, "rollouts")["text"].replace("at_most: 0.1%", "at_most: 10%"))


def _with_text(rows: ROWS, text: str) -> None:
    first(rows, "rollouts").update(text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def skips_the_soak(rows: ROWS) -> None:
    """From its ramp straight to its end, in every row that says so."""
    for row in rows["transitions"]:
        row["source"], row["target"] = (phase.replace("soaking", "ramping") for phase in (row["source"], row["target"]))


def more(table: str, **values: Any) -> Change:
    """One row more, like the last but for this."""

    def change(rows: ROWS) -> None:
        rows[table].append({**rows[table][-1], **values})

    return change


def nobody_took_it_back(rows: ROWS) -> None:
    """The breach is on record, and the feature stays: as if it had been looked at and let go."""
    rows["transitions"] = [row for row in rows["transitions"] if row["kind"] not in GONE]
    state = json.loads(first(rows, "heads")["control"])
    state |= {"phase": "soaking", "rollback": None, "cause": None}
    first(rows, "heads").update(phase="soaking", control=json.dumps(state, separators=(",", ":")))
    for row in rows["transitions"]:
        row.update({name: "soaking" for name in ("source", "target") if row[name].startswith("roll")})


GONE = ("rollback", "rolled_back", "errors_continue")


def rises_while_it_fails(rows: ROWS) -> None:
    """A step up in the middle of the failures, in a slice that has not ended."""
    down = next(row for row in rows["exposures"] if row["kind"] == "desired" and row["percent"] == 0.0)
    rows["exposures"].append(
        {**down, "id": 100, "at": NOON + 3300.0, "percent": 50.0, "seal": rows["exposures"][-1]["seal"]}
    )


def by_somebody_else(name: str) -> Change:
    return edited("transitions", kind(name), by="eve")


FORGED: list[tuple[str, Change, str]] = [
    ("the_smallest", rule_of_nothing, "rule: the rule's text is no rule of this version: "),
    ("the_smallest", easier_text, "rule: the resolved rule, with every default, is not the one that the rule's text"),
    ("the_smallest", edited("rollouts", bool, flag="other"), "rule: the rollout is recorded with the flag other, and"),
    ("the_smallest", skips_the_soak, "phases: at 2023-11-15T12:20:31Z it goes from ramping to signed_off, which no"),
    ("the_smallest", edited("heads", bool, started_at=None), "phases: it is recorded as started, and its control"),
    ("the_smallest", without("transitions", kind("interim")), "phases: its history and its control state do not agree"),
    (
        "the_smallest",
        edited("transitions", kind("interim"), at=NOON + 590.0),
        "phases: it is interim at 2023-11-15T12:09:50Z, before its window ended at 2023-11-15T12:10:00Z",
    ),
    ("the_smallest", control(interim_at=1700049900), "sign-off: it is interim by 1 good slices up to "),
    ("the_smallest", control(cause=["error_rate", 1700049900]), "phases: it was taken back for a breach of error_rate"),
    ("the_smallest", by_somebody_else("start"), "phases: at 2023-11-15T12:00:00Z there is a start, and 'eve', who is"),
    ("the_smallest", without("commands", bool), "phases: at 2023-11-15T12:00:00Z there is a start, and 'ada'"),
    ("rolled_back", control(rollback=None), "phases: its history and its control state do not agree on a rollback"),
    ("rolled_back", nobody_took_it_back, "phases: the breach of error_rate at 2023-11-15T12:27:00Z had no consequence"),
    ("rolled_back", rises_while_it_fails, "phases: exposure rose to 50% at 2023-11-15T12:55:00Z, a slot in which"),
    (
        "rolled_back",
        edited("transitions", kind("rollback"), objective="flag_ramp"),
        "phases: a breach of flag_ramp took it back, which by its rule takes nothing back",
    ),
    ("rolled_back", edited("transitions", kind("rollback"), objective="nobody"), "phases: a breach of nobody took it"),
    ("rolled_back", edited("breaches", bool, why="bad luck"), "breaches: the breach of error_rate at 2023-11-15T12:27"),
    ("rolled_back", more("steps", objective="flag_ramp"), "measurements: there are steps of flag_ramp, which measures"),
    (
        "rolled_back",
        more("steps", at=NOON + 9000),
        "measurements: there is a row of steps at 2023-11-15T14:30:00Z, out",
    ),
    ("rolled_back", edited("evaluations", bool, reason="no_data"), "verdicts: evaluations: "),
    ("held", by_somebody_else("hold"), "phases: at 2023-11-15T12:11:40Z there is a hold, and 'eve', who is said to"),
    ("held", by_somebody_else("resume"), "phases: at 2023-11-15T12:25:00Z there is a resume, and 'eve'"),
    ("held", by_somebody_else("rollback"), "phases: at 2023-11-15T12:33:20Z there is a rollback, and 'eve'"),
    ("stopped", by_somebody_else("stop"), "phases: at "),
]


@pytest.mark.parametrize(("name", "change", "said"), FORGED, ids=[f"{n}: {s[:60]}" for n, _, s in FORGED])
def test_a_decision_that_does_not_follow_is_noticed(
    name: str, change: Change, said: str, bundles: Callable[[str], Forgery]
) -> None:
    forged = bundles(name)
    change(forged.rows)
    assert first_difference(forged).startswith(said)


def relisted(forged: Forgery, **facts: Any) -> dict[str, bytes]:
    return forged.unsigned().relisted(**facts).members


def test_what_stands_beside_the_rows_is_noticed_too(bundles: Callable[[str], Forgery]) -> None:
    two = bundles("the_smallest")
    two.rows["rollouts"].append({**two.rows["rollouts"][0], "id": 2, "name": "another"})
    two.resealed().written()
    found = verify_members(relisted(two, chain=two.rows["seals"][-1]["sha256"]))
    assert found.first == "content: cannot be understood: the rows are not those of one rollout"
    older = bundles("the_smallest")
    beside = json.loads(older.members["attached.json"]) | {"as_of": NOON}
    older.members["attached.json"] = text(beside)
    assert verify_members(relisted(older)).first == "report: attached.json is not as of the newest row"
    less = bundles("the_smallest")
    del less.members["report.md"]
    assert verify_members(relisted(less)).first == "report: there is no report.md"
