"""One stack for everything that is broken here, with the rules of deploy/stack/fast."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.fast.drill import Drill, drilling, fast_rules
from tests.stack.running import running_stack


@pytest.fixture(scope="package")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    """A quiet stack to break and to mend."""
    root = tmp_path_factory.mktemp("drill")
    with (
        running_stack(root / "stack", rules=fast_rules(root / "rules"), scrape="1s") as stack,
        drilling(stack) as found,
    ):
        yield found
