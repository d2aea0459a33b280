"""The notification channels: those that the settings name, opened. A client is imported only when it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watchdog.notifiers.base import Notifier

if TYPE_CHECKING:
    from watchdog.config.notifysettings import NotifySettings

CHANNELS = ("pagerduty", "slack", "alertmanager", "webhook", "email", "on_transition")
"""Every channel by the key of its settings, which is its name, too."""


def open_channels(settings: NotifySettings) -> tuple[Notifier, ...]:
    """The configured channels; none is reached yet. Raises ConfigError.

    `on_transition` is always there: a rollout may bring a hook of its own.
    """
    found: list[Notifier] = []
    if settings.pagerduty is not None:
        from watchdog.notifiers.pagerduty import open_pagerduty  # noqa: PLC0415 - heavy

        found.append(open_pagerduty(settings.pagerduty))
    if settings.slack is not None:
        from watchdog.notifiers.slack import open_slack  # noqa: PLC0415 - heavy

        found.append(open_slack(settings.slack))
    if settings.alertmanager is not None:
        from watchdog.notifiers.alertmanager import open_alertmanager  # noqa: PLC0415 - heavy

        found.append(open_alertmanager(settings.alertmanager))
    if settings.webhook is not None:
        from watchdog.notifiers.webhook import open_webhook_channel  # noqa: PLC0415 - heavy

        found.append(open_webhook_channel(settings.webhook))
    if settings.email is not None:
        from watchdog.notifiers.email import open_email  # noqa: PLC0415 - heavy

        found.append(open_email(settings.email))
    from watchdog.notifiers.transitions import open_transitions  # noqa: PLC0415 - heavy

    found.append(open_transitions(settings.on_transition))
    return tuple(found)
