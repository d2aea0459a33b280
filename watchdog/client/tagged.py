"""Answers with their ETag: who asks again and again is sent what has changed, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from watchdog.client.connection import Answer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tagged(Generic[T]):
    """An answer with its ETag. Give it back as `known`, and the same one comes back while nothing has changed."""

    value: T
    etag: str


def tagged(answer: Answer, known: Tagged[Any] | None) -> Tagged[Any]:
    """What was answered; `known` where that is still so."""
    if answer.status == 304 and known is not None:
        return known
    return Tagged(answer.json, answer.headers.get("ETag", ""))
