"""Freezes a sign-off: renders the report once, writes its bytes, and keeps their sha256 in the ledger."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from watchdog.account import Account
from watchdog.errors import LedgerError
from watchdog.ledger import Ledger


def freeze(ledger: Ledger, name: str, kind: str, directory: Path, now: float, prometheus: str) -> Path:
    """Write `NAME.KIND.{html,md,json}` into `directory`; returns the HTML's path. Raises LedgerError, OSError.

    `prometheus` is the address that was asked, without credentials.
    """
    from watchdog.report import build, render_html, render_json, render_markdown  # noqa: PLC0415 - heavy, and the daemon starts without it

    stored = ledger.rollout(name)
    if stored is None:
        raise LedgerError(f"there is no rollout {name} in the ledger to report on")
    report = build(Account(ledger, stored).evidence(now, {"url": prometheus}))
    directory.mkdir(parents=True, exist_ok=True)
    for form, render in (("json", render_json), ("md", render_markdown), ("html", render_html)):
        text = render(report).encode()
        path = directory / f"{name}.{kind}.{form}"
        replace_file(path, text)
        ledger.save_report(stored.id, kind, form, str(path), hashlib.sha256(text).hexdigest(), now)
    return directory / f"{name}.{kind}.html"


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
