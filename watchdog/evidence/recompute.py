"""Everything that a rollout's rows conclude, concluded again by the same engine from the measurements beside them.

Each function looks at one kind of conclusion and yields what differs, in sentences, the first difference first. All
rows may be anybody's: what cannot be read as a ledger's rows raises Damaged, and nothing is sized by a row's word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import compress

from watchdog.control import Control, Timeline
from watchdog.evaluate import evaluate, sentence
from watchdog.ledger import BreachFact, StoredRollout
from watchdog.ledger.attached import MEASURED, Attached, Rows
from watchdog.model import Breach, Evaluation, Kind, Measurement, Objective, Reason, Rollout, Slice, Verdict
from watchdog.observe import Ask, asks
from watchdog.quantities import format_number, rfc3339
from watchdog.recall import Recalled, begin, newest_due, refold
from watchdog.rolloutfile import rollout_from_resolved
from watchdog.watch import Found


@dataclass(slots=True)
class Case:
    """One rollout's attached rows, read as the engine reads a ledger, and folded again."""

    ledger: Attached
    stored: StoredRollout
    rollout: Rollout
    control: Control
    opened: dict[tuple[str, int], Breach] = field(default_factory=dict)
    """The breaches that the measurements show."""
    closed: dict[tuple[str, int], int | None] = field(default_factory=dict)
    """When each of them was over, by the measurements."""
    slices: list[Slice] = field(default_factory=list)
    """The slices that the measurements give."""
    judged: dict[str, dict[int, Evaluation]] = field(default_factory=dict)
    """What each slot says by them, a blind detector taken into account."""
    seals_of_transitions: list[tuple[int, str]] = field(default_factory=list)
    """(seal, kind) of each transition, in order."""
    body_of_preflight: str = ""
    """The text of the preflight on which it started."""
    corrected: frozenset[int] = frozenset()
    """The seals with which a measurement was given another revision."""

    @property
    def last(self) -> int:
        """The newest slot on record; 0 where there is none."""
        return self.stored.last_slot if self.stored.last_slot is not None else 0


def open_case(ledger: Attached, name: str, rows: Rows) -> Case:
    """The rollout of that name, not folded yet."""
    stored = ledger.rollout(name)
    if stored is None:
        raise ValueError(f"the rows hold no rollout {name!r}")
    rollout = rollout_from_resolved(stored.resolved, stored.text, stored.name)
    control = Control.from_dict(dict(stored.control)) if stored.control else Control(phase=stored.phase)
    case = Case(ledger, stored, rollout, control)
    case.seals_of_transitions = [(row["seal"], row["kind"]) for row in rows.of("transitions")]
    number = control.proof.id if control.proof is not None else None
    case.body_of_preflight = next((str(row["body"]) for row in rows.of("preflights") if row["id"] == number), "")
    measured = (rows.measured[table] for table in MEASURED if table in rows.measured)
    case.corrected = frozenset(number for one in measured for number in compress(one["seal"], one["revision"]))
    return case


def complete(case: Case) -> Iterator[str]:
    """Whether every instant that must have been measured has its rows: nothing was left out."""
    started, last = case.control.started_at, case.last
    if started is None:
        return
    rollout, ledger = case.rollout, case.ledger
    wanted: dict[str, list[tuple[str, range]]] = {
        "evaluations": [(o.name, _grid(started, last, rollout.interval)) for o in rollout.objectives]
    }
    tables = {"step": "steps", "slice": "slice_measurements", "control": "controls"}
    for ask in _asks(rollout, started, last):
        if ask.grid in tables:
            wanted.setdefault(tables[ask.grid], []).append((ask.objective.name, ask.instants))
    for table, every in wanted.items():
        found: dict[str, list[int]] = {}
        for name, answer in getattr(ledger, table)(case.stored.id, None, 0, last):
            found.setdefault(name, []).append(answer.at)
        for name, instants in every:
            yield from _compared(table, name, found.pop(name, []), instants)
        for name in found:
            yield f"there are {table} of {name}, which measures none"
    for table in (*tables.values(), "evaluations"):
        later = [answer.at for _, answer in ledger.every[table] if not started < answer.at <= last]
        if later:
            yield f"there is a row of {table} at {rfc3339(later[0])}, outside of the watch"


def _asks(rollout: Rollout, started: int, last: int) -> list[Ask]:
    return asks(rollout, started, last) if last > started else []


