"""What pages load: scripts, styles and the icon, each at an address that changes with its content."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watchdog.web.problems import Problem

MEDIA_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
"""What is served, by the end of its name; the licences are text."""
FOR_EVER = "public, max-age=31536000, immutable"
"""An address with the content's hash never means anything else."""
SMALL = 600
"""Bytes below which compressing a file saves nothing: it fits into one packet."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served; `packed` is its gzip form, None where that saves nothing."""

    body: bytes
    packed: bytes | None
    media_type: str
    tag: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every file that is served, by name; read and packed once."""
    found = {}
    for entry in files("watchdog.web").joinpath("static").iterdir():
        media_type = MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None and entry.is_file():
            body = entry.read_bytes()
            packed = gzip.compress(body, 9, mtime=0) if len(body) > SMALL else None
            found[entry.name] = Asset(body, packed, media_type, hashlib.sha256(body).hexdigest()[:12])
    return found


def address(name: str) -> str:
    """Where a page finds a file. KeyError when there is none of that name: a template has it wrong."""
    return f"/static/{name}?v={assets()[name].tag}"


def takes_gzip(request: Request) -> bool:
    """Whether who asks understands gzip."""
    offered = (part.strip().lower().partition(";") for part in request.headers.get("accept-encoding", "").split(","))
    return any(name == "gzip" and how.replace(" ", "") not in ("q=0", "q=0.0") for name, _, how in offered)


async def serve(request: Request) -> Response:
    """One file. Raises Problem when there is none of that name."""
    name = request.path_params["file"]
    asset = assets().get(name)
    if asset is None:
        raise Problem("not-found", f"no file is called {name[:60]!r}; reload the page that asked for it")
    headers = {
        # A page of another version asks for another hash: what it gets instead must not be kept under that address.
        "Cache-Control": FOR_EVER if request.query_params.get("v") == asset.tag else "no-cache",
        "ETag": f'"{asset.tag}"',
        "Vary": "Accept-Encoding",
    }
    if asset.packed is not None and takes_gzip(request):
        return Response(asset.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)


def static_routes() -> list[Route]:
    """The one address of them all."""
    return [Route("/static/{file}", serve)]
