"""Lists page by page: `limit` how many, `after` the cursor of the last one seen, and a link to what follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

from starlette.requests import Request

from watchdog.web.problems import Problem

PAGE = 1000
"""Items in one answer, at most and where nobody says how many."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some items in their order, and the address of the next ones; None on the last page. `left` follow this page."""

    items: list[Item]
    next: str | None
    left: int = 0


def page_of(
    request: Request, items: Sequence[Item], cursor: Callable[[Item], str] | None = None, *, default: int = PAGE
) -> Page[Item]:
    """The page of `items` that the query asks for. Raises Problem for a `limit` or an `after` that makes no sense.

    `cursor` names an item for good. Without one its place does: for a list to which only its end is added.
    """
    limit, after = limit_of(request, default), request.query_params.get("after")
    first = 0 if after is None else _place(items, after, cursor)
    end = first + limit
    shown = list(items[first:end])
    left = max(0, len(items) - end)
    return Page(shown, _next(request, cursor(shown[-1]) if cursor else str(end)) if left else None, left)


def limit_of(request: Request, default: int = PAGE, most: int = PAGE) -> int:
    """How many are asked for."""
    written = request.query_params.get("limit")
    if written is None:
        return default
    if not (written.isascii() and written.isdigit() and len(written) < 10 and 1 <= int(written) <= most):
        raise Problem("bad-parameter", f"limit: found {written[:20]!r}, expected a whole number from 1 to {most}")
    return int(written)


def _place(items: Sequence[Item], after: str, cursor: Callable[[Item], str] | None) -> int:
    """Where the items after the one of this cursor begin."""
    found = None
    if cursor is not None:
        found = next((place for place, item in enumerate(items, 1) if cursor(item) == after), None)
    elif after.isascii() and after.isdigit() and len(after) < 10 and 0 < int(after) <= len(items):
        found = int(after)
    if found is None:
        expected = "take it from `next` of the page before, as it is"
        raise Problem("unknown-page", f"after: {after[:60]!r} is no cursor of this list; {expected}")
    return found


def _next(request: Request, cursor: str) -> str:
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
    return f"{quote(request.url.path)}?{urlencode([*query, ('after', cursor)])}"
