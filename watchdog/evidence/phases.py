"""The rule and the phases of an attached rollout: whether what was decided follows from what was measured and ordered.

Decisions also rest on readings of the flag and on the instants of ticks, which are on record only where they changed
something. What must hold whatever those were is checked here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from watchdog.config.flagsettings import ABILITIES
from watchdog.decide.emergency import SHUTDOWN
from watchdog.errors import ConfigError
from watchdog.evidence.recompute import Case
from watchdog.model import OnBreach, Phase, Rollout, Transition, Verdict
from watchdog.quantities import rfc3339
from watchdog.recall import begin
from watchdog.rolloutfile import DaemonFacts, parse_rollout

ALLOWED: dict[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.RAMPING, Phase.SOAKING, Phase.STOPPED, Phase.ROLLING_BACK, Phase.ROLLED_BACK}),
    Phase.RAMPING: frozenset({Phase.SOAKING, Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.STOPPED}),
    Phase.SOAKING: frozenset({Phase.SIGNED_OFF, Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.STOPPED}),
    Phase.ROLLING_BACK: frozenset({Phase.ROLLED_BACK}),
    Phase.ROLLED_BACK: frozenset({Phase.ROLLING_BACK}),
    Phase.SIGNED_OFF: frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK}),
    Phase.STOPPED: frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK}),
}
"""Where a rollout goes from each phase; an operator's rollback is accepted in all."""
EXPOSED = frozenset({Phase.RAMPING, Phase.SOAKING})
BY_ITSELF = "watchdog"
"""Who did what the watchdog did."""


def rule(case: Case) -> Iterator[str]:
    """Whether the rule that was judged by is the one that the rollout's text writes down."""
    stored, rollout = case.stored, case.rollout
    if hashlib.sha256(stored.text.encode()).hexdigest() != stored.sha256:
        yield f"the rule's text does not have the sha256 {stored.sha256} that it is recorded with"
        return
    for name in ("name", "service", "version", "flag", "mode"):
        said, ruled = getattr(stored, name), getattr(rollout, name)
        if said != ruled:
            yield f"the rollout is recorded with the {name} {said}, and its rule says {ruled}"
    problem: object = None
    for step in sorted({finest for finest, _, _ in ABILITIES.values()}):  # which flag service it was is not on record
        try:
            again = parse_rollout(stored.text, stored.name, _facts(rollout, step))
        except ConfigError as error:
            problem = error.problems[0]
        else:
            problem = None
            if replace(again, resolved=stored.resolved) == rollout:
                return
    if problem is not None:
        yield f"the rule's text is no rule of this version: {problem}"
    else:
        yield "the resolved rule, with every default, is not the one that the rule's text gives"


def _facts(rollout: Rollout, smallest_step: float) -> DaemonFacts:
    """The daemon's settings that shaped the rule, as the resolved rule holds them."""
    return DaemonFacts(
        scrape_interval=rollout.scrape_interval,
        tick_deadline=rollout.tick_deadline,
        write_timeout=rollout.write_timeout,
        propagation=rollout.propagation,
        audiences=frozenset(name for step in rollout.ramp.steps for name in step.exposure.audiences),
        smallest_step=smallest_step,
        services=frozenset(one.service for one in rollout.also),
        noise=next((o.noise for o in rollout.objectives if o.noise is not None), None),
    )


def phases(case: Case) -> Iterator[str]:
    """Whether the phases follow each other, and each from what was measured or ordered before."""
    told = case.ledger.transitions(case.stored.id)
    phase = Phase.PENDING
    for one in told:
        if one.source is not phase:
            yield f"at {rfc3339(one.at)} the rollout leaves {one.source.value}, and it was {phase.value}"
            return
        if one.target is not one.source and one.target not in ALLOWED[one.source]:
            yield f"at {rfc3339(one.at)} it goes from {one.source.value} to {one.target.value}, which no rollout does"
            return
        phase = one.target
    if phase is not case.stored.phase or phase is not case.control.phase:
        yield f"its history ends as {phase.value}, and it is recorded as {case.stored.phase.value}"
        return
    if (case.control.started_at is None) is not (case.stored.started_at is None):
        yield "it is recorded as started, and its control state is not, or the reverse"
        return
    yield from _preflight(case)
    yield from _signed_off(case, told)
    yield from _taken_back(case, told)
    yield from _ordered(case, told)
    yield from _let_go(case, told)
    yield from _raised(case)


def sign_offs(case: Case) -> Iterator[tuple[str, int, int]]:
    """(kind, end of its window, seal) of each sign-off on record."""
    seals = case.seals_of_transitions
    for kind, at in (("interim", case.control.interim_at), ("signed_off", case.control.final_at)):
        seal = next((seal for seal, found in seals if found == kind), None)
        if at is not None and seal is not None:
            yield kind, at, seal