def _grid(after: int, until: int, step: int) -> range:
    return range((after // step + 1) * step, until + 1, step)


def _compared(table: str, name: str, found: list[int], wanted: range) -> Iterator[str]:
    if len(found) != len(wanted):
        there = set(found)
        lost = next((at for at in wanted if at not in there), None) if len(found) < len(wanted) else None
        first = f"; the first that is missing is that of {rfc3339(lost)}" if lost is not None else ""
        yield f"{table} of {name}: {len(found)} instants, and the watch has {len(wanted)}{first}"
    elif (wrong := next((at for at, due in zip(found, wanted, strict=True) if at != due), None)) is not None:
        yield f"{table} of {name} have an instant that is not on their grid, {wrong}"


def verdicts(case: Case) -> Iterator[str]:
    """Whether each evaluation, in every revision, says what its figures say."""
    objectives = {o.name: o for o in case.rollout.objectives}
    for table in ("evaluations", "controls"):
        for name, recorded in case.ledger.every[table]:
            objective = objectives.get(name)
            if objective is None:
                yield f"{table} name an objective {name!r} that the rule does not have"
                return
            if not _follows(objective, recorded):
                said = f"{recorded.verdict.value}{f' ({recorded.reason.value})' if recorded.reason else ''}"
                where = f"{table}: {name} at {rfc3339(recorded.at)}"
                yield f"{where} is recorded as {said}: {sentence(objective, recorded)}"


def _follows(objective: Objective, recorded: Evaluation) -> bool:
    at, verdict, reason, value, bad, total, _, silent = recorded
    if (reason is None) == (verdict is Verdict.UNKNOWN):
        return False
    if verdict is Verdict.UNKNOWN and reason is not Reason.LOW_TRAFFIC:
        return True  # nothing was measured, or its detector was blind: the fold tells
    if objective.kind is Kind.INTERNAL:
        good = value is not None and objective.target.met_by(value)
        return verdict is (Verdict.PASS if good else Verdict.FAIL)
    if reason is not None and total is None:
        return objective.uses_cohort  # nobody was in it
    found = evaluate(objective, Measurement(at, value, bad, total, None, "", silent))
    return found[1:6] == recorded[1:6]


def fold(case: Case, until: int | None = None) -> None:
    """Fold all measurements from the start, as the engine does after a restart without a checkpoint."""
    if case.control.started_at is None:
        return
    timeline = Timeline()
    for fact in case.ledger.exposures(case.stored.id):
        timeline.add(int(fact.at), fact.kind, fact.exposure)
    watch = begin(case.rollout, case.control)
    watch.at = case.last if until is None else until
    memory = Recalled(case.stored, case.rollout, case.control, timeline, watch)
    for found in refold(case.ledger, memory, case.control.started_at + 1, {}):
        _take(case, found)


def _take(case: Case, found: Found) -> None:
    for name, evaluation in found.evaluations.items():
        case.judged.setdefault(name, {})[found.at] = evaluation
    for breach in found.opened:
        case.opened[breach.objective, breach.at] = breach
    for breach in found.closed:
        case.closed[breach.objective, breach.at] = breach.closed_at
    if found.closed_slice is not None:
        case.slices.append(found.closed_slice)


def slots(case: Case) -> Iterator[str]:
    """Whether each slot's newest verdict is that of the fold, blindness of detectors included."""
    for name, recorded in case.ledger.evaluations(case.stored.id, None, 0, case.last):
        found = case.judged.get(name, {}).get(recorded.at)
        if found is None or found[1:6] != recorded[1:6]:
            objective = case.rollout.objective(name)
            said = "nothing" if found is None else f"{found.verdict.value}: {sentence(objective, found)}"
            where = f"{name} at {rfc3339(recorded.at)}"
            yield f"{where} is recorded as {recorded.verdict.value}, and its measurements say {said}"


def breaches(case: Case) -> Iterator[str]:
    """Whether the breaches on record are those that the detector steps show, with the same statistic and end."""
    recorded = {(fact.breach.objective, fact.breach.at): fact for fact in case.ledger.breaches(case.stored.id)}
    resumes = {newest_due(case.rollout, t.at) for t in case.ledger.transitions(case.stored.id) if t.kind == "resume"}
    for key in sorted({*recorded, *case.opened}, key=lambda key: (key[1], key[0])):
        found, fact = case.opened.get(key), recorded.get(key)
        where = f"{key[0]} at {rfc3339(key[1])}"
        if fact is None:
            yield f"the detector steps show a breach of {where}, and none is on record"
        elif found is None:
            if not fact.unconfirmed:
                yield f"a breach of {where} is on record, and the detector steps show none"
        elif replace(fact.breach, closed_at=None) != replace(found, closed_at=None):
            yield f"the breach of {where} {_different(fact.breach, found)}"
        elif not _ended(case, fact, resumes):
            ends = [
                rfc3339(at) if at is not None else "not yet" for at in (fact.breach.closed_at, case.closed.get(key))
            ]
            yield f"the breach of {where} is recorded as over at {ends[0]}, by the measurements {ends[1]}"


def _different(recorded: Breach, found: Breach) -> str:
    if recorded.statistic != found.statistic:
        figures = [format_number(one.statistic) for one in (recorded, found)]
        return f"has a statistic of {figures[0]} on record, and its steps give {figures[1]}"
    return f"is recorded as {recorded.why!r}, and its steps say {found.why!r}"


def _ended(case: Case, fact: BreachFact, resumes: set[int]) -> bool:
    closed, found = fact.breach.closed_at, case.closed.get((fact.breach.objective, fact.breach.at))
    return closed == found or (closed in resumes and closed is not None)


def hours(case: Case) -> Iterator[str]:
    """Whether the slices on record are those that the measurements give."""
    recorded = {item.end: item for item in case.ledger.slices(case.stored.id)}
    found = {item.end: item for item in case.slices}
    for end in sorted({*recorded, *found}):
        mine, theirs = found.get(end), recorded.get(end)
        if theirs is None or mine is None:
            yield f"the slice that ends at {rfc3339(end)} is {'not on record' if theirs is None else 'not measured'}"
        elif replace(mine, final=theirs.final) != theirs:
            yield f"the slice that ends at {rfc3339(end)} {_slice_differs(theirs, mine)}"


def _slice_differs(recorded: Slice, found: Slice) -> str:
    if recorded.verdict is not found.verdict:
        return f"is recorded as {recorded.verdict.value}, and its measurements say {found.verdict.value} ({found.why})"
    for mine, theirs in zip(found.objectives, recorded.objectives, strict=False):
        if mine != theirs:
            return f"has {theirs.objective} as {theirs.verdict.value} ({theirs.why}), measured {mine.why}"
    for name in ("exposure", "unmeasured", "breaches", "why"):
        if getattr(recorded, name) != getattr(found, name):
            return f"has another {name} on record than its measurements give"
    return "is not what its measurements give"
