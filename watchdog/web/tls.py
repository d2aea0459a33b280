"""TLS at `http.listen`: version 1.2 or later, and new files taken at the next connection, without a restart."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from watchdog.errors import ConfigError, Problem

if TYPE_CHECKING:
    from watchdog.config.httpsettings import TlsSettings

PLACE = "http.tls"
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate with its chain, and its key, both PEM."""

    cert: Path
    key: Path


def files_of(settings: TlsSettings | None) -> TlsFiles | None:
    """The files that the settings name; None without TLS."""
    return TlsFiles(settings.cert_file, settings.key_file) if settings is not None else None


def check_tls(settings: TlsSettings | None) -> None:
    """Raises ConfigError when TLS is wanted and its files are not a certificate and its key."""
    files = files_of(settings)
    if files is not None:
        _loaded(files)


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """What a server speaks. Raises ConfigError when the files are not a certificate and its key.

    When they change, connections from then on get what they hold then; while they do not fit, what they held before.
    """
    newest = _Newest(files, _loaded(files))
    newest.context.sni_callback = newest.choose
    return newest.context


class _Newest:
    """The context of the files as they were last good."""

    def __init__(self, files: TlsFiles, context: ssl.SSLContext) -> None:
        self.files = files
        self.context = context
        self.seen = _signature(files)

    def choose(self, connection: ssl.SSLObject, _name: str | None, _asked: ssl.SSLContext) -> None:
        """Give a connection that begins the newest certificate; asked for each, whether it names a host or not."""
        if (seen := _signature(self.files)) != self.seen:
            self.seen = seen
            try:
                self.context = _loaded(self.files)
            except ConfigError as error:
                log.error("tls", why=str(error), kept="the certificate of before")  # noqa: TRY400 - it says it all
            else:
                log.info("tls", why="the certificate was changed and is used from now on")
        connection.context = self.context


def _loaded(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    for name, path in (("cert_file", files.cert), ("key_file", files.key)):
        if not path.is_file():
            raise ConfigError([Problem(f"{PLACE}.{name}", f"there is no file {path}; expected one in PEM form")])
    try:
        context.load_cert_chain(files.cert, files.key, password="")  # else a terminal is asked
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        message = f"{files.cert} and {files.key} are no certificate and its key without a passphrase ({why})"
        raise ConfigError([Problem(PLACE, f"{message}; expected both in PEM form")]) from error
    return context


def _signature(files: TlsFiles) -> tuple[object, ...]:
    """What is different when a file is another one."""
    found: list[object] = []
    for path in (files.cert, files.key):
        try:
            state = path.stat()
        except OSError as error:
            found.append(error.errno)
        else:
            found.append((state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
    return tuple(found)
