"""The status page: one card a rollout, rendered here, readable without a script and in any terminal browser."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import HTMLResponse, Response

from watchdog import __version__
from watchdog.account import accounts
from watchdog.ledger import Ledger
from watchdog.model import Phase
from watchdog.quantities import format_number, rfc3339

if TYPE_CHECKING:
    from jinja2 import Template

REFRESH = 30
"""Seconds after which a browser asks again."""
PHASE_WORDS = {
    Phase.PENDING: "waits to be started",
    Phase.RAMPING: "raising exposure step by step",
    Phase.SOAKING: "fully exposed, collecting good slices",
    Phase.ROLLING_BACK: "taking the flag back",
    Phase.ROLLED_BACK: "the flag was taken back",
    Phase.SIGNED_OFF: "every objective held through the whole window",
    Phase.STOPPED: "stopped by a person; the flag stays as it is",
}
_SIGNS = {"pass": "✓", "fail": "✗", "unknown": "?", None: "·"}


def status_page(ledger: Ledger, now: float) -> Response:
    """The page as of wall time `now`: rollouts that are under way first, then the newest. Raises LedgerError."""
    found = [account.status() for account in reversed(accounts(ledger))]
    found.sort(key=lambda status: not Phase(status["phase"]).active)
    cards = [_card(status) for status in found]
    html = _template().render(cards=cards, now=rfc3339(int(now)), version=__version__, refresh=REFRESH)
    return HTMLResponse(html)


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - heavy: when the page is wanted

    templates = Environment(
        loader=PackageLoader("watchdog.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return templates.get_template("status.html")


def _card(status: dict[str, Any]) -> dict[str, Any]:
    window, exposure, hold = status["window"], status["exposure"], status["hold"]
    towards_final = status["phase"] in (Phase.SOAKING, Phase.SIGNED_OFF)
    passed = window["final"]["current"] if towards_final else window["current"]
    actual = exposure["actual"]
    waiting = [] if hold else list(status["waiting"])
    return {
        **status,
        "phase_words": PHASE_WORDS[Phase(status["phase"])],
        "passed": passed,
        "share": min(100, round(100 * passed / window["required"])),
        "desired": f"{format_number(exposure['desired'])} %"
        + (" and the cohort" if exposure["cohort"] else "")
        + "".join(f" and audience {name}" for name in exposure["audiences"]),
        "reads": exposure["error"] or "not read yet" if actual is None else f"{format_number(actual)} %",
        "waiting": waiting,
        "objectives": [{**one, "sign": _SIGNS[one["verdict"]]} for one in status["objectives"]],
    }
