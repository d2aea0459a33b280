"""What other services answer, spoilt: only declared errors come out, soon. Guided by coverage in tests/fuzz."""

from __future__ import annotations

from tests.fuzzing import Spoilt


class TestAnswers(Spoilt):
    group, examples = "answers", 25
