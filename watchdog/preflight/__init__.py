"""Everything that must hold before a rollout starts, looked at now, with the production credentials.

`ground` is what is looked at, `areas` names the looks, each a module, `verdict` is what came of them.
"""

from __future__ import annotations

from watchdog.preflight.areas import preflight, record
from watchdog.preflight.junit import as_junit
from watchdog.preflight.verdict import Found, Preflight

__all__ = ["Found", "Preflight", "as_junit", "preflight", "record"]
