"""Pages as people get them: one template environment, what every page is told, and how an answer is packed."""

from __future__ import annotations

import gzip
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from watchdog import __version__
from watchdog.quantities import format_number, rfc3339
from watchdog.web.static import address, takes_gzip

if TYPE_CHECKING:
    from jinja2 import Environment

PLACES = (
    ("/", "Fleet"),
    ("/noise", "Alert noise"),
    ("/preflight", "Preflight"),
    ("/drills", "Drills"),
    ("/flags", "Flags"),
)
"""The navigation, in order; a place that this server does not have is left out."""
SIGNS = {"pass": "✓", "fail": "✗", "unknown": "?", "idle": "~"}
"""A verdict's sign beside its word; anything else gets a dot."""
LEVEL = 5
"""gzip's effort for pages: most of the gain for a fraction of the time."""


@cache
def templates() -> Environment:
    """The environment of every page; loaded when the first page is wanted."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - heavy: when a page is wanted

    found = Environment(
        loader=PackageLoader("watchdog.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        auto_reload=False,
    )
    found.globals.update(static=address, signs=SIGNS, app_version=__version__)
    found.filters.update(number=format_number, rfc3339=rfc3339, in_utc=in_utc, words=words)
    return found


def in_utc(at: str | float) -> str:
    """An instant as people read it where no script makes it local: `2026-11-23 09:00:00 UTC`."""
    text = at if isinstance(at, str) else rfc3339(at)
    return f"{text[:10]} {text[11:19]} UTC"


def words(name: str) -> str:
    """A name of ours as words: `rolled_back` is `rolled back`."""
    return name.replace("_", " ")


def render(template: str, **told: Any) -> str:
    """A template's text: a fragment that needs to know nothing of who asks."""
    return templates().get_template(template).render(**told)


def surroundings(request: Request) -> dict[str, Any]:
    """What `base.html` shows around a page: where we are, who is logged in, what this server has besides."""
    addresses = {getattr(route, "path", None) for route in request.app.routes}
    return {
        "path": request.url.path,
        "places": [(place, name) for place, name in PLACES if place in addresses],
        "principal": getattr(request.state, "principal", None),
        "csrf": getattr(request.state, "csrf", None),
        "has_login": "/login" in addresses,
    }


def page(request: Request, template: str, status: int = 200, **told: Any) -> Response:
    """A whole page, packed where the browser takes that. Templates extend `base.html`."""
    return html(request, render(template, **surroundings(request), **told), status)


def html(request: Request, text: str, status: int = 200) -> Response:
    """Finished HTML as an answer.

    It may be packed although it holds a session's CSRF token: a session's cookie is never sent from another site, so
    nobody there can have pages made to guess it by their length.
    """
    body, headers = text.encode(), {"Vary": "Accept-Encoding"}
    if takes_gzip(request):
        body, headers = gzip.compress(body, LEVEL, mtime=0), {**headers, "Content-Encoding": "gzip"}
    return Response(body, status, headers, "text/html; charset=utf-8")
