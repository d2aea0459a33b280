"""Two targets that are broken on purpose: a suite that never fails proves nothing."""

from __future__ import annotations

import json
import re

from tests.fuzz.target import target


@target("forgets", ValueError, [{"version": "4", "alerts": []}])
def forgets(raw: bytes) -> None:
    """Takes it that what is called a list is one."""
    found = json.loads(raw)
    if isinstance(found, dict) and isinstance(found.get("version"), str):
        found["alerts"].append(None)


@target("backtracks", (), [b'{"words": "' + b"a" * 40 + b'"}'], form="bytes")
def backtracks(raw: bytes) -> None:
    """Looks for words in a way that takes exponential time."""
    re.fullmatch(rb'\{"words": "(?:a+ ?)+!"\}', raw)
