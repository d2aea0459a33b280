"""Whoever changes a bundle is noticed: by the signature always, and without one by whatever no longer fits."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.evidences import SCENES, Forgery, Keys, bundle_of
from tests.forging import first_difference
from tests.rollouts import NOON
from watchdog.evidence.archive import pack
from watchdog.evidence.checked import UNSIGNED
from watchdog.evidence.verify import verify, verify_members
from watchdog.ledger.attached import MEASURED

ROWS = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Callable[[str], Forgery]:
    made: dict[str, Forgery] = {}

    def bundle(name: str) -> Forgery:
        if name not in made:
            stage = SCENES[name](tmp_path_factory.mktemp(name))
            made[name] = Forgery(bundle_of(stage, keys.own))
            stage.close()
        return made[name].copied()

    return bundle


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 1 << place % 8,)) + data[place + 1 :]


@pytest.fixture(scope="module")
def smallest(bundles: Callable[[str], Forgery]) -> Forgery:
    return bundles("the_smallest")


def test_each_flipped_byte_of_each_member_is_noticed(smallest: Forgery, keys: Keys) -> None:
    public, members = keys.public(), dict(smallest.members)
    assert verify_members(members, public).consistent
    for name, data in smallest.members.items():
        # The page is long and its digest is like that of any other file: every sixteenth byte of it.
        for place in range(0, len(data), 16 if name == "report.html" else 1):
            members[name] = flipped(data, place)
            found = verify_members(members, public)
            assert not found.consistent, (name, place)
            assert found.first
        members[name] = data


def test_flipped_bytes_of_the_whole_archive_are_noticed(smallest: Forgery, keys: Keys) -> None:
    for place in random.Random(1).sample(range(len(smallest.data)), 2000):
        assert not verify(flipped(smallest.data, place), keys.public()).consistent


def test_a_member_that_is_dropped_added_or_exchanged_is_noticed(smallest: Forgery, keys: Keys) -> None:
    for name in smallest.members:
        others = {key: data for key, data in smallest.members.items() if key != name}
        assert not verify_members(others, keys.public()).consistent, name
        if name not in ("manifest.json", "statement.json", "statement.dsse.json"):
            swapped = {**smallest.members, name: smallest.members["rule.yaml" if name != "rule.yaml" else "report.md"]}
            assert not verify_members(swapped, keys.public()).consistent, name
    for name in ("more.txt", "rows/alerts.json.gz", "countersignatures/001.dsse.json", "countersignatures/x"):
        assert not verify_members({**smallest.members, name: b"{}"}, keys.public()).consistent, name


def mutations(rows: ROWS) -> Iterator[tuple[str, str, int, list[dict[str, Any]]]]:
    """Each table with one of its rows dropped, doubled or exchanged with the next."""
    for table, every in rows.items():
        for place in range(len(every)):
            yield "dropped", table, place, every[:place] + every[place + 1 :]
            yield "doubled", table, place, every[: place + 1] + every[place:]
            if place + 1 < len(every):
                turned = [*every[:place], every[place + 1], every[place], *every[place + 2 :]]
                yield "reordered", table, place, turned


def test_each_row_that_is_dropped_doubled_or_reordered_is_noticed_whatever_is_hashed_again(
    smallest: Forgery, keys: Keys
) -> None:
    """Digests, manifest and statement are made again; the key is missing for the signature."""
    count = 0
    for what, table, place, changed in mutations(smallest.rows):
        forged = Forgery(smallest.data, dict(smallest.members), {table: changed})
        found = verify_members(forged.written().relisted().members, keys.public())
        assert found.first.startswith("signature: "), (what, table, place)
        count += 1
    assert count > 250


def test_without_a_signature_the_chain_notices_each_such_row(smallest: Forgery) -> None:
    sealed = {table: rows for table, rows in smallest.rows.items() if rows[0].get("seal") is not None}
    assert {"evaluations", "steps", "slices", "transitions", "exposures", "notifications", "commands"} <= set(sealed)
    chance = random.Random(2)
    for what, table, place, changed in chance.sample(list(mutations(sealed)), 60):
        forged = Forgery(smallest.data, dict(smallest.members), {table: changed}).unsigned()
        found = verify_members(forged.written().relisted().members)
        assert found.first.startswith(("ledger chain: ", "content: ")), (what, table, place)


def test_without_a_signature_the_chain_notices_each_changed_value(smallest: Forgery) -> None:
    chance = random.Random(3)
    cells = [
        (table, place, name)
        for table, rows in smallest.rows.items()
        if rows[0].get("seal") is not None
        for place, row in enumerate(rows)
        for name in row
        if name not in ("seal", "outcome", "closed_at", "unconfirmed")
    ]
    for table, place, name in chance.sample(cells, 60):
        changed = copy.deepcopy(smallest.rows[table])
        changed[place][name] = _other(changed[place][name])
        forged = Forgery(smallest.data, dict(smallest.members), {table: changed}).unsigned()
        found = verify_members(forged.written().relisted().members)
        assert not found.consistent, (table, place, name)


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x" if isinstance(value, str) else "x"


def set_(table: str, place: int, **values: Any) -> Callable[[ROWS], None]:
    def change(rows: ROWS) -> None:
        rows[table][place].update(values)

    change.__name__ = f"{table}_{'_'.join(values)}"
    return change


def drop(table: str, place: int) -> Callable[[ROWS], None]:
    def change(rows: ROWS) -> None:
        del rows[table][place]

    change.__name__ = f"{table}_without_{place}"
    return change


def drop_all(table: str) -> Callable[[ROWS], None]:
    def change(rows: ROWS) -> None:
        rows[table] = []

    change.__name__ = f"no_{table}"
    return change


def all_good(rows: ROWS) -> None:
    """The slots in which requests failed did not."""
    for row in rows["evaluations"]:
        if row["verdict"] == "fail" and row["bad"] is not None:
            row.update(bad=0.0, verdict="pass")


def no_failures_in_steps(rows: ROWS) -> None:
    for row in rows["steps"]:
        row["bad"] = 0.0 if row["bad"] is not None else None


def failures_in_steps(rows: ROWS) -> None:
    for row in rows["steps"][8:14]:
        row["bad"] = row["total"]


def other_rule(rows: ROWS) -> None:
    """A limit that is easier to keep, in the resolved rule only."""
    resolved = rows["rollouts"][0]["resolved"]
    rows["rollouts"][0]["resolved"] = resolved.replace('"limit":0.001', '"limit":0.9').replace(
        '"allowed":0.001', '"allowed":0.9'
    )


def never_rolled_back(rows: ROWS) -> None:
    """Its phases end with a sign-off."""
    rows["heads"][0]["phase"] = "signed_off"
    rows["heads"][0]["control"] = rows["heads"][0]["control"].replace('"phase":"rolled_back"', '"phase":"signed_off"')


ANEW: list[tuple[str, Callable[[ROWS], None], str]] = [
    (
        "the_smallest",
        drop("evaluations", 7),
        "measurements: evaluations of error_rate: 19 instants, and the watch has 20; the first",
    ),
    ("the_smallest", drop("steps", 3), "measurements: steps of error_rate: "),
    ("the_smallest", drop("slice_measurements", 0), "measurements: slice_measurements of error_rate: "),
    ("the_smallest", drop_all("steps"), "measurements: steps of error_rate: 0 instants"),
    ("the_smallest", drop("slices", 0), "slices: the slice that ends at "),
    ("the_smallest", set_("evaluations", 5, verdict="fail"), "verdicts: evaluations: error_rate at "),
    ("the_smallest", set_("evaluations", 5, bad=9000.0), "verdicts: evaluations: error_rate at "),
    ("the_smallest", set_("evaluations", 5, at=NOON + 7), "measurements: evaluations of error_rate have an instant"),
    ("the_smallest", set_("evaluations", 5, verdict="unknown", reason="no_data", bad=None, total=None), "slices: "),
    ("the_smallest", failures_in_steps, "breaches: the detector steps show a breach of error_rate"),
    ("the_smallest", set_("slice_measurements", 1, bad=900.0), "slices: the slice that ends at "),
    ("the_smallest", set_("transitions", 1, source="soaking"), "phases: at "),
    ("the_smallest", drop("transitions", 0), "phases: at "),
    ("the_smallest", set_("heads", 0, phase="soaking"), "phases: its history ends as signed_off"),
    ("the_smallest", set_("rollouts", 0, sha256="0" * 64), "rule: the rule's text does not have the sha256 "),
    ("the_smallest", other_rule, "rule: the resolved rule, with every default, is not the one"),
    ("rolled_back", drop_all("breaches"), "breaches: the detector steps show a breach of error_rate"),
    ("rolled_back", set_("breaches", 0, statistic=10.0), "breaches: the breach of error_rate at "),
    ("rolled_back", set_("breaches", 0, at=NOON + 900), "breaches: "),
    ("rolled_back", all_good, "breaches: the breach of error_rate at "),
    ("rolled_back", no_failures_in_steps, "breaches: a breach of error_rate at "),
    ("rolled_back", never_rolled_back, "phases: its history ends as rolled_back"),
]


@pytest.mark.parametrize(("name", "change", "said"), ANEW, ids=[f"{n}-{c.__name__}" for n, c, _ in ANEW])
def test_without_a_signature_and_all_hashed_again_what_does_not_follow_is_noticed(
    name: str, change: Callable[[ROWS], None], said: str, bundles: Callable[[str], Forgery]
) -> None:
    forged = bundles(name)
    change(forged.rows)
    assert first_difference(forged).startswith(said)


def test_what_is_consistent_in_itself_only_a_signature_can_tell(bundles: Callable[[str], Forgery], keys: Keys) -> None:
    forged = bundles("the_smallest")
    for row in forged.rows["evaluations"]:
        row["total"] = None if row["total"] is None else row["total"] * 2
    members = forged.consistent()
    found = verify_members(members)
    assert (found.first, found.signature) == ("", UNSIGNED)
    assert verify_members(members, keys.public()).first.startswith("signature: there is none")


def test_a_report_that_says_something_else_is_noticed(smallest: Forgery) -> None:
    forged = smallest.copied().unsigned()
    forged.members["report.md"] = forged.members["report.md"].replace(b"SIGNED OFF", b"SIGNED ON ")
    found = verify_members(forged.relisted().members)
    assert found.first.startswith("report: report.md is not what the rows give: line ")
    found = verify_members(smallest.copied().unsigned().relisted(service="other").members)
    assert found.first == "report: manifest.json says service other, the rows give checkout"


@pytest.mark.parametrize("name", ["with_gaps", "late_breach", "amended"])
def test_what_was_corrected_later_is_covered_with_all_its_revisions(
    name: str, bundles: Callable[[str], Forgery], keys: Keys
) -> None:
    """A sample, on larger bundles; measurements above all."""
    forged, chance = bundles(name), random.Random(name)
    sample = [
        *chance.sample(list(mutations({t: forged.rows[t] for t in MEASURED if t in forged.rows})), 12),
        *chance.sample(list(mutations(forged.rows)), 12),
    ]
    for what, table, place, changed in sample:
        other = Forgery(forged.data, dict(forged.members), {table: changed})
        members = other.written().relisted().members
        assert not verify(pack(members), keys.public()).consistent, (what, table, place)
    for table in ("evaluations", "slices"):
        later = [place for place, row in enumerate(forged.rows[table]) if row["revision"]]
        if later:
            other = bundles(name)
            del other.rows[table][later[0]]
            found = verify_members(other.consistent())
            assert not found.consistent, table
