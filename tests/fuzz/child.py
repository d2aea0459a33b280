"""One target under atheris, as a process of its own: `python -m tests.fuzz.child GROUP NAME CORPUS [options]`.

What is mutated is half of the time the document (tests/fuzz/spoil.py), else libFuzzer's bytes. An input that breaks the
target is left where `-artifact_prefix` says.
"""

from __future__ import annotations

import importlib
import sys
from random import Random
from typing import Any

import atheris  # type: ignore[import-untyped]

from tests.fuzz.spoil import spoilt
from tests.fuzz.target import TARGETS


def main(group: str, name: str, *options: str) -> None:
    """Fuzz one target, of this module, until libFuzzer's options end it."""
    with atheris.instrument_imports(include=["watchdog", f"tests.fuzz.{group}"]):
        importlib.import_module(f"tests.fuzz.{group}")
    target = TARGETS[name]

    def mutate(raw: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(raw, most))
        return spoilt(target, raw, random.randrange)[:most]

    setup: Any = atheris.Setup
    setup([sys.argv[0], *options], lambda raw: target(bytes(raw)), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
