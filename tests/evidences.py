"""Rollouts with a past, their bundles, and what somebody who tampers with one would do.

found = scene("rolled_back", tmp_path)            # a ledger that the live engine made
forged = Forgery(found.bundle)                    # taken apart; nothing is recomputed yet
forged.rows["steps"][4]["bad"] = 0.0
forged.resealed().rebuilt()                       # every hash and the report made again, without a key
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.rollouts import NOON, internal, value
from tests.rollouts import event as an_event
from tests.stage import HOUR, Stage, a_rule
from watchdog.account import Account
from watchdog.evidence import bundle, columns, statement
from watchdog.evidence.archive import compress, unpack
from watchdog.evidence.bundle import Context, write
from watchdog.evidence.chain import _digests
from watchdog.evidence.keys import PublicKey, SigningKey, generate, public_key, signing_key
from watchdog.flags.base import Change
from watchdog.flags.memory import InMemoryFlags
from watchdog.ledger.attached import MEASURED, Rows, attached
from watchdog.ledger.chain import FlagChange
from watchdog.ledger.seals import GENESIS, seal_hash
from watchdog.model import EMERGENCY_FLAGS, Exposure, Reason, Rollout
from watchdog.report import build, render_html, render_json, render_markdown

ASKED = Context("http://127.0.0.1:9090", {"watchdog.yaml": "0" * 64})
NAME = "checkout-2"


@dataclass
class Keys:
    """Two pairs of keys: of the watchdog and of an approver."""

    directory: Path

    @cached_property
    def own(self) -> SigningKey:
        generate(self.directory / "evidence.key")
        return signing_key(self.directory / "evidence.key")

    @cached_property
    def ada(self) -> SigningKey:
        generate(self.directory / "ada.key")
        return signing_key(self.directory / "ada.key")

    def public(self, name: str = "evidence") -> PublicKey:
        return public_key(self.directory / f"{name}.key.pub")


def small(**top: str) -> Rollout:
    """One slice is enough; two steps."""
    ramp = "{strategy: progressive, from: 0, to: 100, over: 10m, every: 5m}"
    return a_rule(an_event(), **{"window": "{slices: 1, slice: 10m, max_gap: 5m}", "ramp": ramp, **top})


def signed_off(path: Path) -> Stage:
    """A healthy service."""
    stage = Stage(path)
    stage.run(NOON + HOUR)
    return stage


def the_smallest(path: Path) -> Stage:
    """The least that can be signed off."""
    stage = Stage(path, small())
    stage.run(NOON + 45 * 60)
    return stage


def rolled_back(path: Path) -> Stage:
    """Half of all requests fail after 25 minutes."""
    stage = Stage(path)
    stage.service.fails(NOON + 1500)
    stage.run(NOON + HOUR + 600)
    return stage


def with_gaps(path: Path) -> Stage:
    """Prometheus away, late, and standing still."""
    stage = Stage(path)
    stage.service.unreachable(NOON + 1000, NOON + 1400)
    stage.service.late(NOON + 2000, NOON + 2300, NOON + 3600)
    stage.service.prometheus_stands_still(NOON + 4000, NOON + 4200)
    stage.run(NOON + 2 * HOUR)
    return stage


def late_breach(path: Path) -> Stage:
    """The data that shows the breach comes a quarter of an hour late."""
    stage = Stage(path)
    stage.service.fails(NOON + 2000, NOON + 2400)
    stage.service.late(NOON + 2000, NOON + 2300, NOON + 3000, name="error_rate")
    stage.run(NOON + 5400)
    return stage


def amended(path: Path) -> Stage:
    """After the sign-off three detector steps are answered that show a breach before it."""
    once = {"ramp": "{strategy: all_at_once}", "window": "{slices: 2, slice: 1h, max_gap: 10m}"}
    stage = Stage(path, a_rule(value(), an_event(), internal(), **once))
    slow = {NOON + 60 * minute for minute in (140, 141, 142)}
    stage.service.values["latency_p95"] = lambda at: 0.5 if at in slow else 0.1
    stage.service.late(min(slow) - 1, max(slow), NOON + 200 * 60, Reason.PARTIAL, name="latency_p95", over=75.0)
    stage.run(NOON + 183 * 60)
    for minute in (184, 201, 260):
        stage.clock.now = NOON + minute * 60.0
        stage.tick()
    return stage


def observed(path: Path) -> Stage:
    """Nothing is written to the flag."""
    stage = Stage(path, a_rule(mode="observe"))
    stage.service.fails(NOON + 3000, NOON + 3100, share=0.3)
    stage.run(NOON + 5400)
    return stage


def held(path: Path) -> Stage:
    """People hold, resume and take back."""
    stage = Stage(path)
    for verb, until in (("hold", 700), ("resume", 1500), ("rollback", 2000)):
        stage.run(NOON + until)
        stage.command(verb)
    stage.run(NOON + 4000)
    return stage


def turned(path: Path) -> Stage:
    """A person turns the flag, the process dies and is away for half an hour."""
    stage = Stage(path)
    stage.run(NOON + 700)
    stage.turned_to(80)
    stage.run(NOON + 1500)
    stage.command("resume")
    stage.run(NOON + 2500)
    stage.restart()
    stage.clock.now += 1200
    stage.run(NOON + 5400)
    return stage


@dataclass
class Beside:
    """The flags beside the rollout's own."""

    emergency: InMemoryFlags
    secondary: dict[str, InMemoryFlags] = field(default_factory=dict)


