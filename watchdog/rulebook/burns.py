"""The alerts of objectives: a budget that burns, data that ended, a value beyond its limit."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

from watchdog.quantities import format_duration, format_number, format_share
from watchdog.rulebook import names
from watchdog.rulebook.model import Budget, Burn, Group, Indicator, Rule, Sources
from watchdog.rulebook.pack import DASHBOARD
from watchdog.rulebook.promql import span
from watchdog.rulebook.recordings import (
    BURN_LIMIT,
    DAYS_EVERY,
    FAST_EVERY,
    LIMIT,
    MIN_BAD,
    burn_labels,
    burns,
)

AREA = "service"
_BEYOND = {"below": ">=", "at_most": ">", "above": "<=", "at_least": "<"}
_VALUE_FOR = "10m"
KEPT_FOR = "10m"
"""How long what reads ranges of days goes on firing, or holds on to its past: over a missed evaluation of those, or a
restart of Prometheus."""


def budget_alerts(sources: Sources) -> list[Group]:
    """The groups of alerts of all objectives: what pages, evaluated often, and the rest."""
    groups = {True: list[Rule](), False: list[Rule]()}
    for indicator in sources.indicators:
        if not indicator.counts:
            groups[True].append(_beyond(indicator))
            groups[True].append(_absent(indicator, sources))
            continue
        found = list(burns(indicator, sources))
        for budget in sources.windows.budgets:
            for severity in ("critical", "warning", "info"):
                pairs = [burn for whose, burn in found if whose is budget and burn.severity == severity]
                if pairs:
                    groups[severity == "critical"].append(_burning(indicator, budget, pairs))
        groups[False].append(_absent(indicator, sources))
    named = {True: ("budgets that page", FAST_EVERY), False: ("budgets", DAYS_EVERY)}
    return [Group(*named[fast], tuple(rules)) for fast, rules in groups.items() if rules]


def _burning(indicator: Indicator, budget: Budget, pairs: list[Burn]) -> Rule:
    period = span(budget.period)
    fastest = min(pairs, key=lambda burn: burn.long)
    said = " or ".join(
        f"{format_share(float(burn.budget))} within {format_duration(burn.long)}"
        f" ({format_number(float(budget.factor(burn)))} times the allowed pace)"
        for burn in pairs
    )
    ratio = names.ratio(indicator, fastest.short)
    return Rule(
        alert=f"{indicator.alert}BudgetBurn",
        expr="\nor\n".join(f"(\n{_indent(_pair(indicator, budget, burn))}\n)" for burn in pairs),
        keep="" if fastest.severity == "critical" else KEPT_FOR,
        labels=_labels(indicator, fastest.severity) | {"budget": period},
        annotations=_annotations(
            indicator,
            f"The error budget of {indicator.name} burns too fast.",
            f"{_who(indicator)}: {{{{ $value | humanizePercentage }}}} of what {indicator.name} counts is bad, "
            f"allowed is {format_share(float(indicator.limit))}. So much of the budget of {period} is used up: "
            f"{said}. {ratio} shows it now. First: {indicator.first}",
        ),
    )


def _pair(indicator: Indicator, budget: Budget, burn: Burn) -> str:
    labels = burn_labels(indicator, budget, burn)
    matchers = ",".join(f'{key}="{value}"' for key, value in labels.items())
    limit = f"> scalar({BURN_LIMIT}{{{matchers}}})"  # half the work of matching each series with it
    clauses = [f"{names.ratio(indicator, seconds)} {limit}" for seconds in (burn.long, burn.short)]
    clauses.append(f"{names.counted(indicator, burn.long)} >= scalar({MIN_BAD})")
    return "\nand\n".join(clauses)


def absent_after(indicator: Indicator, sources: Sources) -> int:
    """Seconds after which ended data is told: when the fastest page would come if every event were bad."""
    windows = sources.windows
    pages = [
        indicator.limit * budget.factor(burn) * burn.long
        for budget, burn in burns(indicator, sources)
        if burn.severity == "critical"
    ]
    minutes = (min(pages, default=Decimal(0)) / 60).to_integral_value(ROUND_CEILING)
    return max(int(minutes) * 60, windows.absent_at_least)


def _absent(indicator: Indicator, sources: Sources) -> Rule:
    memory = span(sources.windows.absent_memory)
    now = names.events(indicator, bad=False) if indicator.counts else names.value(indicator)
    by = ", ".join(indicator.by or indicator.labels)
    return Rule(
        alert=f"{indicator.alert}DataAbsent",
        expr=f"group by ({by}) ({_was_there(indicator, sources.windows.absent_memory)})\nunless on ({by}) {now}",
        hold=span(absent_after(indicator, sources)),
        labels=_labels(indicator, "critical" if indicator.silence_fails else "warning"),
        annotations=_annotations(
            indicator,
            f"The data of {indicator.name} has ended.",
            f"{_who(indicator)}: {now} was there within {memory} and is not any more, so {indicator.name} judges "
            "nothing and no rollout of this service takes a step. First: look at the targets page in Prometheus for "
            "the scrape of this service; when the service was taken away on purpose, this alert ends by itself.",
        ),
    )


def _was_there(indicator: Indicator, memory: int) -> str:
    """What had data within the memory: the events of a day are recorded for just as long, and need not be scanned.

    They are looked for over a missed evaluation: at an instant without them `for` would begin anew.
    """
    if not indicator.counts:
        return f"present_over_time({names.value(indicator)}[{span(memory)}])"
    if memory == names.DAY:
        return f"last_over_time({names.counted(indicator, names.DAY, bad=False)}[{KEPT_FOR}])"
    return f"present_over_time({names.block(indicator, bad=False)}[{span(memory)}])"


def _beyond(indicator: Indicator) -> Rule:
    limit = f'{LIMIT}{{objective="{indicator.name}"}}'
    return Rule(
        alert=f"{indicator.alert}Missed",
        expr=f"{names.value(indicator)} {_BEYOND[indicator.comparison]} scalar({limit})",
        hold=_VALUE_FOR,
        labels=_labels(indicator, "warning"),
        annotations=_annotations(
            indicator,
            f"{indicator.name} is beyond its limit.",
            f"{_who(indicator)}: {indicator.name} is {{{{ $value | humanize }}}}, it should be {indicator.comparison} "
            f"{format_number(float(indicator.limit))}. First: {indicator.first}",
        ),
    )


def _who(indicator: Indicator) -> str:
    return f"{{{{ $labels.{indicator.service} }}}}"


def _labels(indicator: Indicator, severity: str) -> dict[str, str]:
    labels = {"severity": severity, "area": AREA, "objective": indicator.name}
    return labels if indicator.service == "service" else labels | {"service": _who(indicator)}


def _annotations(indicator: Indicator, summary: str, description: str) -> dict[str, str]:
    dashboard = f"slo-fleet?var-service={{{{ $labels.{indicator.service} | urlquery }}}}"
    return {"summary": summary, "description": description, DASHBOARD: dashboard}


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def burning(indicators: tuple[Indicator, ...]) -> Iterator[str]:
    """The names of the alerts that objectives have."""
    for indicator in indicators:
        endings = ("BudgetBurn", "DataAbsent") if indicator.counts else ("Missed", "DataAbsent")
        yield from (f"{indicator.alert}{ending}" for ending in endings)
