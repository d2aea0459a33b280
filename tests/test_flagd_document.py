"""flagd's document as text: what people find when they open the file."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as some

from watchdog.flags.flagd_document import render

values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=12,
)
flags = some.dictionaries(some.text(), some.dictionaries(some.text(), values, max_size=3), max_size=3)
documents = some.dictionaries(some.text().filter(lambda key: key != "flags"), values, max_size=3)


@given(documents, flags | some.none())
def test_it_is_indented_as_json_indents_it(document: dict[str, object], held: dict[str, object] | None) -> None:
    whole = document if held is None else {"$schema": "s", "flags": held, **document}
    for _ in range(2):  # the second time from what the first one remembers
        assert render(whole).decode("ascii") == json.dumps(whole, indent=2) + "\n"
