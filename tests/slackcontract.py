"""What Slack takes for a message: the published limits of texts, blocks and metadata, and its words for more."""

from __future__ import annotations

import re
from typing import Any

TEXT = 4000
"""`chat.update` refuses more, `chat.postMessage` recommends no more (and cuts at 40,000)."""
BLOCKS = 50
ALL_BLOCKS = 13_000
"""Characters in all blocks together; not published, but measured by users: msg_blocks_too_long."""
_LINK = re.compile(r"<(https?://[^<>|\s]+)\|[^<>|\n]+>")
_ENTITY = re.compile(r"&(?!amp;|lt;|gt;)")


class Refused(Exception):
    def __init__(self, code: str, *details: str) -> None:
        self.code, self.details = code, details
        super().__init__(code)


def check_message(body: dict[str, Any]) -> None:
    """Raises Refused."""
    text, blocks = body.get("text", ""), body.get("blocks") or []
    if not isinstance(text, str) or not isinstance(blocks, list):
        raise Refused("invalid_arguments")
    if not text and not blocks:
        raise Refused("no_text")
    if units(text) > TEXT:
        raise Refused("msg_too_long")
    well_formed(text)
    if len(blocks) > BLOCKS:
        raise Refused("invalid_blocks", f"no more than {BLOCKS} items allowed")
    for number, block in enumerate(blocks):
        _check_block(block, f"/blocks/{number}")
    if sum(units(part) for block in blocks for part in texts(block)) > ALL_BLOCKS:
        raise Refused("msg_blocks_too_long")
    check_metadata(body.get("metadata"))


def check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict) or set(metadata) != {"event_type", "event_payload"}:
        raise Refused("invalid_metadata_format")
    if not re.fullmatch(r"[A-Za-z0-9_]+", str(metadata["event_type"])) or not isinstance(
        metadata["event_payload"], dict
    ):
        raise Refused("invalid_metadata_format")
    if not all(isinstance(value, str | int | float | bool) for value in metadata["event_payload"].values()):
        raise Refused("invalid_metadata_schema")


def _check_block(block: Any, place: str) -> None:
    if not isinstance(block, dict):
        raise Refused("invalid_blocks", place)
    kind = block.get("type")
    shapes = {"header": {"text"}, "section": {"text", "fields"}, "context": {"elements"}, "divider": set[str]()}
    if kind not in shapes or set(block) - shapes[kind] - {"type", "block_id"}:
        raise Refused("invalid_blocks", f"unsupported type or key: {kind} [{place}]")
    if kind == "header":
        _check_text(block.get("text"), 150, place, only="plain_text")
    if kind == "section":
        if "text" not in block and "fields" not in block:
            raise Refused("invalid_blocks", f"missing required field: text [{place}]")
        if "text" in block:
            _check_text(block["text"], 3000, place)
        _check_texts(block.get("fields", [{"type": "plain_text", "text": "-"}]), 2000, place)
    if kind == "context":
        _check_texts(block.get("elements"), 3000, place)


def _check_texts(found: Any, limit: int, place: str) -> None:
    if not isinstance(found, list) or not 1 <= len(found) <= 10:
        raise Refused("invalid_blocks", f"must hold 1 to 10 items [{place}]")
    for each in found:
        _check_text(each, limit, place)


def _check_text(found: Any, limit: int, place: str, only: str | None = None) -> None:
    if not isinstance(found, dict) or found.get("type") not in {"plain_text", "mrkdwn"}:
        raise Refused("invalid_blocks", f"no text object [{place}]")
    kind, text = found["type"], found.get("text")
    extra = {"plain_text": {"emoji"}, "mrkdwn": {"verbatim"}}[kind]
    if (only and kind != only) or set(found) - {"type", "text"} - extra:
        raise Refused("invalid_blocks", f"wrong text object [{place}]")
    if not isinstance(text, str) or not 1 <= units(text) <= limit:
        raise Refused("invalid_blocks", f"must be 1 to {limit} characters [{place}/text]")
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Refused("invalid_blocks", f"half a character [{place}/text]")
    if kind == "mrkdwn":
        well_formed(text)


def well_formed(text: str) -> None:
    """The watchdog's own texts hold links and entities, and none of Slack's commands."""
    left = _LINK.sub("", text)
    if re.search("[<>]", left) or _ENTITY.search(text):
        raise Refused("invalid_blocks", f"a command or a bare character of Slack's in {text[:200]!r}")


def texts(block: dict[str, Any]) -> list[str]:
    """Every text in a block, in the order in which it is read."""
    parts = [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
    return [part["text"] for part in parts if isinstance(part, dict)]


def markup(block: dict[str, Any]) -> list[str]:
    """Those of them that Slack would look for markup in."""
    parts = [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
    return [part["text"] for part in parts if isinstance(part, dict) and part["type"] == "mrkdwn"]


def units(text: str) -> int:
    """Length as a browser counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
