"""ETags for what is read as JSON: whoever has an answer already is told so, and is not sent it again."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response

JSON = "application/json"
KEPT = "private, no-cache"
"""An answer may be kept by who asked, and is asked for again each time."""


def tagged(request: Request, answer: Response) -> Response:
    """The same answer with its ETag, or 304 where the request names that ETag.

    The tag is strong: it changes exactly when the bytes do. Whatever is not JSON that was asked for stays as it is.
    """
    readable = request.method in ("GET", "HEAD") and answer.status_code == 200
    if not readable or not answer.headers.get("content-type", "").startswith(JSON):
        return answer
    tag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
    if _knows(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": KEPT})
    answer.headers["ETag"] = tag
    answer.headers["Cache-Control"] = KEPT
    return answer


def _knows(if_none_match: str, tag: str) -> bool:
    known = (one.strip().removeprefix("W/") for one in if_none_match.split(","))
    return any(one in (tag, "*") for one in known)
