"""What the daemon makes of its settings for those who know nothing of them."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from watchdog.config.settings import Settings
from watchdog.notify import Telling
from watchdog.prometheus.redact import split_credentials

log = structlog.get_logger()


def telling(settings: Settings) -> Telling:
    """What the settings say of telling people."""
    notify, address = settings.notify, settings.http.external_url
    return Telling(
        notify.rule(),
        external_url=address or "",
        runbook_url=notify.runbook_url or "",
        prometheus_url=split_credentials(settings.prometheus.url)[0],
        budget=notify.budget,
        pipelines=notify.on_transition is not None,
    )


def say(event: str, line: Mapping[str, object]) -> None:
    """The audit's lines: each holds the chain's head, so that the log is an anchor outside the ledger."""
    if "problem" in line or "why_not" in line:
        log.warning(event, **line)
    else:
        log.info(event, **line)
