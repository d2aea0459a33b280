"""Every query of every runbook, asked of the running stack: none is refused, and what should have an answer has one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.runbookpages import RUNBOOKS, Page, pages


@pytest.mark.parametrize("page", [*pages(), Page(RUNBOOKS / "README.md")], ids=lambda page: page.name)
def test_every_query_of_a_page_is_answered(page: Page, stack: Any) -> None:
    """One that legitimately has no answer while all is well says so in the page, after it."""
    unanswered = [
        query.filled
        for query in page.queries
        # Asked in any case: a query that Prometheus refuses fails here, with its words.
        if not stack.query(query.filled) and not query.may_be_empty
    ]
    assert unanswered == []
