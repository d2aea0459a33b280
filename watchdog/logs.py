"""Structured logs on standard error, with every known secret cut out of every line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any

import structlog
from pydantic import SecretStr

REDACTED = "<secret>"


def set_up(form: str, level: str, secrets: Iterable[str]) -> None:
    """Configure structlog and the standard library's loggers. `form` is `json` or `console`."""
    hidden = tuple(sorted({secret for secret in secrets if secret}, key=len, reverse=True))

    def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            event[key] = without(value, hidden)
        return event

    render: Any = structlog.processors.JSONRenderer(ensure_ascii=False)
    if form == "console":
        # Plain tracebacks: the pretty ones print local variables, secrets among them, after redaction.
        plain = structlog.dev.plain_traceback
        render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    tail: list[Any] = [structlog.processors.ExceptionRenderer(traceback)] if form == "json" else []
    structlog.configure(
        processors=[*shared, *tail, redact, render],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    foreign = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail, redact, render],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(foreign)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def without(value: Any, hidden: tuple[str, ...]) -> Any:
    """`value` with every secret in it replaced, in strings at any depth."""
    if isinstance(value, str):
        for secret in hidden:
            value = value.replace(secret, REDACTED)
        return value
    if isinstance(value, dict):
        return {key: without(item, hidden) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without(item, hidden) for item in value]
    return value


def secrets_in(data: Any) -> list[str]:
    """Every secret of dumped settings, at any depth, so that no line of the log can show one."""
    if isinstance(data, SecretStr):
        return [data.get_secret_value()]
    if isinstance(data, dict):
        return [secret for item in data.values() for secret in secrets_in(item)]
    if isinstance(data, (list, tuple)):
        return [secret for item in data for secret in secrets_in(item)]
    return []
