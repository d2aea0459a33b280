"""Looks at a bundle with nothing but a public key: whether it is whole and signed, and whether its conclusions follow.

All of a bundle may be anybody's work: whatever it holds ends as a finding, never as an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from watchdog import __version__
from watchdog.account import Account
from watchdog.errors import WatchdogError
from watchdog.evidence import bundle, columns, countersign, phases, recompute, signatures, statement
from watchdog.evidence.archive import Damaged, Inflater, unpack
from watchdog.evidence.chain import flag_changes, seals
from watchdog.evidence.checked import STRANGE, Checked, Verified
from watchdog.evidence.keys import PublicKey
from watchdog.evidence.recompute import Case, fold, open_case
from watchdog.evidence.signatures import Approvers
from watchdog.ledger.attached import LINKS, MEASURED, Rows, attached
from watchdog.quantities import parse_time
from watchdog.report import build, render_html, render_json, render_markdown

Json = dict[str, Any]


def verify(data: bytes, key: PublicKey | None = None, approvers: Approvers = ()) -> Verified:
    """Check a bundle's bytes. What it concludes is looked at only where nobody changed it since it was written."""
    try:
        members = unpack(data)
    except Damaged as error:
        return Verified([Checked("archive", "", str(error))])
    return verify_members(members, key, approvers)


def verify_members(members: Mapping[str, bytes], key: PublicKey | None = None, approvers: Approvers = ()) -> Verified:
    """The same, of the members of an archive that is packed as it should be."""
    found = Verified([Checked("archive", f"{len(members)} members, packed as a bundle is")])
    for place, look in (("files", _listed), ("signature", _signed), ("content", _content)):
        try:
            look(members, key, approvers, found)
        except STRANGE as error:
            said = str(error) if isinstance(error, WatchdogError) else f"{type(error).__name__}: {error}"
            found.checks.append(Checked(place, "", f"cannot be understood: {said}"[:2000]))
        if not found.consistent:
            break  # somebody changed it: what it says besides is no evidence of anything
    found.checks[:] = [_by_version(check, found.about.get("engine")) for check in found.checks]
    return found


CONCLUDED = frozenset(
    {"rule", "measurements", "verdicts", "slots", "breaches", "slices", "phases", "sign-off", "report"}
)
"""Checks that conclude again what the engine concluded, and so may differ between versions of it."""


def _by_version(check: Checked, engine: object) -> Checked:
    """A difference that another version of this program may have made says so."""
    if check.ok or engine == __version__ or check.name not in CONCLUDED:
        return check
    told = f"{check.difference} (the bundle is of version {str(engine)[:40]} and this is {__version__}, which may "
    return replace(check, difference=f"{told}judge or word it differently: verify it with that version)")


def _listed(members: Mapping[str, bytes], _: PublicKey | None, __: Approvers, found: Verified) -> None:
    listed = _files(members, found.checks)
    found.about = {name: value for name, value in listed.items() if name != "files"}


def _signed(members: Mapping[str, bytes], key: PublicKey | None, approvers: Approvers, found: Verified) -> None:
    signatures.signature(members, key, found)
    signatures.countersignatures(members, approvers, found)


def _content(members: Mapping[str, bytes], _: PublicKey | None, approvers: Approvers, found: Verified) -> None:
    rows = _rows(members)
    _chains(rows, found.about, found.checks)
    if not found.consistent:
        return
    signatures.in_ledger(rows, approvers, found)
    _recomputed(members, found.about, rows, found.checks)


def _files(members: Mapping[str, bytes], checks: list[Checked]) -> Json:
    for name in (statement.MANIFEST_FILE, statement.STATEMENT_FILE):
        if name not in members:
            raise Damaged(f"the archive has no {name}")
    text = members[statement.MANIFEST_FILE]
    listed = columns.parse(statement.MANIFEST_FILE, text)
    if listed.get("schema") != statement.SCHEMA:
        raise Damaged(f"manifest.json has the schema {listed.get('schema')!r}; this program knows {statement.SCHEMA}")
    if statement.text(listed) != text:
        raise Damaged("manifest.json is not written as manifests are")
    checks.append(Checked("files", f"{len(listed['files'])} files with their sha256", _digests(members, listed)))
    said = members[statement.STATEMENT_FILE]
    fits = said == statement.text(statement.statement(listed, text))
    checks.append(Checked("statement", "names every file", "" if fits else "is not about the files of this bundle"))
    return listed


def _digests(members: Mapping[str, bytes], listed: Json) -> str:
    there = {n for n in members if n not in statement.NOT_LISTED and not n.startswith(statement.COUNTERSIGNATURES)}
    for name in sorted({*there, *listed["files"]}):
        if name not in listed["files"]:
            return f"{name} is in the archive, and the manifest does not list it"
        if name not in members:
            return f"the manifest lists {name}, and the archive does not have it"
        wanted, data = listed["files"][name], members[name]
        if len(data) != wanted["size"] or statement.sha256(data) != wanted["sha256"]:
            return f"{name} does not have the sha256 that the manifest lists: it was changed"
    return ""


def _rows(members: Mapping[str, bytes]) -> Rows:
    inflater = Inflater()
    few: dict[str, list[Json]] = {}
    measured: dict[str, dict[str, list[Any]]] = {}
    for name in sorted(name for name in members if name.startswith(bundle.ROWS)):
        table = name.removeprefix(bundle.ROWS).removesuffix(bundle.SUFFIX)
        found = columns.decode(name, table, inflater.inflate(name, members[name]))
        if table in MEASURED:
            measured[table] = found
        else:
            few[table] = columns.rows_of(found)
    return Rows(few, measured)


