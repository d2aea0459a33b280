"""The chain of flag changes: any edit of the past is named, and appending is safe between processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from tests.auditing import Audit
from tests.ledgers import NOON, ledger_at, run_child
from watchdog.audit import parse_head, shown_head
from watchdog.ledger import FlagChange, Ledger, findings
from watchdog.ledger.chain import digest
from watchdog.ledger.tables import FLAG_CHANGES

COLUMNS = [column.name for column in FLAG_CHANGES.c]
ROWS = 6


def change(number: int, **more: Any) -> FlagChange:
    fields = {
        "uid": f"u{number}",
        "at": NOON + number / 7,
        "service": "flags",
        "flag": "new-checkout",
        "action": "set",
        "by": "ada",
        "why": "a look \u2713 \ud83d half",
        "result": "applied",
        "rollout": "checkout-1" if number % 2 else None,
        "idem": f"ada:{number}",
        "before": {"percent": 0.1 * number, "members": ["qa-1"]},
        "after": {"percent": 0.1 * number + 0.2},
        "service_version": str(number),
    }
    return FlagChange(**{**fields, **more})


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A sound chain, as a database gives it back."""
    ledger = ledger_at(tmp_path_factory.mktemp("chain") / "watchdog.db")
    for number in range(1, ROWS + 1):
        ledger.append_flag_change(change(number))
    with ledger.flag_change_rows() as rows:
        found = list(rows)
    ledger.close()
    return found


def head(chain: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(chain[-1]["id"], chain[-1]["hash"])]


def test_a_chain_is_sound_as_it_was_written(chain: list[dict[str, Any]]) -> None:
    assert [row["id"] for row in chain] == list(range(1, ROWS + 1))
    assert [row["prev"] for row in chain] == ["0" * 64, *(row["hash"] for row in chain[:-1])]
    assert list(findings(chain, head(chain))) == []
    assert list(findings([], [])) == []


@given(st.integers(0, ROWS - 1), st.sampled_from(COLUMNS), st.data())
@settings(max_examples=400, deadline=None)
def test_any_single_edit_of_any_column_of_any_row_is_found(
    chain: list[dict[str, Any]], row: int, column: str, data: st.DataObject
) -> None:
    old = chain[row][column]
    values = st.none() | st.text(max_size=5) | st.integers() | st.floats(allow_nan=False) | st.binary(max_size=4)
    if isinstance(old, str):
        values |= st.just(old + " ") | st.just(old.upper()) | st.just(old[:-1]) | st.just(f"{old}\0")
    if column == "id":
        values = st.integers(-5, 2 * ROWS)
    new = data.draw(values.filter(lambda value: value != old or type(value) is not type(old)))
    if column == "hash" and not isinstance(new, str):
        new = str(new)
    edited = [dict(one) for one in chain]
    edited[row][column] = new
    if column == "id":
        if new in {one["id"] for one in chain}:
            return  # two rows cannot have one number
        edited.sort(key=lambda one: one["id"])
    if column == "id" and row == ROWS - 1 and new == ROWS:
        return
    named = {one.id for one in findings(edited, head(chain))}
    assert named & {chain[row]["id"], new if column == "id" else chain[row]["id"], chain[row]["id"] + 1}


@given(st.integers(0, ROWS - 1))
def test_any_deleted_row_is_missed_also_the_newest(chain: list[dict[str, Any]], row: int) -> None:
    left = [one for one in chain if one is not chain[row]]
    assert chain[row]["id"] in {one.id for one in findings(left, head(chain))}


@given(st.integers(0, ROWS - 1), st.integers(0, ROWS - 1))
def test_rows_in_another_order_are_found(chain: list[dict[str, Any]], one: int, other: int) -> None:
    if one == other:
        return
    moved = [dict(row) for row in chain]
    moved[one]["id"], moved[other]["id"] = moved[other]["id"], moved[one]["id"]
    moved.sort(key=lambda row: row["id"])
    named = {found.id for found in findings(moved, head(chain))}
    assert {chain[one]["id"], chain[other]["id"]} <= named


@given(st.integers(0, ROWS - 1))
def test_an_inserted_row_is_found_even_with_a_right_hash(chain: list[dict[str, Any]], row: int) -> None:
    inserted = {**chain[row], "by": "eve"}
    inserted["hash"] = digest(inserted)
    moved = [*chain[:row], inserted, *({**one, "id": one["id"] + 1} for one in chain[row:])]
    assert list(findings(moved, [])) != []


@given(st.integers(0, ROWS - 2))
def test_a_chain_rewritten_from_some_row_on_contradicts_the_head_that_was_kept(
    chain: list[dict[str, Any]], row: int
) -> None:
    forged: list[dict[str, Any]] = [dict(one) for one in chain[:row]]
    for one in chain[row:]:
        again = {**one, "by": "eve", "prev": forged[-1]["hash"] if forged else "0" * 64}
        forged.append({**again, "hash": digest(again)})
    assert list(findings(forged, [])) == []
    (found,) = findings(forged, head(chain))
    assert found.id == ROWS
    assert "rewritten" in found.what


@pytest.fixture
def audit(tmp_path: Path) -> Iterator[Audit]:
    made = Audit(tmp_path)
    for number in range(1, ROWS + 1):
        made.changes.commit(change(number))
    yield made
    made.ledger.close()


def whats(audit: Audit, *kept: tuple[int, str]) -> list[tuple[int, str]]:
    return [(one.id, one.what) for one in audit.changes.verify(*kept).findings]


