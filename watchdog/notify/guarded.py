"""The one place of the sender where anything unexpected is caught: a fault inside us must not end paging."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def guarded(work: Callable[[], T]) -> T | Exception:
    """What `work` returns, or what it raised: whoever asks says so, and goes on with the next message or round."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - see above
        return error
