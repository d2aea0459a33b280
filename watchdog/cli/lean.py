"""Loads structlog without rich, by being imported first.

structlog imports rich, with pygments and attrs, for tracebacks that show local variables. Ours never do (logs.py), and
it is a twentieth of each start. Commands that draw tables load rich by themselves.
"""

from __future__ import annotations

import sys

if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]  # as the import system has it: there is no such module
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