def shut_down(path: Path) -> Stage:
    """Somebody switches ops.shutdown on."""
    stage = Stage(path)
    beside = Beside(InMemoryFlags(EMERGENCY_FLAGS))
    stage.start_up(system=beside)
    stage.run(NOON + 1300)
    beside.emergency.set("ops.shutdown", Change(Exposure(100.0), (), "bob", "the payments are down"))
    stage.run(NOON + 2500)
    return stage


def stopped(path: Path) -> Stage:
    """A person ends the watch."""
    stage = Stage(path)
    stage.run(NOON + 2000)
    stage.command("stop")
    stage.run(NOON + 3000)
    return stage


def under_way(path: Path) -> Stage:
    """It is ramping still."""
    stage = Stage(path)
    stage.run(NOON + 900)
    return stage


def pending(path: Path) -> Stage:
    """Nobody has started it."""
    stage = Stage(path, started=False)
    stage.run(NOON + 600)
    return stage


SCENES: dict[str, Callable[[Path], Stage]] = {
    made.__name__: made
    for made in (
        *(signed_off, the_smallest, rolled_back, with_gaps, late_breach, amended),
        *(observed, held, turned, shut_down, stopped, under_way, pending),
    )
}


def changes_its_flag(stage: Stage) -> None:
    """Five changes of flags on record, three of them of the rollout's own."""
    for place, flag in enumerate(("new-checkout", "other", "new-checkout", "other", "new-checkout")):
        content = {"percent": 10.0 * place}
        change = FlagChange(str(place), NOON + place, "main", flag, "set", "ada", "a test", "applied", after=content)
        stage.ledger.append_flag_change(change)


@dataclass
class Forgery:
    """A bundle in the hands of somebody without its key. `rows` are by table, one dict a row."""

    data: bytes
    members: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.members:
            return
        self.members = unpack(self.data)
        for name in [name for name in self.members if name.startswith(bundle.ROWS)]:
            table = name.removeprefix(bundle.ROWS).removesuffix(bundle.SUFFIX)
            text = zlib.decompress(self.members[name], 31)
            self.rows[table] = columns.rows_of(columns.decode(name, table, text))

    def copied(self) -> Forgery:
        """Another forgery of the same bundle."""
        return Forgery(self.data, dict(self.members), copy.deepcopy(self.rows))

    @property
    def attachment(self) -> Rows:
        few = {table: rows for table, rows in self.rows.items() if rows and table not in MEASURED}
        measured = {t: columns.columns_of(self.rows[t]) for t in MEASURED if self.rows.get(t)}
        return Rows(few, measured)

    def resealed(self) -> Forgery:
        """The chain made again over the rows as they are now."""
        facts, dense = _digests(self.attachment)
        prev = GENESIS
        for row in self.rows["seals"]:
            prev = row["sha256"] = seal_hash(row, prev, facts.get(row["number"], ""), dense.get(row["number"], ""))
        return self

    def written(self) -> Forgery:
        """The members made again of the rows as they are now."""
        for table, rows in self.rows.items():
            name = f"{bundle.ROWS}{table}{bundle.SUFFIX}"
            if rows:
                self.members[name] = compress(columns.encode(table, columns.columns_of(rows)))
            else:
                self.members.pop(name, None)
        return self

    def relisted(self, **facts: Any) -> Forgery:
        """Manifest and statement made again over the members as they are now; the envelope is left as it was."""
        listed = columns.parse("manifest.json", self.members[statement.MANIFEST_FILE])
        known = {n: v for n, v in listed.items() if n not in ("schema", "files")} | facts
        files = {n: d for n, d in self.members.items() if n not in statement.NOT_LISTED}
        made = statement.manifest(known, files)
        text = statement.text(made)
        self.members[statement.MANIFEST_FILE] = text
        self.members[statement.STATEMENT_FILE] = statement.text(statement.statement(made, text))
        return self

    def unsigned(self) -> Forgery:
        """Without the envelope."""
        self.members.pop(statement.ENVELOPE_FILE, None)
        return self

    def consistent(self) -> dict[str, bytes]:
        """Everything that can be made again without a key, the report included; the members of that."""
        self.resealed().written()
        rows = self.attachment
        beside = columns.parse("attached.json", self.members["attached.json"]) | {"as_of": bundle.newest(rows)}
        number = self.rows["rollouts"][0]["id"]
        with attached(number, rows) as own:
            stored = own.rollout(self.rows["rollouts"][0]["name"])
            assert stored is not None
            account = Account(own, stored)
            report = build(bundle.evidence(account, beside))
            facts = bundle.facts_of(report, account, rows)
        self.members |= {
            "attached.json": statement.text(beside),
            bundle.REPORT: compress(render_json(report).encode()),
            "report.md": render_markdown(report).encode(),
            "report.html": render_html(report).encode(),
        }
        return self.unsigned().relisted(**facts).members


def bundle_of(stage: Stage, key: SigningKey | None = None) -> bytes:
    """The bundle of the stage's rollout."""
    return write(stage.ledger, stage.rule.name, ASKED, key)
