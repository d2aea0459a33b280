"""An approver's signature: beside a bundle's own, or in the ledger, where it covers the chain up to its newest seal."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from watchdog.errors import LedgerConflict, Refused
from watchdog.evidence import statement
from watchdog.evidence.archive import Damaged, pack, unpack
from watchdog.evidence.keys import PAYLOAD_TYPE, PublicKey, SigningKey, check, signed
from watchdog.ledger import Ledger, Record, StoredRollout
from watchdog.ledger.attached import Rows
from watchdog.ledger.sealing import newest
from watchdog.model import Transition
from watchdog.quantities import rfc3339

KIND = "countersigned"
"""The kind of the transition that records it."""
MOST = 100
TRIES = 10
_WHY = re.compile(
    r"(?P<reason>.*) \(countersigned up to seal (?P<seal>[1-9][0-9]{0,9}) (?P<sha256>[0-9a-f]{64}), "
    r"key (?P<key>[0-9a-f]{64}), signature (?P<signature>[A-Za-z0-9+/]{86}==)\)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Countersignature:
    """One that the ledger holds: who, why, when, up to which seal, and the envelope that says so."""

    by: str
    reason: str
    at: float
    seal: int
    sha256: str
    key: str
    envelope: bytes


def in_bundle(data: bytes, rollout: str, by: str, reason: str, at: float, key: SigningKey) -> bytes:
    """The bundle with one more countersignature. Raises Damaged when it is none, or has too many."""
    members = unpack(data)
    there = sum(name.startswith(statement.COUNTERSIGNATURES) for name in members)
    if there >= MOST:
        raise Damaged(f"the bundle has {there} countersignatures already")
    said = statement.countersigned(members[statement.STATEMENT_FILE], rollout, by, reason, rfc3339(at))
    return pack({**members, f"{statement.COUNTERSIGNATURES}{there + 1:03}.dsse.json": signed(said, key)})


def in_ledger(ledger: Ledger, name: str, by: str, reason: str, at: float, key: SigningKey) -> Countersignature:
    """Record a countersignature of everything that is sealed so far. Refused before the rollout has ended."""
    for _ in range(TRIES):
        stored = ledger.rollout(name)
        if stored is None:
            raise Refused(f"the ledger has no rollout {name!r}; `slo-watchdog status` lists those it has")
        if not stored.phase.terminal:
            raise Refused(f"{name} is {stored.phase.value}: it is countersigned once it has ended")
        seal, digest = head(ledger, stored)
        envelope = signed(_payload(name, seal, digest, by, reason, at), key)
        signature = json.loads(envelope)["signatures"][0]["sig"]
        why = f"{reason} (countersigned up to seal {seal} {digest}, key {key.public.id}, signature {signature})"
        told = Transition(at, KIND, stored.phase, stored.phase, why, by)
        try:
            ledger.record(Record(stored.id, stored.revision, transitions=(told,)))
        except LedgerConflict:
            continue  # a tick recorded in between: what it recorded is to be covered, too
        return Countersignature(by, reason, at, seal, digest, key.public.id, envelope)
    raise LedgerConflict(f"{name}: others recorded {TRIES} times before this could be; try again")


def head(ledger: Ledger, stored: StoredRollout) -> tuple[int, str]:
    """The newest seal of a rollout: its number and its hash."""
    with ledger.reading() as connection:
        seal = newest(connection, stored.id)
    if seal is None:
        raise Refused(f"{stored.name}: its history has no seal yet, so there is nothing to countersign")
    return seal.number, seal.sha256


def recorded(rows: Rows) -> Iterator[Countersignature]:
    """The countersignatures among a rollout's rows. Raises Damaged when one is not as it is recorded here."""
    name = next((str(row["name"]) for row in rows.of("rollouts")), "")
    for row in rows.of("transitions"):
        if row["kind"] != KIND:
            continue
        said = _WHY.fullmatch(row["why"])
        if said is None:
            raise Damaged(f"the countersignature of {rfc3339(row['at'])} by {row['by']} does not say what it covers")
        seal, digest = int(said["seal"]), said["sha256"]
        payload = _payload(name, seal, digest, row["by"], said["reason"], row["at"])
        envelope = _envelope(payload, said["key"], said["signature"])
        yield Countersignature(row["by"], said["reason"], row["at"], seal, digest, said["key"], envelope)


def holds(one: Countersignature, rows: Rows, known: Mapping[str, PublicKey]) -> bool:
    """Whether it covers the chain as it is here; and its signature, where its key is known. Raises Damaged if not."""
    seals = {row["number"]: row["sha256"] for row in rows.of("seals")}
    what = f"the countersignature by {one.by} of {rfc3339(one.at)}"
    if seals.get(one.seal) != one.sha256:
        raise Damaged(f"{what} covers a seal {one.seal} {one.sha256[:16]} that this chain does not have")
    if one.key not in known:
        return False
    check(what, one.envelope, known[one.key])
    return True


def _payload(rollout: str, seal: int, digest: str, by: str, reason: str, at: float) -> bytes:
    document: dict[str, Any] = {
        "_type": statement.STATEMENT,
        "subject": [{"name": f"ledger/{rollout}/seal/{seal}", "digest": {"sha256": digest}}],
        "predicateType": statement.COUNTERSIGNATURE,
        "predicate": {"rollout": rollout, "by": by, "reason": reason, "at": rfc3339(at)},
    }
    return statement.text(document)


def _envelope(payload: bytes, key: str, signature: str) -> bytes:
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": key, "sig": signature}],
    }
    return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"