def test_verify_names_row_flag_and_what_differs_in_the_database(audit: Audit) -> None:
    assert audit.changes.verify().sound
    audit.tamper("UPDATE flag_changes SET by = 'eve' WHERE id = 3")
    audit.tamper("DELETE FROM flag_changes WHERE id = 5")
    edited, missing = audit.changes.verify().findings
    assert (edited.id, edited.service, edited.flag) == (3, "flags", "new-checkout")
    assert edited.what.startswith("was edited: it carries the hash")
    assert (missing.id, missing.what) == (5, "is missing: it was deleted, or renumbered")


@pytest.mark.parametrize("column", [name for name in COLUMNS if name != "id"])
def test_an_edit_in_sql_is_found_whatever_the_column(audit: Audit, column: str) -> None:
    audit.tamper(f"UPDATE flag_changes SET {column} = '7.25' WHERE id = 2")  # noqa: S608
    assert 2 in [number for number, _ in whats(audit)]


def test_a_tail_that_was_cut_off_is_found_by_the_anchor_beside_the_ledger(audit: Audit) -> None:
    audit.tamper("DELETE FROM flag_changes WHERE id > 4")
    assert whats(audit) == [(6, "was there, but the chain ends at 4: the newest rows were cut off")]


def test_more_changes_after_a_cut_do_not_wipe_out_the_evidence(audit: Audit) -> None:
    audit.tamper("DELETE FROM flag_changes WHERE id > 4")
    for number in range(20, 26):
        audit.changes.commit(change(number))
    assert [number for number, _ in whats(audit)] == [6]
    said = [str(line["problem"]) for event, line in audit.lines if event == "flag audit"]
    assert any("names row 6:" in one and "the anchor is left as it is" in one for one in said)


def test_an_anchor_that_is_gone_or_was_changed_is_a_finding(audit: Audit) -> None:
    path = audit.changes.anchor.path
    kept = path.read_text()
    path.write_text("6:nonsense")
    assert "expected NUMBER:HASH" in whats(audit)[0][1]
    path.unlink()
    assert "is gone" in whats(audit)[0][1]
    path.write_text(kept)
    assert audit.changes.verify().sound


def test_a_head_that_somebody_kept_finds_what_the_anchor_cannot(audit: Audit) -> None:
    old = parse_head(audit.changes.anchor.path.read_text())
    audit.tamper("DELETE FROM flag_changes WHERE id = 6")
    audit.changes.anchor.path.unlink()
    audit.changes.commit(change(30))
    assert whats(audit) == []
    ((number, what),) = whats(audit, old)
    assert number == 6
    assert "rewritten" in what
    assert parse_head(f"  {shown_head(old)}\n") == old


@pytest.mark.parametrize("written", ["", "6", "6:abc", ":" + "a" * 64, "x:" + "a" * 64, "6:" + "A" * 64])
def test_what_is_no_head_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="expected NUMBER:HASH"):
        parse_head(written)


def test_a_change_is_recorded_once_however_often(audit: Audit) -> None:
    first = audit.changes.commit(change(3))
    assert (first.id, audit.ledger.flag_change_head()) == (3, audit.changes.verify().head)


def test_versions_count_the_contents_of_one_flag(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "watchdog.db")
    made = [("a", "found"), ("a", "intended"), ("a", "applied"), ("b", "found"), ("a", "failed"), ("a", "applied")]
    stored = [
        ledger.append_flag_change(change(number, flag=flag, result=result))
        for number, (flag, result) in enumerate(made)
    ]
    assert [one.version for one in stored] == [1, None, 2, 1, None, 3]
    found = ledger.flag_version("flags", "a", 2)
    assert found == stored[2]
    assert ledger.flag_version("flags", "a", 9) is None
    ledger.close()


APPEND = """
import sys
from tests.test_audit_chain import append
append(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""


def append(url: str, who: str, times: int) -> None:
    """What each process of the next test does."""
    from watchdog.audit import open_changes  # noqa: PLC0415 - runs in a process of its own
    from watchdog.ledger import open_ledger  # noqa: PLC0415

    changes = open_changes(url, open_ledger(url), lambda: float(NOON))
    for number in range(times):
        changes.commit(change(number, uid=f"{who}-{number}", by=who))


def test_processes_that_append_at_once_make_one_chain(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    writers = [run_child(APPEND, audit.url, who, "25") for who in ("ada", "eve", "joe")]
    for writer in writers:
        _, error = writer.communicate(timeout=60)
        assert writer.returncode == 0, error
    found = audit.changes.verify()
    assert (found.rows, found.findings) == (75, ())
    assert found.head == found.anchors[0]
    audit.ledger.close()


def test_the_statements_are_understood_by_both_databases() -> None:
    for dialect in (sqlite.dialect(), postgresql.dialect()):
        statement = str(select(FLAG_CHANGES).where(FLAG_CHANGES.c.by == "ada").compile(dialect=dialect))
        assert "flag_changes" in statement


def test_a_stored_row_that_somebody_broke_can_still_be_shown(audit: Audit) -> None:
    audit.tamper("UPDATE flag_changes SET after = '{broken', before = '[1]' WHERE id = 6")
    row = audit.ledger.flag_history("flags", "new-checkout", 1)[0]
    assert (row.change.before, row.change.after) == (None, None)


def test_the_ledger_knows_no_way_to_change_a_row(audit: Audit, tmp_path: Path) -> None:
    """A duplicate number, a duplicate predecessor: the database itself refuses."""
    assert isinstance(audit.ledger, Ledger)
    with closing(sqlite3.connect(audit.path)) as other, pytest.raises(sqlite3.IntegrityError):
        other.execute("UPDATE flag_changes SET prev = (SELECT prev FROM flag_changes WHERE id = 1) WHERE id = 2")
