"""deployment.json: what it has to say, its schema, and its way into the ledger and the report."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.ledgers import added, ledger_at
from tests.processes import Installation
from tests.rollouts import rollout
from tests.servers import ScriptedPrometheus
from watchdog.config import load_settings
from watchdog.deployments import SCHEMA_FILE, checked, json_schema, read_deployment, written
from watchdog.errors import ConfigError, LedgerError, Refused
from watchdog.rolloutfile import load_rollout

GOOD: dict[str, Any] = {
    "schema": "slo-watchdog/deployment/1",
    "environment": "production",
    "service": "checkout",
    "commit": "9fceb02d0ae598e95dc970b74767f19372d61af8",
    "image": "ghcr.example/acme/checkout",
    "digest": f"sha256:{'4f' * 32}",
    "colour": "green",
    "rollout": {"name": "checkout-1", "sha256": "3b" * 32},
    "flag": {"name": "new-checkout", "version": "8-3f2a"},
    "preflight": {"id": 12, "sha256": "9c" * 32, "passed": True},
    "by": "ada",
    "at": "2026-11-22T09:00:00Z",
    "previous": {"colour": "blue", "digest": f"sha256:{'77' * 32}", "commit": None},
}
WRONG: list[tuple[str, Any]] = [
    ("digest", "checkout:2.14"),
    ("commit", "9fceb02"),
    ("at", "2026-11-22T09:00:00"),
    ("by", ""),
    ("by", "ada\nby: eve"),
    ("rollout", {"name": "checkout-1"}),
    ("preflight", {"id": 12, "sha256": "9c", "passed": True}),
    ("color", "green"),
    ("schema", "slo-watchdog/deployment/2"),
]


def test_the_shipped_schema_is_that_of_the_models() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == json_schema()


def test_what_is_written_holds_against_the_schema_and_reads_back() -> None:
    text = written(checked(GOOD, "deployment.json"))
    told = json.loads(text)
    jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(told)
    assert {key: told[key] for key in GOOD} == GOOD
    assert written(checked(told, "deployment.json")) == text


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_what_is_wrong_is_named_with_its_place(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"deployment\.json: {key}"):
        checked({**copy.deepcopy(GOOD), key: value}, "deployment.json")


def test_no_preflight_needs_a_bypass_with_its_reason() -> None:
    with pytest.raises(ConfigError, match="is null and there is no bypass"):
        checked({**GOOD, "preflight": None}, "deployment.json")
    found = checked({**GOOD, "preflight": None, "bypass": {"by": "ada", "reason": "it burns"}}, "deployment.json")
    assert found.bypass is not None


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[]", b"x" * 70_000])
def test_a_file_that_is_none_is_a_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "deployment.json").write_bytes(text)
    with pytest.raises(ConfigError):
        read_deployment(tmp_path / "deployment.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_deployment(tmp_path / "none.json")


def test_the_ledger_keeps_the_bytes_once_and_sees_a_change(tmp_path: Path) -> None:
    ledger = ledger_at(tmp_path / "watchdog.db")
    stored = added(ledger, rollout(rollout="checkout-1"))
    text = written(checked(GOOD, "deployment.json"))
    for _ in range(2):
        kept = ledger.add_deployment("checkout-1", text, "ada", 100.0)
    assert kept.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert ledger.deployment(stored.id) == kept
    assert ledger.deployment(stored.id + 1) is None
    assert [number for number, _ in ledger.deployments()] == [stored.id]
    with pytest.raises(Refused, match="has no rollout 'nobody'"):
        ledger.add_deployment("nobody", text, "ada", 100.0)
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE deployments SET body = replace(body, 'ada', 'eve')")
    with pytest.raises(LedgerError, match="sha256 differs"):
        ledger.deployment(stored.id)
    ledger.close()


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    with ScriptedPrometheus() as prometheus:
        made = Installation(tmp_path, prometheus.url)
    made.rollout()
    return made


def handed_in(site: Installation, **changes: Any) -> Path:
    rule = load_rollout(site.directory / "rollouts" / "checkout-1.yaml", load_settings(site.config).facts())
    facts = {**GOOD, "rollout": {"name": rule.name, "sha256": rule.sha256}, **changes}
    file = site.directory / "deployment.json"
    file.write_text(json.dumps(facts))
    return file


def test_a_start_records_its_build_and_the_report_names_it(site: Installation) -> None:
    file = handed_in(site)
    started = site.run("start", "rollouts/checkout-1.yaml", "--deployment", str(file))
    assert started.status == 0, started.err
    [told] = site.run("deployments", "--json").data
    assert (told["rollout"], told["phase"], told["deployment"]["digest"]) == ("checkout-1", "pending", GOOD["digest"])
    assert told["recorded"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "green" in site.run("deployments", "checkout-1").out

    for kind in ("md", "html"):
        done = site.run("report", "checkout-1", "--format", kind)
        assert done.status == 0, done.err
        report = done.out
        assert f"{GOOD['image']}@{GOOD['digest']}" in report
        assert told["recorded"]["sha256"] in report
    assert site.run("report", "checkout-1", "--format", "json").data["deployment"]["commit"] == GOOD["commit"]


def test_a_build_of_another_rule_does_not_start(site: Installation) -> None:
    file = handed_in(site, rollout={"name": "checkout-1", "sha256": "3b" * 32})
    started = site.run("start", "rollouts/checkout-1.yaml", "--deployment", str(file))
    assert (started.status, "was written for checkout-1 with the rule 3b3b3b3b3b3b" in started.err) == (2, True)
    assert "no deployment on record" in site.run("deployments").out
