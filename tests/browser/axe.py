"""axe-core in the page: what it finds against WCAG 2.2 A and AA, as sentences.

vendor/axe.min.js is that of the npm package axe-core 4.14.1, unchanged (MPL-2.0, vendor/axe.LICENSE), sha256
29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

SOURCE = Path(__file__).parent / "vendor" / "axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def violations(page: Page) -> list[str]:
    """One sentence for each rule that is broken, with the elements that break it. Empty where none is."""
    page.evaluate(SOURCE.read_text(encoding="utf-8"))
    found = page.evaluate("(tags) => axe.run(document, {runOnly: {type: 'tag', values: tags}})", list(RULES))
    assert len(found["passes"]) > 5, "axe-core has looked at the page"
    return [
        f"{one['id']}: {one['help']}: "
        + "; ".join(f"{node['target']} {node['html'][:120]}" for node in one["nodes"][:3])
        for one in found["violations"]
    ]