def _chains(rows: Rows, listed: Json, checks: list[Checked]) -> None:
    covered, difference = seals(rows, listed.get("chain"))
    checks.append(Checked("ledger chain", f"{covered:,} seals, the newest {str(listed.get('chain'))[:16]}", difference))
    count, difference = flag_changes(rows, LINKS)
    checks.append(Checked("flag changes", f"{count} changes, each follows the one before it", difference))


def _recomputed(members: Mapping[str, bytes], listed: Json, rows: Rows, checks: list[Checked]) -> None:
    beside = bundle.beside_of(members["attached.json"])
    number = _rollout_number(rows)
    with attached(number, rows) as own:
        case = open_case(own, listed["rollout"], rows)
        _run("rule", "the resolved rule is that of its text", phases.rule(case), checks)
        measured = sum(len(one) for one in own.every.values())
        _run("measurements", f"{measured:,} rows, no instant of the watch lacks one", recompute.complete(case), checks)
        if not checks[-1].ok:
            return  # what is folded must be whole
        _run("verdicts", f"{len(own.every['evaluations']):,} judged again", recompute.verdicts(case), checks)
        fold(case)
        _run(
            "slots", f"{len(own.evaluations(number, None, 0, case.last)):,} folded again", recompute.slots(case), checks
        )
        _run("breaches", f"{len(case.opened)} found again by the detectors", recompute.breaches(case), checks)
        _run("slices", f"{len(case.slices)} made again", recompute.hours(case), checks)
        _run("phases", f"{case.stored.phase.value}, by what was measured and ordered", phases.phases(case), checks)
        _run("sign-off", "as the measurements of that time complete it", _signed_off(case, rows), checks)
        _run("report", "built again to the byte", _report(case, members, listed, beside, rows), checks)


def _run(name: str, found: str, differences: Iterator[str], checks: list[Checked]) -> None:
    try:
        first = next(differences, "")
    except STRANGE as error:
        first = f"cannot be understood: {error if isinstance(error, WatchdogError) else repr(error)}"[:2000]
    checks.append(Checked(name, found, first))


def _rollout_number(rows: Rows) -> int:
    told = rows.of("rollouts")
    if len(told) != 1 or type(told[0].get("id")) is not int:
        raise Damaged("the rows are not those of one rollout")
    return int(told[0]["id"])


_FOLDED = ("rollouts", "heads", "objectives", "exposures", "transitions")
"""The tables that a fold reads."""


def _signed_off(case: Case, rows: Rows) -> Iterator[str]:
    """Each sign-off by the measurements that were on record when it was decided, should they have been corrected."""
    for kind, at, seal in phases.sign_offs(case):
        if seal is None or not any(number > seal for number in case.corrected):
            yield from phases.completed(case, kind, at, case)
            continue
        then = rows.until(seal, _FOLDED)
        with attached(case.stored.id, then) as own:
            old = open_case(own, case.stored.name, then)
            fold(old, at)
            yield from phases.completed(case, kind, at, old)


def _report(case: Case, members: Mapping[str, bytes], listed: Json, beside: Json, rows: Rows) -> Iterator[str]:
    stored = case.stored
    if beside["as_of"] != bundle.newest(rows):
        yield "attached.json is not as of the newest row"
        return
    account, inflater = Account(case.ledger, stored), Inflater()
    report = build(bundle.evidence(account, beside))
    made: list[tuple[str, Callable[[], bytes]]] = [
        (bundle.REPORT, lambda: render_json(report).encode()),
        ("report.md", lambda: render_markdown(report).encode()),
        ("report.html", lambda: render_html(report).encode()),
        ("rule.yaml", stored.text.encode),
        ("prometheus.json", lambda: statement.text(bundle.prometheus_of(case.ledger, account, beside["prometheus"]))),
    ]
    if told := rows.of("deployments"):
        made.append(("deployment.json", str(told[-1]["body"]).encode))
    for place, one in enumerate(countersign.recorded(rows), 1):
        made.append((f"{bundle.COUNTERSIGNED}{place:03}.dsse.json", lambda one=one: one.envelope))  # type: ignore[misc]
    for name, again in made:
        if name not in members:
            yield f"there is no {name}"
            continue
        found = inflater.inflate(name, members[name]) if name.endswith(".gz") else members[name]
        if (wanted := again()) != found:
            yield f"{name} is not what the rows give: {_first_line(found, wanted)}"
    facts = bundle.facts_of(report, account, rows)
    for name, value in facts.items():
        if listed.get(name) != value:
            yield f"manifest.json says {name} {str(listed.get(name))[:200]}, the rows give {str(value)[:200]}"
    parse_time(str(listed["as_of"]))


def _first_line(found: bytes, wanted: bytes) -> str:
    pairs = zip(found.decode("utf-8", "replace").splitlines(), wanted.decode().splitlines(), strict=False)
    for number, (mine, theirs) in enumerate(pairs, 1):
        if mine != theirs:
            return f"line {number} reads {mine.strip()[:160]!r}, and should read {theirs.strip()[:160]!r}"
    return "it is longer or shorter"
