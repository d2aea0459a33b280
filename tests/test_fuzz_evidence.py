"""Bundles of evidence, spoilt: only declared errors come out, soon. Guided by coverage in tests/fuzz."""

from __future__ import annotations

from tests.fuzzing import Spoilt


class TestEvidence(Spoilt):
    group, examples = "evidence", 12
