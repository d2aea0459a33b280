"""Addresses where people read on: the status, the report, the runbook, a graph of the query. Pure."""

from __future__ import annotations

from urllib.parse import quote

from watchdog.messages.message import Link
from watchdog.quantities import rfc3339


def graph(prometheus_url: str, query: str, at: float, span: str = "1h") -> str:
    """A graph of the query in Prometheus' own page, one hour (or another span, as Prometheus writes it) up to then."""
    end = quote(rfc3339(int(at)).replace("T", " ").removesuffix("Z"))
    shown = f"g0.tab=0&g0.range_input={span}&g0.end_input={end}"
    return f"{prometheus_url.rstrip('/')}/graph?g0.expr={quote(query)}&{shown}"


def rollout_links(external_url: str, rollout: str) -> tuple[Link, ...]:
    """Status and report of a rollout; none where nobody said how the daemon is reached."""
    if not external_url:
        return ()
    base, name = external_url.rstrip("/"), quote(rollout, safe="")
    report = f"{base}/api/v1/rollouts/{name}/report?format=html"
    return Link("status", f"{base}/rollouts/{name}"), Link("report", report)


def runbook(runbook_url: str, kind: str) -> tuple[Link, ...]:
    """What to do about messages of a kind, where the runbooks are said to be."""
    return (Link("runbook", f"{runbook_url.rstrip('/')}/{quote(kind, safe='')}"),) if runbook_url else ()
