"""Targets: files that people, tools and other programs write."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.target import target
from watchdog.access.tokens import parse_tokens, render
from watchdog.config import load_settings
from watchdog.deployments import read_deployment
from watchdog.errors import ConfigError, FlagServiceError, LedgerError
from watchdog.flags import flagd_document as flagd
from watchdog.flags.flagd_evaluator import Evaluator, NotEvaluated
from watchdog.journal import Journal
from watchdog.rolloutfile import DaemonFacts, parse_rollout, rollout_from_resolved
from watchdog.rulebook import import_openslo
from watchdog.testresults.junit import Unreadable, read_report
from watchdog.testresults.series import NOTHING, parsed, text

DATA = Path(__file__).parent.parent / "data"
REPOSITORY = Path(__file__).parents[2]
FACTS = DaemonFacts()


def _directory() -> Path:
    """In memory where there is such a place: a fuzzer writes many files."""
    shared = Path("/dev/shm")  # noqa: S108 - names of our own, removed at once
    return shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())


@contextmanager
def _file(name: str, raw: bytes) -> Iterator[Path]:
    """A file with these bytes, there for one look."""
    path = _directory() / f"slo-watchdog-fuzz-{os.getpid()}-{name}"
    path.write_bytes(raw)
    try:
        yield path
    finally:
        path.unlink()


# --- flags ------------------------------------------------------------------------------------------------------------

FLAGS = {
    "$schema": flagd.SCHEMA,
    "metadata": {"flagSetId": "checkout", "version": "12", "slo-watchdog.bucketing": "flagd-v3"},
    "$evaluators": {"inside": {"in": [{"var": "email"}, ["a@example.com"]]}},
    "flags": {
        "new-checkout": {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
            "targeting": {
                "if": [
                    {"in": [{"var": "targetingKey"}, ["qa-1", "qa-2"]]},
                    "on",
                    {"fractional": [["on", 25_000], ["off", 75_000]]},
                ]
            },
            "metadata": {"slo-watchdog.version": 12, "slo-watchdog.latch": "checkout-1", "slo-watchdog.idem": "k"},
        },
        "other": {
            "state": "DISABLED",
            "variants": {"a": 1, "b": {"deep": [1.5]}},
            "targeting": {"if": [{"$ref": "inside"}, "a", {"sem_ver": [{"var": "v"}, ">=", "1.2.3"]}]},
        },
    },
}
WORDS = (b'"fractional"', b'"$ref"', b'"sem_ver"', b'"starts_with"', b'"targetingKey"', b'"$flagd"', b'"cat"', b'"if"')


@target("flagd-document", FlagServiceError, [FLAGS], words=WORDS)
def flagd_document(raw: bytes) -> None:
    """A flagd file or the document of a set in Redis: what is taken can be told of, written and read again."""
    document = flagd.parse(raw, "flags.json")
    flagd.digest(document)
    flagd.partial(document)
    for name, entry in document["flags"].items():
        flagd.fingerprint(entry)
        flagd.latch_of(entry)
        try:
            flagd.served(entry, f"flags.{name}")
        except FlagServiceError:
            continue
    again = flagd.parse(flagd.render(document), "flags.json")
    assert flagd.digest(again) == flagd.digest(document)


@target("flagd-evaluation", (FlagServiceError, NotEvaluated), [FLAGS], words=WORDS)
def flagd_evaluation(raw: bytes) -> None:
    """What the flags of a document come to, for callers of several kinds and under both hashes."""
    document = flagd.parse(raw, "flags.json")
    refusal = None
    for bucketing in ("flagd-v2", "flagd-v3"):
        evaluator = Evaluator(document, bucketing)
        for key in evaluator.keys:
            for context in ({}, {"targetingKey": "ada", "v": "1.2.3", "email": ["x"]}, {"targetingKey": "", "v": None}):
                try:
                    evaluator.evaluate(key, context)
                except NotEvaluated as error:
                    refusal = error
    if refusal is not None:
        raise refusal


# --- rules and settings -----------------------------------------------------------------------------------------------


def _texts(name: str) -> list[bytes]:
    shipped = sorted((REPOSITORY / "watchdog" / "_rules" / name).rglob("*.yaml"))
    return [path.read_bytes() for path in shipped[:3]]


@target(
    "rollout-file",
    ConfigError,
    [(DATA / "contract-rollout.yaml").read_bytes(), *_texts("rollouts")],
    form="yaml",
    words=[b"$range", b"$cohort", b"sequential: ", b"steps: [", b"detector: ", b"at_most: ", b"0.1%", b"1e9d"],
)
def rollout_file(raw: bytes) -> None:
    """A rollout's YAML; what is taken can be frozen and read again from the ledger."""
    with _file("rollout.yaml", raw) as path:
        from watchdog.rolloutfile import load_rollout  # noqa: PLC0415 - beside its use

        rollout = load_rollout(path, FACTS)
    assert rollout_from_resolved(rollout.resolved, rollout.text) == rollout


@cache
def _resolved() -> str:
    return parse_rollout((DATA / "contract-rollout.yaml").read_text(), "rollout.yaml", FACTS).resolved


@target("frozen-rule", ConfigError, lambda: [_resolved()])
def frozen_rule(raw: bytes) -> None:
    """A rule as the ledger has it: a damaged row holds back one rollout, and nothing else."""
    rollout_from_resolved(raw.decode("utf-8", "surrogateescape"), "", "checkout-1")


