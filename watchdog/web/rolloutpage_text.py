"""Our own sentences as HTML: what stands between backticks is code, all else is escaped."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

_CODE = re.compile(r"`([^`]+)`")


def marked(text: str) -> Markup:
    """The sentence with its commands set as code."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - with jinja2: when a page is wanted

    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped here


def sentence(text: str) -> str:
    """With a capital and an end."""
    text = text.strip()
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?:" else ".")
