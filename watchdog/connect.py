"""The configured Prometheus, opened: the one place that knows both the settings and the adapter."""

from __future__ import annotations

from collections.abc import Callable

from watchdog.config import revealed
from watchdog.config.sections import PrometheusSettings
from watchdog.prometheus import Prometheus


def open_prometheus(
    settings: PrometheusSettings,
    *,
    judge_skew: bool = True,
    timeout: float | None = None,
    tell: Callable[[float, str | None], None] = lambda _seconds, _reason: None,
) -> Prometheus:
    """A source for one rollout, or one command; nothing is asked yet. `timeout` replaces the configured one."""
    cert = None
    if settings.cert_file is not None and settings.key_file is not None:
        cert = (str(settings.cert_file), str(settings.key_file))
    return Prometheus(
        settings.url,
        timeout=timeout if timeout is not None else settings.timeout,
        headers={name: secret.get_secret_value() for name, secret in settings.headers.items()},
        bearer_token=revealed(settings.bearer_token),
        username=settings.username,
        password=revealed(settings.password),
        verify=str(settings.ca_file) if settings.ca_file is not None else True,
        cert=cert,
        judge_skew=judge_skew,
        tell=tell,
    )
