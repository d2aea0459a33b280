"""How what leaves us is signed: its receiver can refuse what others made up, changed or sent again."""

from __future__ import annotations

import hashlib
import hmac

TIMESTAMP = "X-Slo-Watchdog-Timestamp"
SIGNATURE = "X-Slo-Watchdog-Signature"


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What a receiver compares, in constant time: hex of HMAC-SHA256 over `timestamp.body`."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
