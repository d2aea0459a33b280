"""Every target, and the inputs that once broke one."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz import answers, demands, documents, evidence
from tests.fuzz.target import TARGETS, Target

__all__ = ["GROUPS", "KEPT", "TARGETS", "Target", "kept"]

KEPT = Path(__file__).parent / "kept"
"""A directory for each target, with what once came out of it: tried first, ever since."""
GROUPS = {
    module.__name__.rpartition(".")[2]: [one for one in TARGETS.values() if one.parse.__module__ == module.__name__]
    for module in (answers, demands, documents, evidence)
}


def kept(name: str) -> dict[str, bytes]:
    """The inputs that once broke a target, by file name."""
    return {path.name: path.read_bytes() for path in sorted((KEPT / name).glob("*"))}
