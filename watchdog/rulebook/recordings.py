"""Recording rules: thresholds, and of each objective its events and its shares of bad ones in every range."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from decimal import Decimal

from watchdog.quantities import format_duration
from watchdog.rulebook import names
from watchdog.rulebook.model import Budget, Burn, Group, Indicator, Rule, Sources
from watchdog.rulebook.promql import as_rate, everywhere, filled, number, over, span

OBJECTIVE, BUDGET, LATENCY, LIMIT = (
    "slo:objective:ratio",
    "slo:error_budget:ratio",
    "slo:latency:seconds",
    "slo:objective:value",
)
BURN_LIMIT, MIN_BAD = "slo:burn_limit:ratio", "slo:burn_min_bad:count"
BURN_RATE, REMAINING = "slo:current_burn_rate:ratio", "slo:period_error_budget_remaining:ratio"
FAST_EVERY, SLOW_EVERY, DAYS_EVERY = 60, 120, 240
"""Seconds between evaluations. Two minutes survive one missed evaluation before a series is older than Prometheus
looks back. Ranges of days, and what is only looked at, do not: what is alerted of them goes on firing over a hole."""
LONGEST_RECORDED = 7 * 86400
"""Seconds of the longest period whose whole budget is recorded: most servers keep little more."""


def burns(indicator: Indicator, sources: Sources) -> Iterator[tuple[Budget, Burn]]:
    """The burns that can ever happen: with a factor over 1 / budget even a dead service could not."""
    for budget in sources.windows.budgets:
        for burn in budget.burns:
            if budget.factor(burn) * indicator.limit < 1:
                yield budget, burn


def impossible(indicator: Indicator, sources: Sources) -> Iterator[tuple[Budget, Burn]]:
    """The burns that `burns` leaves out."""
    possible = list(burns(indicator, sources))
    return (
        (budget, burn) for budget in sources.windows.budgets for burn in budget.burns if (budget, burn) not in possible
    )


def burn_labels(indicator: Indicator, budget: Budget, burn: Burn) -> dict[str, str]:
    """What tells one burn limit from all others."""
    return {
        "objective": indicator.name,
        "budget": span(budget.period),
        "long": span(burn.long),
        "short": span(burn.short),
        "severity": burn.severity,
    }


def constants(sources: Sources) -> Group:
    """Every number that alerts and dashboards refer to, recorded once."""
    rules = []
    for indicator in sources.indicators:
        labels = {"objective": indicator.name}
        if not indicator.counts:
            rules.append(_constant(LIMIT, indicator.limit, labels))
            continue
        rules.append(_constant(OBJECTIVE, indicator.target, labels))
        rules.append(_constant(BUDGET, indicator.limit, labels))
        if indicator.latency is not None:
            rules.append(_constant(LATENCY, indicator.latency, labels))
        for budget, burn in burns(indicator, sources):
            limit = budget.factor(burn) * indicator.limit
            rules.append(_constant(BURN_LIMIT, limit, burn_labels(indicator, budget, burn)))
    rules += [_constant(LIMIT, limit.limit, {"objective": limit.name}) for limit in sources.limits]
    rules.append(_constant(MIN_BAD, sources.windows.min_bad, {}))
    for threshold in sources.thresholds:
        faster = sources.windows.faster if threshold.is_time else 1
        rules.append(_constant(threshold.record, threshold.number / faster, {}))
    return Group("thresholds", FAST_EVERY, tuple(rules))


def _constant(record: str, value: Decimal, labels: dict[str, str]) -> Rule:
    return Rule(record=record, expr=f"vector({number(value)})", labels=labels)


def recordings(indicator: Indicator, sources: Sources) -> list[Group]:
    """The groups of one objective: what pages at once, every five minutes, and of long ranges; what is looked at."""
    if not indicator.counts:
        rule = Rule(record=names.value(indicator), expr=over(indicator.value, names.BASE), labels=indicator.labels)
        return [Group(f"{indicator.name} value", FAST_EVERY, (rule,))]
    found = [burn for _, burn in burns(indicator, sources)]
    periods = {budget.period for budget in sources.windows.budgets if budget.period <= LONGEST_RECORDED}
    counted = {burn.long for burn in found} | {seconds for seconds in periods if seconds > names.FAST}
    counted |= {burn.short for burn in found if names.of_days(burn.short)}
    if any(names.of_days(seconds) for seconds in counted):
        counted.add(names.DAY)
    ranges = sorted({names.BASE, *counted, *(burn.short for burn in found)})
    now = [seconds for seconds in ranges if seconds in _paging(found)]
    hours = [seconds for seconds in ranges if seconds < names.DAY and seconds not in now]
    days = [seconds for seconds in ranges if seconds >= names.DAY]
    remaining = [_remaining(indicator, period) for period in sorted(periods)]
    groups = [
        Group(f"{indicator.name} now", FAST_EVERY, (*_base(indicator), *_ranges(indicator, now, counted))),
        Group(f"{indicator.name} five minutes", names.BASE, tuple(_blocks(indicator))),
        Group(f"{indicator.name} hours", SLOW_EVERY, (*_ranges(indicator, hours, counted), _burn_rate(indicator))),
        Group(
            f"{indicator.name} days",
            DAYS_EVERY,
            (_total_of_a_day(indicator), *_ranges(indicator, days, counted), *remaining),
        ),
        Group(f"{indicator.name} shown", DAYS_EVERY, tuple(_shown(indicator))),
    ]
    return [group for group in groups if group.rules]


def _paging(found: Iterable[Burn]) -> set[int]:
    """The ranges that somebody is paged for within minutes, and the base of all others.

    A page for a long range comes no sooner than that range is evaluated, so its short one may wait, too.
    """
    pages = [burn for burn in found if burn.severity == "critical" and burn.long <= names.FAST]
    return {names.BASE, *(seconds for burn in pages for seconds in (burn.long, burn.short))}


def _ranges(indicator: Indicator, ranges: Sequence[int], counted: Container[int]) -> Iterator[Rule]:
    for seconds in ranges:
        if seconds in counted:
            record = names.counted(indicator, seconds)
            yield Rule(record=record, expr=names.count_in(indicator, seconds, counted))
        yield _share(indicator, seconds, counted)


def _total_of_a_day(indicator: Indicator) -> Rule:
    """Longer ranges are made of it, and while it is there, data was within a day."""
    return Rule(
        record=names.counted(indicator, names.DAY, bad=False),
        expr=names.count_in(indicator, names.DAY, (), bad=False),
    )


def _base(indicator: Indicator) -> Iterator[Rule]:
    total, bad = (
        over(as_rate(query)[0] if names.per_second(indicator) else query, names.BASE)
        for query in (indicator.total, indicator.bad)
    )
    recorded = names.events(indicator, bad=False)
    yield Rule(record=recorded, expr=total, labels=indicator.labels)
    # Nothing bad ever seen is no series at all, and would look like no data.
    filled_in = everywhere(bad, total)
    if indicator.by:
        bad = bad.replace(total, recorded)  # just recorded at the same instant: it need not be counted twice
    none = f"0 * {recorded}" if indicator.by else f"0 * ({total})"
    expr = bad if filled_in else f"({bad})\nor {none}"
    yield Rule(record=names.events(indicator, bad=True), expr=expr, labels=indicator.labels)


def _blocks(indicator: Indicator) -> Iterator[Rule]:
    for bad in (False, True):
        recorded = names.events(indicator, bad=bad)
        expr = f"{names.BASE} * {recorded}" if names.per_second(indicator) else recorded
        yield Rule(record=names.block(indicator, bad=bad), expr=expr)


def _share(indicator: Indicator, seconds: int, counted: Container[int]) -> Rule:
    if seconds > names.BASE:
        return Rule(record=names.ratio(indicator, seconds), expr=names.share_in(indicator, seconds, counted))
    bad, total = (names.events(indicator, bad=which) for which in (True, False))
    return Rule(record=names.ratio(indicator, seconds), expr=f"{bad}\n/ ({total} > 0)")


def _of_budget(indicator: Indicator, seconds: int) -> str:
    budget = f'{BUDGET}{{objective="{indicator.name}"}}'
    return f"{names.ratio(indicator, seconds)}\n/ scalar({budget})"


def _burn_rate(indicator: Indicator) -> Rule:
    return Rule(record=BURN_RATE, expr=_of_budget(indicator, names.BASE), labels={"objective": indicator.name})


def _remaining(indicator: Indicator, period: int) -> Rule:
    labels = {"objective": indicator.name, "budget": span(period)}
    return Rule(record=REMAINING, expr=f"1 - {_of_budget(indicator, period)}", labels=labels)


def _shown(indicator: Indicator) -> Iterator[Rule]:
    values = {
        "by": ", ".join(indicator.by),
        "ratio": names.ratio(indicator, names.BASE),
        "target": number(indicator.target),
        "percent": number(indicator.target * 100).replace(".", "_"),
        "latency": format_duration(float(indicator.latency)) if indicator.latency is not None else "",
    }
    for shown in indicator.shown:
        record = f"{names.level(indicator)}:{filled(shown.record, values)}"
        yield Rule(record=record, expr=filled(shown.expr, values), labels=indicator.labels)
