"""Which reader a drill reads with, by the settings: the one that belongs to the flag service, or the one named."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from watchdog.config import revealed
from watchdog.flags.base import FlagService
from watchdog.readers.base import Reader, ReaderError
from watchdog.readers.service import ServiceReader

if TYPE_CHECKING:
    from watchdog.config.settings import Settings

BELONGS = {"flagd-file": "flagd-file", "redis": "redis", "unleash": "unleash", "memory": "memory"}
"""The reader of each flag service; the others are read through the service itself."""
SERVICE = "service"
FILE_POLL = 0.1
"""Seconds between two looks at the file, unless the settings say how often the applications look."""
OFREP_TIMEOUT = 0.5


def reader_name(settings: Settings) -> str:
    """The reader that a drill takes: `drill.reader`, or for `auto` the one that belongs to the flag service.

    `service` stands for no client at all: the service's own read-back.
    """
    named = settings.drill.reader
    return BELONGS.get(settings.flags.service, SERVICE) if named == "auto" else named


def open_reader(settings: Settings, service: FlagService) -> Reader:
    """The reader, not started yet: use it in a `with` block. Raises ReaderError."""
    name = reader_name(settings)
    if name in (SERVICE, "memory"):
        return ServiceReader(service, name)
    try:
        return OPENERS[name](settings)
    except ModuleNotFoundError as error:
        raise ReaderError(
            f"drill: the reader {name} needs a client that is not installed ({error.name}); "
            "pip install slo-watchdog[drill]"
        ) from error


def _flagd_file(settings: Settings) -> Reader:
    from openfeature.contrib.provider.flagd import FlagdProvider  # noqa: PLC0415
    from openfeature.contrib.provider.flagd.config import ResolverType  # noqa: PLC0415

    from watchdog.readers.client import ClientReader  # noqa: PLC0415

    _expect(settings, "flagd-file", "flagd-file")
    poll = settings.drill.refresh if "refresh" in settings.drill.model_fields_set else FILE_POLL
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE,
        offline_flag_source_path=str(settings.flags.path),
        deadline_ms=max(1, round(poll * 1000)),  # this, and no other setting, is how often it looks
    )
    return ClientReader("flagd-file", provider, poll, close=lambda: _until_ended(provider, poll))


def _until_ended(provider: Any, poll: float) -> None:
    """Wait for the thread that looks at the file: it would look once more, perhaps for a file that is gone by then."""
    provider.shutdown()
    thread = getattr(provider.resolver.connector, "thread", None)
    if thread is not None:
        thread.join(2.0 * poll)


def _ofrep(settings: Settings) -> Reader:
    token = settings.drill.token or settings.serve.token
    return _over_http("ofrep", _serving(settings), revealed(token), 0.0)


def _flagd(settings: Settings) -> Reader:
    if settings.drill.url is None:
        raise ReaderError("drill: the reader flagd asks flagd's OFREP port; write drill.url: http://127.0.0.1:8016")
    # flagd looks where it was told to: how often is its own setting, which drill.refresh repeats.
    return _over_http("flagd", settings.drill.url, revealed(settings.drill.token), settings.drill.refresh)


def _over_http(name: str, url: str, token: str | None, poll: float) -> Reader:
    from openfeature.contrib.provider.ofrep import OFREPProvider  # noqa: PLC0415

    from watchdog.readers.client import ClientReader  # noqa: PLC0415

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    provider = OFREPProvider(url, headers_factory=lambda: headers, timeout=OFREP_TIMEOUT)
    return ClientReader(name, provider, poll, close=provider.session.close)


def _serving(settings: Settings) -> str:
    """Where the daemon answers evaluations."""
    given = settings.drill.url or settings.http.external_url
    if given is not None:
        return given
    listen = settings.serve.listen or settings.http.listen
    if listen.port == 0:
        raise ReaderError(
            "drill: the daemon listens on whichever port is free, so its readers cannot be known; write drill.url"
        )
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - it is asked, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{listen.port}"


def _redis(settings: Settings) -> Reader:
    from watchdog.readers.client import ClientReader  # noqa: PLC0415
    from watchdog.readers.redis_provider import RedisProvider  # noqa: PLC0415

    _expect(settings, "redis", "redis")
    return ClientReader("redis", RedisProvider.of(settings.flags), 0.0, told=True)


def _unleash(settings: Settings) -> Reader:
    from watchdog.readers.client import ClientReader  # noqa: PLC0415
    from watchdog.readers.unleash_provider import UnleashProvider  # noqa: PLC0415

    _expect(settings, "unleash", "unleash")
    return ClientReader("unleash", UnleashProvider.of(settings), settings.drill.refresh, pause=0.002)


def _expect(settings: Settings, reader: str, service: str) -> None:
    if settings.flags.service != service:
        raise ReaderError(
            f"drill: the reader {reader} reads what the service {service} keeps, but flags.service is "
            f"{settings.flags.service}; write drill.reader: auto"
        )


OPENERS: dict[str, Callable[[Settings], Reader]] = {
    "flagd": _flagd,
    "flagd-file": _flagd_file,
    "ofrep": _ofrep,
    "redis": _redis,
    "unleash": _unleash,
}
