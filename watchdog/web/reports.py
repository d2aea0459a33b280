"""A rollout's report over HTTP: the bytes that were signed off where there are any, else built from the ledger now."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from watchdog.account import Account
from watchdog.ledger import Ledger, StoredReport, StoredRollout
from watchdog.model import Phase
from watchdog.web.problems import Problem

FORMATS = {"html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8", "json": "application/json"}
KINDS = ("final", "interim", "now")

Build = Callable[[StoredRollout, str], bytes]
"""Builds the report of a rollout in a format (`html`, `md`, `json`) from what the ledger holds now."""


def builder(ledger: Ledger, clock: Callable[[], float]) -> Build:
    """The usual way to build a report."""

    def built(stored: StoredRollout, form: str) -> bytes:
        from watchdog.report import build, render_html, render_json, render_markdown  # noqa: PLC0415 - heavy, and the daemon starts without it

        render = {"html": render_html, "md": render_markdown, "json": render_json}[form]
        return render(build(Account(ledger, stored).evidence(clock()))).encode()

    return built


@dataclass(frozen=True, slots=True)
class Reports:
    """Serves reports. Without `kind`, a signed-off rollout gives its frozen final report, any other is built now."""

    ledger: Ledger
    build: Build

    def serve(self, request: Request, stored: StoredRollout) -> Response:
        """The report that the query asks for: `format` html (default), md or json; `kind` final, interim or now."""
        form = _one_of(request, "format", tuple(FORMATS), "html")
        # An interim sign-off is one moment of a rollout that goes on, so it is only given to who asks for it.
        usual = "final" if stored.phase is Phase.SIGNED_OFF else "now"
        kind = _one_of(request, "kind", KINDS, usual)
        frozen = self._newest(stored, kind, form)
        if frozen is None and kind != "now" and "kind" in request.query_params:
            raise Problem("no-report", f"rollout {stored.name} has no {kind} report; kind=now builds one")
        data = _unchanged(frozen) if frozen is not None else self.build(stored, form)
        kind = kind if frozen is not None else "now"
        headers = {
            "X-Report-Kind": kind,
            "X-Report-Sha256": hashlib.sha256(data).hexdigest(),
            "Content-Disposition": f'inline; filename="{stored.name}.{kind}.{form}"',
        }
        return Response(data, headers=headers, media_type=FORMATS[form])

    def _newest(self, stored: StoredRollout, kind: str, form: str) -> StoredReport | None:
        """The newest frozen report: an amended one comes after the one that it amends."""
        found = [report for report in self.ledger.reports(stored.id) if (report.kind, report.format) == (kind, form)]
        return found[-1] if found else None


def _unchanged(report: StoredReport) -> bytes:
    """The frozen bytes. A problem when they are gone or not those whose hash was recorded."""
    advice = f"the sha256 recorded at the sign-off is {report.sha256}; restore the file, or use kind=now to rebuild it"
    name = Path(report.path).name
    try:
        data = Path(report.path).read_bytes()
    except OSError as error:
        detail = f"the frozen report {name} cannot be read ({error.strerror}); {advice}"
        raise Problem("report-changed", detail) from error
    if hashlib.sha256(data).hexdigest() != report.sha256:
        raise Problem("report-changed", f"the frozen report {name} was changed after the sign-off; {advice}")
    return data


def _one_of(request: Request, name: str, known: tuple[str, ...], default: str) -> str:
    written = request.query_params.get(name, default)
    if written not in known:
        raise Problem("bad-parameter", f"{name}: found {written[:60]!r}, expected one of {', '.join(known)}")
    return written
