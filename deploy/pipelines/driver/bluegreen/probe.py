"""Ask a colour, or the front, for its health over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from email.message import Message

from .state import Release
from .target import Health


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is no answer to a question for health, and may lead past the switch."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def complaint(base: str, health: Health, colour: str, release: Release) -> str:
    """Ask `base` once; what is wrong with the answer, empty when that colour answers and is well."""
    url = base + health.path
    # A proxy of the environment would be asked in place of the service.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
    try:
        with opener.open(url, timeout=health.timeout) as answer:
            status, headers = int(answer.status), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            status, headers = error.code, error.headers
    except (OSError, ValueError) as error:
        return f"{url} does not answer: {error}"
    if not 200 <= status < 300:
        return f"{url} answers {status}, expected 2xx"
    return _stranger(url, headers, health, colour, release)


def _stranger(url: str, headers: Message, health: Health, colour: str, release: Release) -> str:
    expected = {health.header: colour}
    if health.digest_header:
        expected[health.digest_header] = release.digest
    for name, value in expected.items():
        if headers.get(name) != value:
            return f"{url} answers with {name} {headers.get(name)!r}, expected {value!r}"
    return ""
