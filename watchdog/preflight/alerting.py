"""The way of an alert: from Prometheus to an Alertmanager that answers, and from there to us."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from watchdog.config import revealed
from watchdog.errors import SourceError
from watchdog.flags.base import Check
from watchdog.preflight.asking import get
from watchdog.preflight.ground import Ground, Looked, Sight
from watchdog.preflight.verdict import Build, Level
from watchdog.quantities import format_duration, rfc3339

ALWAYS = "Watchdog"
"""The alert that always fires; the one that nobody hears any more is what its absence tells."""


def alerting(ground: Ground) -> Looked:
    """Whether alerts reach an Alertmanager, whether one that always fires is there, and whether we hear of it."""
    managers, told = _managers(ground)
    yield None, told
    firing = False
    for address in managers:
        sight, fires = _manager(ground, address)
        firing |= fires
        yield None, sight
    if managers:
        yield None, _watchdog(managers, firing=firing)
    yield _heard(ground)


def _managers(ground: Ground) -> tuple[list[str], Check]:
    """Where Alertmanagers are asked, and whether Prometheus sends to any."""
    name, own = "Prometheus sends to an Alertmanager", ground.settings.preflight.alertmanager
    try:
        told = ground.source.told("/api/v1/alertmanagers")
        active = [_base(str(one["url"])) for one in told["activeAlertmanagers"]]
        dropped = len(told.get("droppedAlertmanagers") or ())
    except (SourceError, TypeError, KeyError) as error:
        if own is not None:
            found = f"it does not tell ({error}); preflight.alertmanager is {own}"
            return [own], Check(name, ok=True, found=found)
        todo = "write preflight.alertmanager, its address, where Prometheus cannot tell (Thanos, Mimir)"
        return [], Check(name, ok=False, found=f"it does not tell: {error}", todo=todo)
    if not active:
        found = f"it sends to none ({dropped} were dropped)" if dropped else "none is configured there"
        todo = "configure `alerting:` in prometheus.yml, else nobody hears of any alert"
        return ([own] if own is not None else []), Check(name, ok=False, found=found, todo=todo)
    return ([own] if own is not None else active), Check(name, ok=True, found=f"to {', '.join(active)}")


def _base(url: str) -> str:
    """The address without the path of the API, and without a user or password in it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.partition("/api/")[0].rstrip("/"), "", ""))


def _manager(ground: Ground, address: str) -> tuple[Check, bool]:
    """Whether one answers, and whether the alert that always fires is among its alerts."""
    known, name = ground.settings.notify.alertmanager, f"{address} answers"
    token = revealed(known.bearer_token) if known is not None and known.url == address else None
    try:
        status = get(f"{address}/api/v2/status", f"Alertmanager at {address}", token)
        wanted = {"filter": f'alertname="{ALWAYS}"', "active": "true"}
        alerts = get(f"{address}/api/v2/alerts", f"Alertmanager at {address}", token, wanted)
        version = _version(status)
        fires = any(one["status"]["state"] == "active" for one in alerts)
    except (SourceError, TypeError, KeyError) as error:
        todo = "let this host reach it; where it has another address from here, write preflight.alertmanager"
        return Check(name, ok=False, found=f"{error}", todo=todo), False
    if all(build.what != "alertmanager" for build in ground.builds):
        ground.builds.append(Build("alertmanager", version))
    return Check(name, ok=True, found=f"version {version}"), fires


def _version(status: Mapping[str, Any]) -> str:
    return str(status["versionInfo"]["version"])


def _watchdog(managers: list[str], *, firing: bool) -> Check:
    found = f"{ALWAYS} {'fires' if firing else 'does not fire'} in {' or '.join(managers)}"
    todo = f"load a rule {ALWAYS} (rules/prometheus/meta.yaml has one), and see that Prometheus reaches Alertmanager"
    return Check(f"{ALWAYS} fires", ok=firing, found=found, todo="" if firing else todo)


def _heard(ground: Ground) -> Sight:
    """Whether its messages arrive here; without a receiver nobody judges how many alerts are false."""
    alerts, name = ground.settings.alerts, "Alertmanager is heard here"
    if alerts.token is None:
        found, todo = "alerts.token is not set, so no alerts are taken here and none are judged", "see docs/noise.md"
        return Sight(None, Check(name, ok=False, found=found, todo=todo), Level.WARNING)
    now = ground.clock()
    heard = ground.ledger.alerts_heard(int(now - max(86_400.0, alerts.heartbeat)))
    last = heard[-1] if heard else None
    ok = last is not None and now - last <= alerts.heartbeat
    found = f"the last message was of {rfc3339(last)}" if last is not None else "no message came in the last day"
    found += f"; one is expected every {format_duration(alerts.heartbeat)} (alerts.heartbeat)"
    todo = f"route its {ALWAYS} to POST /api/v1/alerts of the daemon, which must run; see docs/noise.md"
    return Sight(None, Check(name, ok, found, "" if ok else todo))