@target(
    "settings-file",
    ConfigError,
    [(DATA / "contract-watchdog.yaml").read_bytes(), b'prometheus: {url: "http://127.0.0.1:9090"}\n'],
    form="yaml",
    words=[b"http: {listen: ", b"notify: ", b"serve: ", b"_file: ", b"postgresql+psycopg://", b"sqlite:///"],
)
def settings_file(raw: bytes) -> None:
    """The daemon's watchdog.yaml."""
    with _file("watchdog.yaml", raw) as path:
        load_settings(path, {})


NAMED = f"{{name: ci, role: viewer, sha256: {'1b' * 32}, created: 2026-11-22T09:00:00Z, expires: 2026-12-22T09:00:00Z}}"
LISTED = f"\n  - name: ada\n    role: approver\n    sha256: {'0a' * 32}\n    created: 2026-11-22T09:00:00Z\n"


@target(
    "tokens-file",
    ConfigError,
    [f"tokens: [{NAMED}]\n", f"tokens:{LISTED}"],
    form="yaml",
    words=[b"name: ", b"role: ", b"sha256: ", b"expires: "],
)
def tokens_file(raw: bytes) -> None:
    """Who may do what over HTTP; what is taken can be written back and read again."""
    with _file("tokens.yaml", raw) as path:
        from watchdog.rolloutfile.yamltext import read_text  # noqa: PLC0415 - beside its use

        tokens = parse_tokens(read_text(path), "tokens.yaml")
    again = parse_tokens(render(tokens), "tokens.yaml")
    assert [(token.name, token.role, token.sha256) for token in again] == [(t.name, t.role, t.sha256) for t in tokens]


OPENSLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, labels: {team: [a]}}
spec:
  service: shop
  description: two
  indicator:
    metadata: {name: i}
    spec:
      ratioMetric:
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(good_total[{{.window}}]))'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(all_total[{{ window }}]))'}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.999}]
"""
THRESHOLD = """\
apiVersion: openslo/v1
kind: DataSource
metadata: {name: metrics}
spec: {type: Prometheus}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: latency}
spec:
  service: shop
  indicator:
    metadata: {name: i}
    spec: {thresholdMetric: {metricSource: {metricSourceRef: metrics, spec: {query: latency_p95}}}}
  budgetingMethod: Timeslices
  objectives: [{op: lt, value: 0.2, target: 0.95, timeSliceTarget: 0.9, timeSliceWindow: 1h}]
"""


@target(
    "openslo", ConfigError, [OPENSLO, THRESHOLD], form="yaml",
    words=[b"---\n", b"targetPercent: ", b"rawType: success", b"indicatorRef: ", b"kind: SLI", b"counter: true"],
)  # fmt: skip
def openslo(raw: bytes) -> None:
    """OpenSLO documents; what is imported is YAML of ours."""
    with _file("slo.yaml", raw) as path:
        found = import_openslo(path)
    from watchdog.rolloutfile.yamltext import load_mapping  # noqa: PLC0415 - beside its use

    for one in found:
        load_mapping(one.text, one.name)


# --- what pipelines and test tools write ------------------------------------------------------------------------------

DEPLOYMENT: dict[str, Any] = {
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
    "bypass": {"by": "ada", "reason": "it burns"},
}


@target("deployment", ConfigError, [DEPLOYMENT])
def deployment(raw: bytes) -> None:
    """A deployment.json; the text of one that is taken goes into a ledger, so it must be text."""
    with _file("deployment.json", raw) as path:
        read = read_deployment(path)
    read.text.encode()
    read.facts.by.encode()


JUNIT = """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="4" failures="1" errors="1" skipped="1" time="1.5"
 timestamp="2026-11-22T09:00:00+00:00">
<testcase classname="a" name="ok" time="0.1"/><testcase classname="a" name="bad"><failure message="x">y</failure>
</testcase><testcase classname="a" name="none"><error message="collection failure"/></testcase>
<testcase classname="a" name="not"><skipped/><system-out><![CDATA[<&]]></system-out></testcase>
</testsuite></testsuites>
"""
SUREFIRE = """\
<testsuite name="a" tests="1" errors="0" time="1,234.5"><properties/><testcase name="f" status="run" result="completed">
<flakyFailure type="x"/><rerunError/></testcase></testsuite>
"""


ODD = (b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"&#x0;", b"time='nan'", b"timestamp='9999-12-31T23:59:59'")


@target(
    "junit",
    Unreadable,
    [JUNIT, SUREFIRE],
    form="bytes",
    words=[b"<testcase>", b"</testcase>", b"<testsuite>", b"<failure/>", b"<a:b xmlns:a='c'/>", b"<![CDATA[", *ODD],
)
def junit(raw: bytes) -> None:
    """A report of tests, in whatever dialect."""
    with _file("junit.xml", raw) as path:
        read_report(path)


@target(
    "textfile", ValueError, [text(NOTHING, {"job": "smoke", "suite": 'a"b\\c'})], form="bytes",
    words=[b"smoke_tests_total{", b'result="passed"', b"NaN", b"+Inf", b"1e400", b"} "],
)  # fmt: skip
def textfile(raw: bytes) -> None:
    """The counters of a suite, which any program on the host may have written over."""
    text(parsed(raw.decode()), {})


@target(
    "emergency-journal", LedgerError,
    [b'{"rollout":"checkout-1","at":1.5,"phase":"ramping","control":{}}\n{"rollout":"checkout-1","told":{"kind":"x"}}\n'],
    form="bytes", words=[b"\n", b'{"rollout":', b"}\n{"],
)  # fmt: skip
def emergency_journal(raw: bytes) -> None:
    """What a crash or a bad disk may have left of the emergency journal: readable lines are kept."""
    with _file("ledger.db.journal", raw) as path:
        found = Journal(path).entries()
    assert all(isinstance(entry, dict) for entry in found)
