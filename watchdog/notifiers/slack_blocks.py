"""Messages and the state of a rollout as Block Kit, and as text for notifications and screen readers. Pure.

Other people's words stand in plain-text objects, in which nothing is markup. Nothing rests on colour or on a sign
alone: every sign has its word beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from watchdog.messages import Link, Message, View
from watchdog.model import Severity
from watchdog.notifiers.slack_text import cut, defused, escaped, link, tame
from watchdog.notifiers.texts import one_line, readable

Block = dict[str, Any]

TEXT = 4000
"""Characters of the text beside the blocks; Slack recommends no more, and cuts at 40,000."""
PLAIN = 2500
"""Characters of a message that goes without blocks."""
HEADER = 150
PARAGRAPH = 1200
"""Characters of one paragraph; Slack takes 3,000 in a section, but only some 13,000 in all blocks together."""
VALUE = 300
FACTS = 4000
"""Characters of all facts together."""
FIELDS = 10
STRIP = 48
"""Newest slices that are drawn."""
LINKS = 10

_SIGNS = {"pass": "\N{CHECK MARK}", "fail": "\N{MULTIPLICATION SIGN}", "unknown": "?", "idle": "\N{EN DASH}"}
_ORDER = {"fail": 0, "unknown": 1, "idle": 2, "pass": 3}
_LABELS = {Severity.CRITICAL: "CRITICAL", Severity.WARNING: "Warning", Severity.INFO: ""}
_PHASES = {
    "pending": "waits to be started",
    "ramping": "raising exposure step by step",
    "soaking": "fully exposed, collecting good slices",
    "rolling_back": "taking the flag back",
    "rolled_back": "the flag was taken back",
    "signed_off": "signed off",
    "stopped": "stopped by a person",
}


@dataclass(frozen=True, slots=True)
class Form:
    """What Slack shows: blocks, and the text for notifications and screen readers. Without blocks the text alone."""

    text: str
    blocks: tuple[Block, ...] = ()

    @property
    def digest(self) -> str:
        """The same for the same form."""
        written = json.dumps([self.text, self.blocks], sort_keys=True)
        return hashlib.sha256(written.encode()).hexdigest()[:32]

    @property
    def plain(self) -> Form:
        """The text alone, short, for when Slack takes nothing else."""
        return Form(_cut_escaped(self.text, PLAIN))

    def with_note(self, note: str) -> Form:
        """The same with a line at its end."""
        return Form(_cut_escaped(f"{self.text}\n{defused(note)}", TEXT), (*self.blocks, _context(note)))


def reply(message: Message, note: str = "") -> Form:
    """One message, as it stands in the rollout's thread; `note` is about its delivery, not about the rollout."""
    label = _LABELS[message.severity]
    first = _paragraph(f"{label}: {message.summary}" if label else message.summary)
    blocks: list[Block] = []
    if label and len(cut(first, HEADER)) == len(first) and "\n" not in first:
        blocks.append({"type": "header", "text": _plain(first)})
    else:
        blocks.append(_section(first))
    facts, left_out = _within(message.facts)
    blocks += _fields(facts)
    paragraphs = [
        f"{left_out} further facts are left out here; the links below have them all." if left_out else "",
        f"Done: {message.done}" if message.done else "",
        f"To do: {message.todo}" if message.todo else "",
        _earlier(message.earlier),
    ]
    said = [_paragraph(text) for text in paragraphs if text]
    blocks += [_section(text) for text in said]
    blocks += _links(message.links)
    about = (message.rollout, f"{message.service} {message.version}".strip(), message.flag and f"flag {message.flag}")
    foot = " · ".join([*(one_line(part) for part in about if part), _time(message.at)])
    blocks.append(_context(foot))
    lines = [first, *(f"{name}: {value}" for name, value in facts), *said, foot]
    form = Form(_text(lines, message.links), tuple(blocks))
    return form.with_note(note) if note else form


def announcement(message: Message) -> Form:
    """The parent of a thread before anybody has seen the rollout's state: `standing` replaces it."""
    facts = [("Service", message.service), ("Version", message.version), ("Flag", message.flag)]
    return _parent(message.rollout, "its state follows within a minute", facts, [], message.links)


def standing(view: View) -> Form:
    """A rollout as it is, without the time: two looks at the same state give the same form."""
    exposure = view.desired
    if view.actual and view.actual != view.desired:
        exposure = f"{view.desired} asked for, the flag reads {view.actual}"
    window = f"{view.current} of {view.required} good slices in a row" if view.required else ""
    facts = [
        ("Service", f"{view.service} {view.version}".strip()),
        ("Flag", view.flag),
        ("Exposure", exposure),
        ("Window", window),
        ("Held", view.hold),
        ("Waits for", "; ".join(view.waiting)),
    ]
    verdicts = sorted(view.verdicts, key=lambda verdict: _ORDER.get(verdict[1], 1))
    lines = [_judged(*verdict) for verdict in verdicts]
    words, signs = _strip(view.strip)
    rest = [_listed("Open", [message.summary for message in view.open]), _listed("", lines)]
    form = _parent(view.rollout, _PHASES.get(view.phase, view.phase), facts, [words, *rest], view.links)
    drawn = (_section(f"{words}\n{signs}") if block == _section(words) else block for block in form.blocks)
    return replace(form, blocks=tuple(drawn)) if words else form


