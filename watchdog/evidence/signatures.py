"""Who vouches for a bundle: its own signature, and the countersignatures beside it and in its rows."""

from __future__ import annotations

from collections.abc import Mapping

from watchdog.evidence import columns, countersign, keys, statement
from watchdog.evidence.archive import Damaged
from watchdog.evidence.checked import HOLDS, UNCHECKED, Checked, Verified
from watchdog.evidence.keys import PublicKey
from watchdog.ledger.attached import Rows
from watchdog.quantities import rfc3339

Approvers = tuple[PublicKey, ...]


def signature(members: Mapping[str, bytes], key: PublicKey | None, found: Verified) -> None:
    """The signature over the statement, which names every file."""
    name = statement.ENVELOPE_FILE
    if name not in members:
        lost = "" if key is None else f"there is none, and {key.id} was to have signed it"
        found.checks.append(Checked("signature", "NONE: anybody can have written this bundle", lost))
        return
    payload, ids = keys.opened(name, members[name])
    found.signature, found.key = UNCHECKED, ", ".join(ids)
    if payload != members[statement.STATEMENT_FILE]:
        found.checks.append(Checked("signature", "", f"{name} signs another statement than {statement.STATEMENT_FILE}"))
        return
    if key is None:
        said = f"by the key {found.key}: NOT CHECKED, no public key was given"
        found.checks.append(Checked("signature", said))
        return
    try:
        keys.check(name, members[name], key)
    except Damaged as error:
        found.checks.append(Checked("signature", "", str(error)))
        return
    found.signature = HOLDS
    found.checks.append(Checked("signature", f"holds, by the key {key.id}"))


def countersignatures(members: Mapping[str, bytes], approvers: Approvers, found: Verified) -> None:
    """The countersignatures that were written into the bundle."""
    known = {one.id: one for one in approvers}
    names = sorted(name for name in members if name.startswith(statement.COUNTERSIGNATURES))
    for place, name in enumerate(names, 1):
        if name != f"{statement.COUNTERSIGNATURES}{place:03}.dsse.json":
            raise Damaged(f"{name} is not where the countersignature {place} is")
        payload, ids = keys.opened(name, members[name])
        said = columns.parse(name, payload)
        predicate = said.get("predicate")
        fields = {"rollout", "by", "reason", "at"}
        if (
            not isinstance(predicate, dict)
            or set(predicate) != fields
            or any(type(v) is not str for v in predicate.values())
        ):
            raise Damaged(f"{name} does not say who countersigned, why and when")
        wanted = statement.countersigned(members[statement.STATEMENT_FILE], **predicate)
        about = f"by {predicate['by']}, {predicate['at']}: {predicate['reason']} (key {ids[0]})"
        difference = "" if payload == wanted else f"{name} is about another bundle"
        if ids[0] in known and not difference:
            try:
                keys.check(name, members[name], known[ids[0]])
            except Damaged as error:
                difference = str(error)
        checked = ids[0] in known and not difference
        found.countersigned.append({**predicate, "key": ids[0], "checked": checked})
        found.checks.append(Checked("countersignature", about + ("" if checked else ", NOT CHECKED"), difference))


def in_ledger(rows: Rows, approvers: Approvers, found: Verified) -> None:
    """The countersignatures that the ledger recorded."""
    known = {one.id: one for one in approvers}
    for one in countersign.recorded(rows):
        about = f"by {one.by}, {rfc3339(one.at)}, up to seal {one.seal}: {one.reason} (key {one.key})"
        checked, difference = False, ""
        try:
            checked = countersign.holds(one, rows, known)
        except Damaged as error:
            difference = str(error)
        said = {"rollout": found.about["rollout"], "by": one.by, "reason": one.reason, "at": rfc3339(one.at)}
        found.countersigned.append({**said, "key": one.key, "checked": checked})
        found.checks.append(Checked("countersignature", about + ("" if checked else ", NOT CHECKED"), difference))
