"""Metric sources of OpenSLO -> the queries of an objective, which count events over `$range`."""

from __future__ import annotations

import re

from watchdog.quantities import shown
from watchdog.rolloutfile.fields import Section, text
from watchdog.rulebook.promql import bare, outside_strings

TYPES = ("prometheus", "thanos", "mimir", "cortex", "victoriametrics")
_RANGE = re.compile(
    r"\[\s*(?:\{\{\s*\.?window\s*\}\}|\$\{?(?:window|__range|__rate_interval|range)\}?)\s*\]", re.IGNORECASE
)
_FIXED = re.compile(r"\[\s*\d[\w.]*\s*(?::[^\]]*)?\]")
_SELECTOR = r"[A-Za-z_:][A-Za-z0-9_:]*\s*(?:\{[^{}]*\})?"
_BARE = re.compile(rf"\s*(?:sum\s*\(\s*({_SELECTOR})\s*\)|({_SELECTOR}))\s*")
_RATE = re.compile(r"\brate\s*\(")


def of(metric: Section, sources: dict[str, Section]) -> str:
    """The PromQL of a metric, its range as `$range`; "" with a problem kept where there is none."""
    source = metric.section("metricSource")
    kind = source.take("type", text, "")
    if source.has("metricSourceRef"):
        name = source.take("metricSourceRef", text, "")
        if name not in sources:
            source.problem("metricSourceRef", f"is {shown(name)}, a DataSource that is not in this file; put it there")
        else:
            kind = kind or sources[name].section("spec").need("type", text, "", "type: Prometheus")
    if kind and kind.lower() not in TYPES:
        source.problem("type", f"is {shown(kind)}; only Prometheus and what speaks its API is asked here")
    spec = source.section("spec")
    query = spec.need("query", text, "", "query: PromQL")
    if spec.take("queryType", text, "promql").lower() != "promql":
        spec.problem("queryType", "is not promql, and nothing else is asked here")
    spec.close()
    source.close()
    metric.close()
    return _RANGE.sub("[$range]", query)


def counted(query: str, counter: bool, ratio: Section, key: str) -> str:  # noqa: FBT001
    """The query as a count of events over `$range`: a bare counter gets its increase, a rate becomes one."""
    if not query:
        return query
    whole = _BARE.fullmatch(query)
    if whole is not None and counter:
        return f"sum(increase({(whole[1] or whole[2]).strip()}[$range]))"
    if "[$range]" not in query:
        fixed = _FIXED.search(bare(query))
        why = f"has the fixed range {fixed.group()}" if fixed else "has no range"
        ratio.problem(f"{key}.metricSource.spec.query", f"{why}; write [{{{{.window}}}}] where the range belongs")
    return outside_strings(query, lambda part: _RATE.sub("increase(", part))
