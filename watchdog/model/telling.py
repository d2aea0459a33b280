"""Where and how loudly a rollout tells people of itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from watchdog.model.vocabulary import Severity


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours in which nobody is told of anything below `below`: it waits for their end. Times are minutes of the day.

    From `start` up to `end`, over midnight where `end` is the earlier one, on the clocks of `zone` (an IANA name).
    """

    start: int
    end: int
    zone: str = "UTC"
    below: Severity = Severity.CRITICAL


@dataclass(frozen=True, slots=True)
class TransitionHook:
    """Who is sent every transition of a rollout, signed. Secrets are named by their files, never written here."""

    url: str
    style: str = "plain"
    """`plain`: our own document; `github`: a repository_dispatch, whose token is in `token_file`."""
    secret_file: str | None = None
    token_file: str | None = None


@dataclass(frozen=True, slots=True)
class NotifyRule:
    """Where and how loudly one rollout tells; what is None or empty is as the daemon's settings say.

    `severities` maps kinds of messages to a severity, or to `none` for not at all. Files are absolute paths.
    """

    routing_key_file: str | None = None
    slack_channel: str | None = None
    email_to: tuple[str, ...] = ()
    severities: dict[str, str] = field(default_factory=dict)
    quiet: Quiet | None = None
    on_transition: TransitionHook | None = None
