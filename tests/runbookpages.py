"""The runbooks as the tests see them: sections, queries with what the page says of their answers, commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import promql_parser

RUNBOOKS = Path(__file__).parent.parent / "docs" / "runbooks"
SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Flag action", "False alarm?", "Escalation")
HEALTHY_EMPTY = "Nothing is the healthy answer"
"""What a page says after a query that has no answer while all is well."""
PLACEHOLDERS = ("SERVICE", "ROLLOUT", "INSTANCE", "OBJECTIVE", "FLAG", "CHANNEL", "ALERTNAME", "MOUNTPOINT")
"""What a reader replaces, in label values of queries and in commands."""
_FACTS = re.compile(r"<!-- facts.*?<!-- end of facts -->\n?", re.DOTALL)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$\n?", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^## (.+)\n", re.MULTILINE)
_INLINE = re.compile(r"(?<!`)`(slo-watchdog [^`]+)`", re.DOTALL)


@dataclass(frozen=True)
class Query:
    """One block of PromQL and the text between it and the next block or heading."""

    page: str
    expr: str
    said: str
    sample: bool
    """Whether an example of its answer follows at once."""

    @property
    def may_be_empty(self) -> bool:
        return HEALTHY_EMPTY in " ".join(self.said.split())

    @property
    def filled(self) -> str:
        """The query for any service, rollout and so on: what a reader fills in must be a label that is there."""
        names = "|".join(PLACEHOLDERS)
        return re.sub(rf'="({names})"', '=~".+"', self.expr)

    @property
    def metrics(self) -> set[str]:
        """Every metric that it names, as the parser sees them."""
        found: set[str] = set()

        def visit(node: object) -> bool:
            if isinstance(node, promql_parser.VectorSelector) and node.name:  # the rest select by a pattern of names
                found.add(node.name)
            return True

        promql_parser.walk(promql_parser.parse(self.filled), visit)
        return found


@dataclass(frozen=True)
class Page:
    """One page of `docs/runbooks`."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def sections(self) -> dict[str, str]:
        """Each second-level section by its heading, in order."""
        parts = _HEADING.split(self.text)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    @cached_property
    def facts(self) -> str:
        found = _FACTS.search(self.text)
        return found[0] if found else ""

    @cached_property
    def prose(self) -> str:
        """What people wrote: without headings and the generated facts."""
        return re.sub(r"^#.*$", "", _FACTS.sub("", self.text), flags=re.MULTILINE)

    @cached_property
    def queries(self) -> list[Query]:
        return [query for section in self.sections.values() for query in _queries(self.name, section)]

    @cached_property
    def consoles(self) -> list[str]:
        """Each command of its console blocks, continued lines joined."""
        lines: list[str] = []
        for kind, body in _BLOCK.findall(self.text):
            if kind == "console":
                lines += [line[2:] for line in body.replace("\\\n", " ").splitlines() if line.startswith("$ ")]
        return lines

    @cached_property
    def commands(self) -> list[str]:
        """Every `slo-watchdog ...` of the page, in blocks and in the text."""
        inline = [" ".join(found.split()) for found in _INLINE.findall(_BLOCK.sub("", self.text))]
        return [*inline, *(line for line in self.consoles if line.startswith("slo-watchdog "))]


def _queries(name: str, section: str) -> Iterator[Query]:
    blocks = list(_BLOCK.finditer(section))
    for position, block in enumerate(blocks):
        if block[1] != "promql":
            continue
        rest = section[block.end() :]
        end = blocks[position + 1].start() - block.end() if position + 1 < len(blocks) else len(rest)
        following = blocks[position + 1] if position + 1 < len(blocks) else None
        sample = following is not None and following[1] == "text" and not rest[:end].strip()
        said = rest[:end]
        if sample and following is not None:
            after = section[following.end() :]
            said = after[: blocks[position + 2].start() - following.end()] if position + 2 < len(blocks) else after
        yield Query(name, block[2].strip(), said.strip(), sample)


def pages() -> list[Page]:
    """Every page of an alert."""
    return [Page(path) for path in sorted(RUNBOOKS.glob("*.md")) if path.name != "README.md"]