def stamped(form: Form, at: float) -> Form:
    """A standing form with the time of its change, which is no part of what is compared."""
    return replace(form, blocks=(*form.blocks, _context(f"Changed {_time(at)}; edited as the rollout moves.")))


def _parent(
    rollout: str, phase: str, facts: list[tuple[str, str]], paragraphs: list[str], links: Sequence[Link]
) -> Form:
    title = cut(one_line(f"{rollout}: {phase}"), HEADER)
    kept, _ = _within([(name, value) for name, value in facts if value])
    said = [_paragraph(text, 2 * PARAGRAPH) for text in paragraphs if text]
    blocks = [{"type": "header", "text": _plain(title)}, *_fields(kept), *map(_section, said), *_links(links)]
    return Form(_text([title, *(f"{name}: {value}" for name, value in kept), *said], links), tuple(blocks))


def _strip(strip: Sequence[str]) -> tuple[str, str]:
    """The newest slices: how many there are of each, and as signs in groups of twelve, which nobody wants read out."""
    newest = strip[-STRIP:]
    if not newest:
        return "", ""
    signs = "".join(_SIGNS.get(verdict, "?") for verdict in newest)
    groups = " ".join(signs[start : start + 12] for start in range(0, len(signs), 12))
    counts = Counter(newest)
    words = ", ".join(
        f"{counts[verdict]} {verdict} ({_SIGNS.get(verdict, '?')})"
        for verdict in sorted(counts, key=_rank, reverse=True)
    )
    return f"Last {len(newest)} slices, the newest at the end: {words}", groups


def _judged(name: str, verdict: str, sentence: str) -> str:
    """An objective with its sign, its verdict in a word, and the sentence with the numbers."""
    words = f"{_SIGNS.get(verdict, '?')} {name}: {verdict or 'not judged yet'}"
    return f"{words}. {sentence}" if sentence else words


def _rank(verdict: str) -> int:
    return _ORDER.get(verdict, 1)


def _earlier(summaries: Sequence[str]) -> str:
    newest = summaries[-10:]
    more = len(summaries) - len(newest)
    return _listed(f"Before that ({more} older ones are left out)" if more else "Before that", newest)


def _listed(title: str, lines: Iterable[str]) -> str:
    said = [cut(one_line(line), VALUE) for line in lines]
    if not said:
        return ""
    return "\n".join([f"{title}:", *(f"- {line}" for line in said)] if title else said)


def _within(facts: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], int]:
    """Facts cut to size, as many as there is room for; how many are left out."""
    kept: list[tuple[str, str]] = []
    room = FACTS
    for name, value in facts:
        pair = cut(one_line(name), 80) or "-", cut(readable(value).strip(), VALUE) or "-"
        room -= len(pair[0]) + len(pair[1]) + 3
        if room < 0:
            break
        kept.append(pair)
    return kept, len(facts) - len(kept)


def _fields(facts: Sequence[tuple[str, str]]) -> list[Block]:
    found = [_field(name, value) for name, value in facts]
    return [{"type": "section", "fields": found[start : start + FIELDS]} for start in range(0, len(found), FIELDS)]


def _field(name: str, value: str) -> Block:
    """Name and value below each other; the name in bold where neither could be taken for markup."""
    if tame(name) and tame(value):
        return {"type": "mrkdwn", "text": f"*{name}*\n{value}", "verbatim": True}
    return _plain(f"{name}\n{value}")


def _links(links: Sequence[Link]) -> list[Block]:
    found = [written for written in (link(each.text, each.url) for each in links[:LINKS]) if written]
    kept, room = [], 2000
    for written in found:
        room -= len(written) + 3
        if room >= 0:
            kept.append(written)
    if not kept:
        return []
    return [{"type": "context", "elements": [{"type": "mrkdwn", "text": " · ".join(kept), "verbatim": True}]}]


def _section(text: str) -> Block:
    return {"type": "section", "text": _plain(text)}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [_plain(cut(one_line(text), PARAGRAPH) or "-")]}


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def _paragraph(text: str, limit: int = PARAGRAPH) -> str:
    return cut(readable(text).strip(), limit) or "-"


def _text(lines: Iterable[str], links: Sequence[Link]) -> str:
    addresses = [f"{one_line(each.text)}: {one_line(each.url)}" for each in links[:LINKS]]
    return _cut_escaped("\n".join([*(defused(line) for line in lines), *map(escaped, addresses)]), TEXT)


def _cut_escaped(text: str, limit: int) -> str:
    """Cut so that no entity is cut in half."""
    short = cut(text, limit)
    if short == text:
        return text
    head, mark, tail = short.rpartition("\N{HORIZONTAL ELLIPSIS}")
    start = head.rfind("&", max(0, len(head) - 5))
    return (head[:start] if start >= 0 and ";" not in head[start:] else head) + mark + tail


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
