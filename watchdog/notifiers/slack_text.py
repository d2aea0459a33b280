"""Other people's text made harmless for Slack, and cut to its limits. Pure.

Where it can, the channel writes text into plain-text objects, in which nothing is markup. What must be mrkdwn (links,
and the text that is read out and shown in notifications) goes through `defused`.
"""

from __future__ import annotations

import re
import unicodedata

from watchdog.notifiers.texts import one_line, readable

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LOOKALIKES = {"*": "\N{ASTERISK OPERATOR}", "~": "\N{TILDE OPERATOR}", "`": "'"}
_LOOSE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_EMOJI = re.compile(r":(?=[\w+'-]+:)")
_QUOTE = re.compile(r"(?m)^(\s*)>+")
_TAME = re.compile(r"(?:[^\W_]|(?<=[^\W_])_(?=[^\W_])|(?<=\d):(?=\d)|[ .,%()/+=-])*")
_ADDRESS = re.compile(r"https?://[^\s/]", re.IGNORECASE)
_UNSAFE = re.compile(r"[^!#$%&'()*+,/:;=?@\[\]A-Za-z0-9._~-]")
LONGEST_ADDRESS = 1000
"""Characters of a link's address; nobody can read a longer one, and it would push everything else out."""


def size(text: str) -> int:
    """Characters as Slack's clients count them, in which an emoji is two: what is cut to that fits either count."""
    return len(text) + sum(letter > "\uffff" for letter in text)


def cut(text: str, limit: int) -> str:
    """The text, or its beginning with a word on how much is left out; never longer than `limit` (40 or more)."""
    if len(text) <= limit and size(text) <= limit:
        return text
    room = limit - len(f"\N{HORIZONTAL ELLIPSIS} ({len(text):,} more characters)")
    kept, used = 0, 0
    for letter in text[: room + 1]:
        used += 2 if letter > "\uffff" else 1
        if used > room:
            break
        kept += 1
    while kept and _continues(text[kept - 1], text[kept]):
        kept -= 1
    return f"{text[:kept].rstrip()}\N{HORIZONTAL ELLIPSIS} ({len(text) - kept:,} more characters)"


def _continues(before: str, letter: str) -> bool:
    """Whether the letter belongs to the one before it: an accent, a variation, a joined emoji."""
    joiner = "\N{ZERO WIDTH JOINER}"
    return bool(unicodedata.combining(letter)) or letter in {joiner, "\ufe0f", "\ufe0e"} or before == joiner


def escaped(text: str) -> str:
    """The three characters with which Slack's own commands begin, such as `<!channel>`, as text."""
    return re.sub("[&<>]", lambda found: _ENTITIES[found[0]], text)


def defused(text: str) -> str:
    """Text that means nothing but itself in mrkdwn: no mention, link, format, quote or emoji.

    Slack has no escape for its formats; their characters become others that look the same.
    """
    text = _QUOTE.sub(lambda found: found[1] + "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}", readable(text).strip())
    text = re.sub("[*~`]", lambda found: _LOOKALIKES[found[0]], text)
    text = _LOOSE_UNDERSCORE.sub("\N{MODIFIER LETTER LOW MACRON}", text)
    return escaped(_EMOJI.sub("\N{RATIO}", text))


def tame(text: str) -> bool:
    """Whether a single line holds nothing that mrkdwn could take for markup, so that it may stand beside some."""
    return _TAME.fullmatch(text) is not None


def link(text: str, url: str) -> str:
    """A link in mrkdwn; empty for what is no web address, or too long for one."""
    url = readable(url).strip()
    if _ADDRESS.match(url) is None or len(url) > LONGEST_ADDRESS:
        return ""
    safe = _UNSAFE.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), url)
    label = cut(one_line(text), 75) or "link"
    return f"<{escaped(safe)}|{defused(label).replace('|', '/')}>"
