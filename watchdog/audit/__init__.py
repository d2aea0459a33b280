"""The audit of flags: who changed which, when, from what to what and why, in a chain that shows every later edit."""

from watchdog.audit.anchor import Head, parse_head, shown_head
from watchdog.audit.contents import exposure_in, members_in, serves_alike
from watchdog.audit.log import ChangeLog, Observer, Verification, open_changes
from watchdog.audit.service import AuditedFlags, audited

__all__ = [
    "AuditedFlags",
    "ChangeLog",
    "Head",
    "Observer",
    "Verification",
    "audited",
    "exposure_in",
    "members_in",
    "open_changes",
    "parse_head",
    "serves_alike",
    "shown_head",
]