def completed(case: Case, kind: str, at: int, then: Case) -> Iterator[str]:
    """Whether the measurements that were on record at the sign-off complete its window; `then` is folded of those."""
    watch = begin(case.rollout, case.control)
    watch.slices = list(then.slices)
    known = [(breach, False) for breach in then.opened.values()]
    watch.load_slices([item for item in then.slices if item.end <= at], [one for one in known if one[0].at <= at])
    window = (watch.windows.interim if kind == "interim" else watch.windows.final).window
    found = window.completed_at
    if found is None or found > at:
        shown = "do not complete that window" if found is None else f"complete that window only at {rfc3339(found)}"
        said = f"it is {kind.replace('_', ' ')} by {window.required} good slices up to {rfc3339(at)}"
        yield f"{said}, and the measurements of that time {shown}"


def _preflight(case: Case) -> Iterator[str]:
    """The preflight on which it started says what it said then."""
    proof = case.control.proof
    made = case.ledger.preflight(proof.id) if proof is not None else None
    if proof is None:
        return
    if made is None:
        yield f"it started on the preflight {proof.id}, which is not on record"
    elif not made.sha256 == proof.sha256 == hashlib.sha256(case.body_of_preflight.encode()).hexdigest():
        yield f"the preflight {proof.id} is not the one on which it started: its sha256 differs"


def _signed_off(case: Case, told: Sequence[Transition]) -> Iterator[str]:
    for kind, at in (("interim", case.control.interim_at), ("signed_off", case.control.final_at)):
        known = next((t for t in told if t.kind == kind), None)
        name = kind.replace("_", " ")
        if (known is None) is not (at is None):
            yield f"its history and its control state do not agree on the {name}"
        elif known is not None and at is not None and known.at < at:
            yield f"it is {name} at {rfc3339(known.at)}, before its window ended at {rfc3339(at)}"


def _taken_back(case: Case, told: Sequence[Transition]) -> Iterator[str]:
    """A rollback by the watchdog has its breach; a rollback that is on record has its transition."""
    known = {(f.breach.objective, f.breach.at) for f in case.ledger.breaches(case.stored.id)}
    cause, rollback = case.control.cause, case.control.rollback
    if cause is not None and cause not in known:
        yield f"it was taken back for a breach of {cause[0]} at {rfc3339(cause[1])}, which is not on record"
    back = [one for one in told if one.target is Phase.ROLLING_BACK and one.source is not Phase.ROLLING_BACK]
    if bool(back) is not (rollback is not None):
        yield "its history and its control state do not agree on a rollback"
    takes_back = {o.name for o in case.rollout.objectives if o.on_breach is OnBreach.ROLLBACK}
    for one in back:
        if one.objective is not None and one.objective not in takes_back:
            yield f"a breach of {one.objective} took it back, which by its rule takes nothing back"


def _ordered(case: Case, told: Sequence[Transition]) -> Iterator[str]:
    """What people did to it they ordered: their command is on record."""
    ordered = {(command.verb, command.by) for command, _ in case.ledger.commands(case.stored.id)}
    for one in told:
        verbs = _verbs(one)
        if verbs and not any((verb, one.by) in ordered for verb in verbs):
            who = f"{one.by!r}, who is said to have done it, has"
            yield f"at {rfc3339(one.at)} there is a {one.kind}, and {who} no such command on record"


def _verbs(one: Transition) -> Sequence[str]:
    """The commands of which one made this transition; none where the watchdog or an emergency flag did."""
    match one.kind:
        case "start" if one.by != BY_ITSELF:
            return "start", "adopt"
        case "hold" if one.why.startswith("held (operator) "):
            return ("hold",)
        case "rollback" if one.objective is None and not one.why.startswith(f"rolled back by {SHUTDOWN}: "):
            return ("rollback",)
        case "resume" | "stop":
            return (one.kind,)
    return ()


def _let_go(case: Case, told: Sequence[Transition]) -> Iterator[str]:
    """A breach that takes back was acted upon: by a rollback, or by a hold where nobody was exposed."""
    for fact in case.ledger.breaches(case.stored.id):
        objective = case.rollout.objective(fact.breach.objective)
        if objective.on_breach is not OnBreach.ROLLBACK or fact.detected_at is None:
            continue
        noted = next(
            (t for t in told if t.kind == "breach" and t.objective == objective.name and t.at == fact.detected_at), None
        )
        if noted is None or noted.source not in EXPOSED:
            continue
        answered = any(t.at >= noted.at and (t.kind == "hold" or t.target is Phase.ROLLING_BACK) for t in told)
        held = case.control.hold is not None or any(t.kind == "hold" and t.at <= noted.at for t in told)
        if not answered and not held:
            yield f"the breach of {objective.name} at {rfc3339(fact.breach.at)} had no consequence"


def _raised(case: Case) -> Iterator[str]:
    """Exposure rose only at slots in which no objective that gates had failed."""
    gates = [o for o in case.rollout.objectives if o.gates]
    before = 100.0
    for fact in case.ledger.exposures(case.stored.id):
        rose, before = fact.exposure.percent > before, fact.exposure.percent
        for objective in gates if rose and fact.kind == "desired" else ():
            found = case.judged.get(objective.name, {}).get(int(fact.at))
            if found is not None and found.verdict is Verdict.FAIL:
                yield f"exposure rose to {fact.exposure} at {rfc3339(fact.at)}, a slot in which {objective.name} failed"
