"""A bundle of every kind of rollout that the live engine makes verifies, and says what it proves and what not."""

from __future__ import annotations

import json
import subprocess
import zlib
from pathlib import Path

import pytest

from tests.evidences import ASKED, SCENES, Forgery, Keys, bundle_of, changes_its_flag, signed_off, the_smallest
from tests.stage import Stage
from watchdog import __version__
from watchdog.errors import Refused
from watchdog.evidence.archive import pack, unpack
from watchdog.evidence.bundle import write
from watchdog.evidence.checked import HOLDS, UNCHECKED, UNSIGNED, Verified
from watchdog.evidence.verify import verify, verify_members

CHECKS = [
    *("archive", "files", "statement", "signature", "ledger chain", "flag changes", "rule", "measurements"),
    *("verdicts", "slots", "breaches", "slices", "phases", "sign-off", "report"),
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stage]:
    return {name: made(tmp_path_factory.mktemp(name)) for name, made in SCENES.items()}


def found_of(checks: Verified, name: str) -> str:
    return next(check.found for check in checks.checks if check.name == name)


@pytest.mark.parametrize("name", SCENES)
def test_whatever_the_live_engine_recorded_verifies(name: str, stages: dict[str, Stage], keys: Keys) -> None:
    found = verify(bundle_of(stages[name], keys.own), keys.public())
    assert found.first == ""
    assert (found.consistent, found.signature, found.key) == (True, HOLDS, keys.own.public.id)
    assert [check.name for check in found.checks] == CHECKS
    assert found.about["phase"] == stages[name].phase.value


def test_the_scenes_are_what_they_are_meant_to_be(stages: dict[str, Stage]) -> None:
    phases = {name: stage.phase.value for name, stage in stages.items()}
    assert {phases[name] for name in ("signed_off", "the_smallest", "with_gaps", "amended", "observed")} == {
        "signed_off"
    }
    assert {phases[name] for name in ("rolled_back", "late_breach", "held")} == {"rolled_back"}
    assert stages["amended"].told("amended")
    assert stages["with_gaps"].told("reset")
    gaps = Forgery(bundle_of(stages["with_gaps"])).rows
    assert any(row["revision"] for row in gaps["evaluations"])
    assert any(row["revision"] for row in gaps["slices"])
    late = Forgery(bundle_of(stages["late_breach"])).rows["breaches"]
    assert any(row["late"] for row in late)


def test_the_same_ledger_gives_the_same_bytes(stages: dict[str, Stage], keys: Keys) -> None:
    assert bundle_of(stages["rolled_back"], keys.own) == bundle_of(stages["rolled_back"], keys.own)


def test_it_holds_the_report_the_rule_every_measurement_and_the_ledger(stages: dict[str, Stage]) -> None:
    stage = stages["rolled_back"]
    members = unpack(bundle_of(stage))
    assert members["rule.yaml"].decode() == stage.rule.text
    report = json.loads(zlib.decompress(members["report.json.gz"], 31))
    assert report["verdict"]["kind"] == "rolled_back"
    assert members["report.html"].startswith(b"<!DOCTYPE html>")
    rows = Forgery(bundle_of(stage)).rows
    measured = stage.ledger.evaluations(stage.stored.id, None, 0, 2**40)
    assert len(rows["evaluations"]) == len(measured)
    assert len(rows["steps"]) == len(stage.ledger.steps(stage.stored.id, None, 0, 2**40))
    assert {"transitions", "notifications", "deliveries", "commands", "seals", "heads", "readings"} <= set(rows)
    manifest = json.loads(members["manifest.json"])
    assert manifest["chain"] == rows["seals"][-1]["sha256"]
    assert manifest["configuration"]["settings"] == dict(ASKED.settings)
    lost = json.loads(members["prometheus.json"])["not_recorded"]
    assert lost == ["no preflight is on record for the start, and with it neither version nor flags of Prometheus"]


