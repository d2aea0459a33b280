"""`flags init` and `flags emergency` as commands: what they create, say, refuse, and with which exit status."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.processes import FLAG, Finished, Installation
from watchdog.model import EMERGENCY_FLAGS

NOWHERE = "http://127.0.0.1:9"
"""No command here asks Prometheus."""


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    made = Installation(tmp_path, NOWHERE)
    made.rollout()
    return made


def ops(site: Installation) -> Path:
    return site.flag_file.with_name("ops.flagd.json")


def flags(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["flags"]
    return found


def switch(site: Installation, *arguments: str) -> Finished:
    return site.run("flags", "emergency", *arguments)


def serving(site: Installation) -> Sequence[str]:
    """The emergency flags that are on."""
    return [name for name, entry in flags(ops(site)).items() if entry["defaultVariant"] == "on"]


# --- init -----------------------------------------------------------------------------------------------------------


def test_init_creates_every_flag_off_and_says_where_and_does_it_once(site: Installation) -> None:
    site.flag_file.unlink()
    first = site.run("flags", "init")
    assert first.status == 0
    lines = first.out.splitlines()
    assert lines[0] == f"emergency flags: {ops(site)}: created {', '.join(EMERGENCY_FLAGS)}, off"
    assert lines[1] == f"flags: {site.flag_file}: created {FLAG}, slo-watchdog-drill, off"
    assert set(flags(ops(site))) == set(EMERGENCY_FLAGS)
    for entry in (*flags(ops(site)).values(), *flags(site.flag_file).values()):
        assert (entry["state"], entry["defaultVariant"], "targeting" in entry) == ("ENABLED", "off", False)
    before = ops(site).read_bytes(), site.flag_file.read_bytes()
    again = site.run("flags", "init")
    assert again.status == 0
    assert again.out.count("nothing to create") == 2
    assert (ops(site).read_bytes(), site.flag_file.read_bytes()) == before


def test_init_leaves_alone_what_is_there(site: Installation) -> None:
    site.flag(40)
    switch(site, "ops.read-only", "on", "--reason", "a migration")
    assert site.run("flags", "init").status == 0
    assert site.serves == 40
    assert serving(site) == ["ops.read-only"]


def test_init_creates_the_flags_that_go_with_a_rollback_in_their_services(tmp_path: Path) -> None:
    services = "{search: {service: flagd-file, path: search.json}, unused: {service: flagd-file, path: unused.json}}"
    site = Installation(tmp_path, NOWHERE, services=services)
    site.rollout(also="[{service: search, flag: new-search}]")
    done = site.run("flags", "init")
    assert done.status == 0
    assert f"services.search: {tmp_path / 'search.json'}: created new-search, off" in done.out
    assert not (tmp_path / "unused.json").exists()


def test_a_wrong_rollout_file_keeps_no_other_flag_from_being_created(site: Installation) -> None:
    (site.directory / "rollouts" / "bad.yaml").write_text("rollout: [")
    done = site.run("flags", "init")
    assert done.status == 2
    assert "bad.yaml" in done.err
    assert set(flags(ops(site))) == set(EMERGENCY_FLAGS)
    assert FLAG in flags(site.flag_file)


def test_a_broken_flag_file_keeps_no_emergency_flag_from_being_created(site: Installation) -> None:
    site.flag_file.write_text("{")
    done = site.run("flags", "init")
    assert done.status == 1
    assert str(site.flag_file) in done.err
    assert set(flags(ops(site))) == set(EMERGENCY_FLAGS)


# --- emergency ------------------------------------------------------------------------------------------------------


def test_a_flag_goes_on_for_everybody_with_who_and_why_and_off_again(site: Installation) -> None:
    site.run("flags", "init")
    on = switch(site, "ops.maintenance", "on", "--reason", "a new disk", "--by", "ada")
    assert on.status == 0
    assert on.out.startswith("ops.maintenance: on, version ")
    entry = flags(ops(site))["ops.maintenance"]
    assert entry["defaultVariant"] == "on"
    assert (entry["metadata"]["slo-watchdog.by"], entry["metadata"]["slo-watchdog.why"]) == ("ada", "a new disk")
    shown = switch(site)
    assert shown.status == 0
    assert shown.out.splitlines() == [
        "ops.shutdown: off",
        "ops.read-only: off",
        "ops.maintenance: on (by ada: a new disk)",
    ]
    off = switch(site, "ops.maintenance", "off", "--reason", "it is in", "--by", "ada")
    assert (off.status, serving(site)) == (0, [])
    assert site.serves == 0


def test_it_is_audited_and_does_not_wait_for_a_ledger_that_is_broken(site: Installation) -> None:
    site.ledger_file.write_bytes(b"no database at all " * 100)
    on = switch(site, "ops.shutdown", "on", "--reason", "now", "--by", "ada")
    assert on.status == 0
    assert serving(site) == ["ops.shutdown"]
    assert "it waits in a journal" in on.err
    site.ledger_file.unlink()
    assert switch(site, "ops.shutdown", "off", "--reason", "over", "--by", "bob").status == 0
    ledger = site.ledger()
    try:
        told = [stored.change for stored in ledger.flag_history("emergency", "ops.shutdown", 10)]
    finally:
        ledger.close()
    switched = {(change.by, change.why, change.result) for change in told if change.action == "emergency"}
    assert switched >= {("ada", "now", "applied"), ("bob", "over", "applied")}


def test_nobody_has_to_run_init_first_in_an_emergency(site: Installation) -> None:
    assert not ops(site).exists()
    assert switch(site, "ops.shutdown", "on", "--reason", "now").status == 0
    assert serving(site) == ["ops.shutdown"]
    assert set(flags(ops(site))) == set(EMERGENCY_FLAGS)


def test_it_goes_on_in_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    site = Installation(tmp_path, NOWHERE, emergency="{service: flagd-file, path: far/away/ops.json}")
    assert switch(site, "ops.shutdown", "on", "--reason", "now").status == 0
    assert flags(tmp_path / "far" / "away" / "ops.json")["ops.shutdown"]["defaultVariant"] == "on"


def test_a_broken_set_of_the_rollouts_blocks_no_emergency_flag(site: Installation) -> None:
    site.flag_file.write_text("{")
    assert switch(site, "ops.shutdown", "on", "--reason", "now").status == 0
    assert serving(site) == ["ops.shutdown"]


def test_a_broken_set_is_said_and_never_shown_as_off(site: Installation) -> None:
    ops(site).write_text("{")
    shown = switch(site)
    assert shown.status == 1
    assert "ops.shutdown: unknown" in shown.out
    assert str(ops(site)) in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ops.fire", "on", "--reason", "now"), "there are ops.shutdown, ops.read-only, ops.maintenance"),
        (("ops.shutdown", "on"), "--reason"),
        (("ops.shutdown", "on", "--reason", "  "), "--reason"),
        (("ops.shutdown",), "on or off"),
        (("ops.shutdown", "maybe", "--reason", "now"), "maybe"),
    ],
)
def test_what_cannot_be_meant_is_refused(site: Installation, arguments: tuple[str, ...], words: str) -> None:
    refused = switch(site, *arguments)
    assert refused.status == 2
    assert words in refused.err
    assert not ops(site).exists()
