"""What schemathesis loads, for what no schema can say: which names there are, and that a key belongs to one request.

Half of the requests ask about something that is there: of names that are drawn nearly none is, and 404 is soon tested.

Another request with a key that was used is refused with 422, and schemathesis sends the key "0" with all of them. So a
key that is well formed is made to depend on what is asked: the same request keeps its key, and is answered as it was
the first time. A key that is not well formed is sent as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import schemathesis
from schemathesis import Case, HookContext
from schemathesis.core.parameters import ParameterLocation

from watchdog.web.describe import PRINTABLE
from watchdog.web.once import HEADER, LONGEST_KEY

NAMES: dict[str, tuple[str | int, ...]] = {
    "id": ("checkout-2.14.0", "pending", "signed-off"),
    "flag": ("new-checkout", "old-checkout", "ops.shutdown"),
    "episode": ("a1",),
    "command": (1,),
    "drill": (1,),
    "key": ("blue",),
    "set": ("shop",),
}
"""What the site of the test has, by the parameter that names it."""


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Called before each request."""
    drawn = int(digest(case)[:8], 16)
    # A part of the address that is wrong on purpose stays wrong.
    if drawn % 2 and case.meta is not None and not case.meta.is_negative_at(ParameterLocation.PATH):
        for name in NAMES.keys() & case.path_parameters.keys():
            case.path_parameters[name] = NAMES[name][drawn // 2 % len(NAMES[name])]
    key = case.headers.get(HEADER)
    if isinstance(key, str) and len(key) <= LONGEST_KEY and re.search(PRINTABLE, key):
        own = digest(case)[:32]
        case.headers[HEADER] = (key[: -len(own)] or "key-") + own  # a long one stays as long as it was


def digest(case: Case[Any]) -> str:
    """Of what is asked."""
    asked = [case.method, case.path, dict(case.path_parameters), dict(case.query), repr(case.body)]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=repr).encode("utf-8", "replace")).hexdigest()
