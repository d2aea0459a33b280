"""One rollout in plain words: what was measured, what the watchdog did, and what a person must do (often: nothing)."""

from __future__ import annotations

from watchdog.account import Account
from watchdog.contributors import in_words
from watchdog.detectors import detector_states
from watchdog.evaluate import describe_target, sentence
from watchdog.messages.links import graph
from watchdog.model import Evaluation, Kind, Objective, Phase
from watchdog.quantities import format_duration, format_number, format_share, rfc3339
from watchdog.queries import expressions

TREND = 3600
"""Seconds over which a trend is told."""


def explain(account: Account, prometheus_url: str, at: float | None) -> str:
    """The explanation as text. `at` is a wall time, None for the newest slot. Raises LedgerError."""
    stored, rollout = account.stored, account.rollout
    last = stored.last_slot if stored.last_slot is not None else account.control.started_at or 0
    slot = min(int(at) // rollout.interval * rollout.interval, last) if at is not None else last
    lines = [f"{rollout.name} ({rollout.service} {rollout.version}) at {rfc3339(slot)}", ""]
    columns: dict[str, list[Evaluation]] = {o.name: [] for o in rollout.objectives}
    for name, evaluation in account.ledger.evaluations(stored.id, None, slot - TREND, slot):
        columns[name].append(evaluation)
    states = {one.objective: one for one in (detector_states(account.ledger, rollout.name) if slot == last else [])}
    for objective in rollout.objectives:
        lines += _objective(account, objective, columns[objective.name], slot, prometheus_url)
        if objective.name in states:
            state = states[objective.name]
            lines.append(f"  detector: {state.detector}, {state.standing}: {state.words}")
        lines.append("")
    lines += _causes(account)
    lines += ["What the watchdog did:"]
    told = [t for t in account.ledger.transitions(stored.id) if at is None or t.at <= at]
    lines += [f"  {rfc3339(t.at)} {t.why}" for t in told[-8:]] or ["  nothing yet"]
    lines += ["", "What you need to do:", f"  {to_do(account)}"]
    return "\n".join(lines)


def _causes(account: Account) -> list[str]:
    """What is known of the causes of the newest breaches; nothing where nothing is."""
    stored = account.stored.id
    if not account.breaches:
        return []
    compared = {(one.objective, one.breach_at): one.why for one in account.ledger.attributions(stored)}
    asked = {(one.objective, one.breach_at): in_words(one) for one in account.ledger.contributors(stored)}
    lines = []
    for name, at in sorted({**compared, **asked}, key=lambda key: -key[1])[:3]:
        said = (compared.get((name, at)), asked.get((name, at)))
        lines.append(f"  {rfc3339(at)} {name}: {'; most of it: '.join(one for one in said if one)}")
    return ["What is known of the causes:", *lines, ""] if lines else []


def _objective(
    account: Account, objective: Objective, column: list[Evaluation], slot: int, prometheus_url: str
) -> list[str]:
    newest = column[-1] if column and column[-1].at == slot else None
    verdict = newest.verdict.value.upper() if newest is not None else "NOT JUDGED"
    lines = [f"{objective.name}: {verdict}"]
    lines.append(f"  found:  {sentence(objective, newest) if newest is not None else 'no evaluation at that time'}")
    lines.append(f"  target: {describe_target(objective)}; a breach: {objective.on_breach.value}")
    if len(column) > 1:
        lines.append(f"  trend:  {_trend(objective, column)}")
    for role, query in expressions(account.rollout, objective, objective.range).items():
        lines.append(f"  {role + ':':<7} {query}")
        if role != "fresh":
            lines.append(f"          {graph(prometheus_url, query, slot)}")
    return lines


def _trend(objective: Objective, column: list[Evaluation]) -> str:
    numbers = [number for number in map(_number, column) if number is not None]
    if len(numbers) < 2:
        return f"{len(column)} slots, too few with a number"
    half = len(numbers) // 2
    before, after = sum(numbers[:half]) / half, sum(numbers[half:]) / (len(numbers) - half)
    show = format_share if objective.kind is Kind.EVENT else format_number
    failed = sum(1 for e in column if e.verdict.value == "fail")
    span = format_duration(column[-1].at - column[0].at)
    return f"mean {show(before)} then {show(after)} over {span}; {failed} of {len(column)} slots failed"


def _number(evaluation: Evaluation) -> float | None:
    if evaluation.bad is not None and evaluation.total:
        return evaluation.bad / evaluation.total
    return evaluation.value


def to_do(account: Account) -> str:
    """What a person must do now, in a sentence that begins with `nothing` where that is nothing."""
    control = account.control
    if control.hold is not None:
        return f"it is held ({control.hold.why}): look, then `slo-watchdog resume {account.rollout.name} --reason ...`"
    if control.phase is Phase.ROLLING_BACK:
        return f"flag {account.rollout.flag} is not confirmed off: turn it off by hand if this lasts a minute"
    if control.phase is Phase.ROLLED_BACK:
        return "nothing at once: the flag is off. Find the cause, then start a new rollout under a new name"
    if control.phase is Phase.PENDING:
        return "; ".join(control.waiting) or f"start it: `slo-watchdog start {account.stored.file}`"
    if control.waiting:
        return f"nothing: it waits by itself for: {'; '.join(control.waiting)}"
    return "nothing"
