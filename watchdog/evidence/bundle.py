"""Writes a bundle: all rows of a rollout, and the report that is built of just these rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from watchdog.account import Account, noise
from watchdog.errors import Refused
from watchdog.evidence import columns, statement
from watchdog.evidence.archive import compress, pack
from watchdog.evidence.countersign import recorded
from watchdog.evidence.keys import SigningKey, signed
from watchdog.ledger import Ledger
from watchdog.ledger.attached import LINKS, MEASURED, Attached, Rows, attached
from watchdog.quantities import rfc3339
from watchdog.report import Evidence, build, render_html, render_json, render_markdown

Json = dict[str, Any]
Row = dict[str, Any]
ROWS = "rows/"
SUFFIX = ".json.gz"
REPORT = "report.json.gz"
COUNTERSIGNED = "countersigned/"
"""Where the countersignatures are that the ledger holds, made again of its rows."""
_MOMENTS = (
    *(("transitions", "at"), ("exposures", "at"), ("readings", "at"), ("notifications", "at"), ("commands", "at")),
    *(("breaches", "detected_at"), ("waivers", "at"), ("deployments", "at"), ("rollouts", "created_at")),
    *(("reports", "at"), ("heads", "started_at"), ("heads", "last_slot"), ("alert_labels", "at")),
)


@dataclass(frozen=True, slots=True)
class Context:
    """What the ledger does not hold: the address that was asked, without credentials, and digests of settings."""

    prometheus: str
    settings: Mapping[str, str]
    """Names of configuration files with their sha256."""


def write(ledger: Ledger, name: str, context: Context, key: SigningKey | None = None) -> bytes:
    """The bundle of a rollout as the ledger has it now; unsigned without a key. Raises LedgerError."""
    files, facts = _gathered(ledger, name, context)
    listed = statement.manifest(facts, files)
    manifest_text = statement.text(listed)
    said = statement.text(statement.statement(listed, manifest_text))
    members = {**files, statement.MANIFEST_FILE: manifest_text, statement.STATEMENT_FILE: said}
    if key is not None:
        members[statement.ENVELOPE_FILE] = signed(said, key)
    return pack(members)


def _gathered(ledger: Ledger, name: str, context: Context) -> tuple[dict[str, bytes], Json]:
    stored = ledger.rollout(name)
    if stored is None:
        raise Refused(f"the ledger has no rollout {name!r} to tell of")
    rows = rows_of(ledger, stored.id)
    as_of = newest(rows)
    with attached(stored.id, rows) as own:
        same = own.rollout(name)
        if same is None:
            raise Refused(f"rollout {name}: its rows do not say what it is")
        account = Account(own, same)
        control = account.control
        until = float(account.stored.last_slot or 0) if control.phase.terminal else as_of
        beside: Json = {
            "as_of": as_of,
            "noise": noise(ledger, account.rollout, control.started_at, until, as_of),
            "prometheus": context.prometheus,
        }
        report = build(evidence(account, beside))
        every = {**{table: columns.columns_of(some) for table, some in rows.few.items()}, **rows.measured}
        files = {f"{ROWS}{table}{SUFFIX}": compress(columns.encode(table, some)) for table, some in every.items()}
        files |= {
            "attached.json": statement.text(beside),
            "prometheus.json": statement.text(prometheus_of(own, account, context.prometheus)),
            REPORT: compress(render_json(report).encode()),
            "report.md": render_markdown(report).encode(),
            "report.html": render_html(report).encode(),
            "rule.yaml": account.stored.text.encode(),
        }
        for place, one in enumerate(recorded(rows), 1):
            files[f"{COUNTERSIGNED}{place:03}.dsse.json"] = one.envelope
        if made := rows.of("deployments"):
            files["deployment.json"] = made[-1]["body"].encode()
        facts = facts_of(report, account, rows) | {"configuration": _configuration(account, context)}
    return files, facts


def evidence(account: Account, beside: Mapping[str, Any]) -> Evidence:
    """Everything behind the report: the rows' own account, with what lies beside them in the bundle."""
    found = account.evidence(beside["as_of"], {"url": beside["prometheus"]})
    return replace(found, noise=beside["noise"])


def rows_of(ledger: Ledger, rollout: int) -> Rows:
    """All rows of a rollout by table, with the links of its flag's chain."""
    rows: dict[str, list[Row]] = {}
    for table, row in ledger.rows_of(rollout):
        rows.setdefault(table, []).append(row)
    for row in rows.get("seals", ()):
        del row["tags"]  # they find a row that differs and prove nothing
    changes = rows.get("flag_changes", [])
    for row in changes:
        del row["seal"]
    own = {row["id"] for row in changes}
    if own:
        with ledger.flag_change_rows() as every:
            between = [row for row in every if min(own) < row["id"] < max(own) and row["id"] not in own]
        rows[LINKS] = [{name: row[name] for name in ("id", "prev", "hash")} for row in between]
    few = {table: some for table, some in rows.items() if some and table not in MEASURED}
    return Rows(few, {table: columns.columns_of(rows[table]) for table in MEASURED if rows.get(table)})


def newest(rows: Rows) -> float:
    """The newest instant that the rows tell of: what the report is as of, so that the same rows give the same one."""
    return max(
        (float(row[name]) for table, name in _MOMENTS for row in rows.of(table) if row[name] is not None),
        default=0.0,
    )


def prometheus_of(own: Attached, account: Account, url: str) -> Json:
    """What is on record of the server that was asked, its version and flags, and what is not."""
    proof = account.control.proof
    made = own.preflight(proof.id) if proof is not None else None
    if made is None:
        lost = ["no preflight is on record for the start, and with it neither version nor flags of Prometheus"]
        return {"url": url, "preflight": None, "builds": [], "checks": [], "not_recorded": lost}
    builds, checks = made.result.get("builds", []), made.result.get("checks", [])
    found = [one for one in checks if one.get("area") == "prometheus"]
    lost = []
    if all(one.get("what") != "prometheus" for one in builds):
        lost.append("the preflight could not ask for the version of Prometheus")
    if not found:
        lost.append("the preflight did not look at the flags of Prometheus")
    told = {"id": made.id, "at": rfc3339(made.at), "sha256": made.sha256}
    return {"url": url, "preflight": told, "builds": builds, "checks": found, "not_recorded": lost}


def facts_of(report: Json, account: Account, rows: Rows) -> Json:
    """What the manifest says of the rollout, which all follows from the rows."""
    verdict = report["verdict"]
    return {
        **{
            name: report[name] for name in ("rollout", "service", "version", "flag", "mode", "phase", "as_of", "engine")
        },
        "verdict": {name: verdict[name] for name in ("kind", "line", "stage", "signed_off", "observation")},
        "window": report["windows"],
        "chain": rows.of("seals")[-1]["sha256"] if rows.of("seals") else None,
        "rule": {"sha256": account.stored.sha256, "resolved": statement.sha256(account.stored.resolved.encode())},
        "rows": {table: len(some) for table, some in sorted(rows.few.items()) if table != LINKS}
        | {table: rows.count(table) for table in sorted(rows.measured)},
    }


def _configuration(account: Account, context: Context) -> Json:
    """The digests of what the program was configured with, as far as anybody recorded them."""
    return {"settings": dict(context.settings), "recorded_by": account.stored.engine}


def beside_of(data: bytes) -> Json:
    """What lies beside the rows, read back. Raises Damaged."""
    found = columns.parse("attached.json", data)
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]
