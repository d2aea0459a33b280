"""The shop's emergency flags: shut, read-only, or away for maintenance. Asked for each request, obeyed at once.

They are a flag set of their own, so that nothing that goes wrong with the flags of the features can keep somebody from
closing the shop. Code defaults are False: a shop that cannot read them stays as it is.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from openfeature.client import OpenFeatureClient

RETRY_AFTER = "120"
"""Seconds after which a client may come again."""

PAGE = Path(__file__).with_name("maintenance.html").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Refusal:
    """An answer in place of the one that was asked for, and the emergency flag that gives it."""

    flag: str
    status: int
    body: bytes
    content_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)


class Doors:
    """The three flags; `client` None asks none of them."""

    SHUTDOWN, READ_ONLY, MAINTENANCE = FLAGS = ("ops.shutdown", "ops.read-only", "ops.maintenance")
    HEADERS: ClassVar[dict[str, str]] = {"Retry-After": RETRY_AFTER, "Cache-Control": "no-store"}

    def __init__(self, client: OpenFeatureClient | None) -> None:
        self._client = client

    def refusal(self, *, writes: bool) -> Refusal | None:
        """Answer for a request that an emergency flag turns away, the strictest flag first; None lets it in."""
        if (why := self._on(self.SHUTDOWN)) is not None:
            said = f"the shop is shut{_because(why)}\n".encode()
            return Refusal(self.SHUTDOWN, 503, said, headers=self.HEADERS)
        if (why := self._on(self.MAINTENANCE)) is not None:
            quoted = f'<p class="why">{html.escape(why)}</p>' if why else ""
            page = PAGE.replace("@WHY@", quoted).encode()
            return Refusal(self.MAINTENANCE, 503, page, "text/html; charset=utf-8", self.HEADERS)
        if writes and (why := self._on(self.READ_ONLY)) is not None:
            said = f"the shop takes no orders now{_because(why)}; everything can still be read\n".encode()
            return Refusal(self.READ_ONLY, 423, said, headers=self.HEADERS)
        return None

    def _on(self, flag: str) -> str | None:
        """Why the flag is on, perhaps in no words; None when it is off, missing or unreadable."""
        if self._client is None:
            return None
        details = self._client.get_boolean_details(flag, False)  # noqa: FBT003 - the SDK's order
        return str(details.flag_metadata.get("slo-watchdog.why", "")) if details.value else None


def _because(why: str) -> str:
    return f": {why}" if why else ""