def test_tar_opens_it(stages: dict[str, Stage], tmp_path: Path) -> None:
    file = tmp_path / "evidence.tar.gz"
    file.write_bytes(bundle_of(stages["signed_off"]))
    listed = subprocess.run(["tar", "-tzf", str(file)], capture_output=True, text=True, check=True, timeout=30)
    assert listed.stdout.split() == sorted(unpack(file.read_bytes()))
    assert listed.stderr == ""


def test_the_statement_is_one_that_other_tools_know(stages: dict[str, Stage], keys: Keys) -> None:
    members = unpack(bundle_of(stages["signed_off"], keys.own))
    said = json.loads(members["statement.json"])
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert {one["name"] for one in said["subject"]} == set(members) - {"statement.json", "statement.dsse.json"}
    assert said["predicate"]["rollout"] == "checkout-2"
    assert said["predicate"]["verdict"]["signed_off"] is True
    envelope = json.loads(members["statement.dsse.json"])
    assert envelope["payloadType"] == "application/vnd.in-toto+json"


def test_without_a_signature_it_says_so(stages: dict[str, Stage], keys: Keys) -> None:
    found = verify(bundle_of(stages["signed_off"]))
    assert (found.consistent, found.signature) == (True, UNSIGNED)
    assert found_of(found, "signature") == "NONE: anybody can have written this bundle"
    found = verify(bundle_of(stages["signed_off"]), keys.public())
    assert found.first.startswith("signature: there is none, and ")


def test_without_a_key_the_signature_is_not_checked(stages: dict[str, Stage], keys: Keys) -> None:
    found = verify(bundle_of(stages["signed_off"], keys.own))
    assert (found.consistent, found.signature) == (True, UNCHECKED)
    assert "NOT CHECKED" in found_of(found, "signature")


def test_what_another_version_concluded_otherwise_is_told_with_both_versions(stages: dict[str, Stage]) -> None:
    forgery = Forgery(bundle_of(stages["signed_off"]))
    forgery.members["report.md"] = b"worded by another version"
    same = verify_members(forgery.copied().relisted().members)
    other = verify_members(forgery.copied().relisted(engine="0.0.7").members)
    assert same.first.startswith("report: report.md is not what the rows give: ")
    assert "the bundle is of version" not in same.first
    assert f"the bundle is of version 0.0.7 and this is {__version__}" in other.first
    assert other.first.endswith("verify it with that version)")


def test_another_key_does_not_do(stages: dict[str, Stage], keys: Keys) -> None:
    assert keys.ada is not None
    found = verify(bundle_of(stages["signed_off"], keys.own), keys.public("ada"))
    assert found.first.startswith("signature: statement.dsse.json is signed by the key ")
    assert found.signature == UNCHECKED


def test_the_chain_of_flag_changes_is_followed_across_other_flags(tmp_path: Path) -> None:
    stage = the_smallest(tmp_path)
    changes_its_flag(stage)
    forged = Forgery(bundle_of(stage))
    assert found_of(verify(forged.data), "flag changes").startswith("3 changes")
    assert [row["id"] for row in forged.rows["flag_change_links"]] == [2, 4]
    assert set(forged.rows["flag_change_links"][0]) == {"id", "prev", "hash"}
    for table, place, name in (
        ("flag_changes", 1, "by"),
        ("flag_changes", 2, "hash"),
        ("flag_change_links", 0, "hash"),
        ("flag_changes", 0, "prev"),
    ):
        other = forged.copied()
        other.rows[table][place][name] = "f" * 64
        found = verify(pack(other.written().unsigned().relisted().members))
        assert found.first.startswith("flag changes: "), (table, name)
    other = forged.copied()
    del other.rows["flag_changes"][1]
    found = verify(pack(other.written().unsigned().relisted().members))
    assert found.first == "flag changes: the change 4 does not follow the change 2"
    stage.close()


def test_what_the_ledger_does_not_hold_has_no_bundle(tmp_path: Path) -> None:
    stage = signed_off(tmp_path)
    with pytest.raises(Refused, match="no rollout 'checkout-9'"):
        write(stage.ledger, "checkout-9", ASKED)
    stage.close()
