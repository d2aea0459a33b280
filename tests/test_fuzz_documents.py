"""Files that people and programs write, spoilt: only declared errors come out, soon. By coverage in tests/fuzz."""

from __future__ import annotations

from tests.fuzzing import Spoilt


class TestDocuments(Spoilt):
    group, examples = "documents", 60
