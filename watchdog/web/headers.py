"""The headers that every answer carries, by its kind: pages may run our scripts, reports only style, data nothing."""

from __future__ import annotations

DATA = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For whatever is no page: a browser that shows it all the same loads and runs nothing."""
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""For pages: scripts, styles and addresses of ours, nothing inline, nobody's frame."""
REPORT = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""For reports, which are one file with its style in it and run nothing."""
POLICY = "Content-Security-Policy"
HEADERS = {
    POLICY: DATA,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of an answer that is data. Not `no-referrer`: browsers then send `Origin: null` with the forms of our own pages."""
FREE = "Cache-Control"
"""The one header that an answer may set itself: what was true a moment ago must not come from a cache, a script may."""


def policy(path: str, content_type: str) -> str:
    """The content security policy for an answer."""
    if content_type.partition(";")[0].strip().lower() != "text/html":
        return DATA
    return REPORT if path.startswith("/api/") else PAGE
