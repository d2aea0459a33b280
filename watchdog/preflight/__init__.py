"""Everything that must hold before a rollout starts, looked at now, with the production credentials.

`ground` is what is looked at, `areas` are the looks, `verdict` is what came of them.
"""

from __future__ import annotations

from watchdog.preflight.areas import preflight
from watchdog.preflight.verdict import Found, Preflight

__all__ = ["Found", "Preflight", "preflight"]
