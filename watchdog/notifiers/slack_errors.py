"""What Slack's words for errors mean: whose trouble it is, whether it passes, and what a person can do. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from watchdog.errors import NotifierError
from watchdog.exchange.answer import asked_wait
from watchdog.notifiers.slack_text import cut
from watchdog.notifiers.texts import one_line

LIMITED_FOR = 30.0
"""Seconds, where Slack limits us and does not say for how long."""

CONTENT = frozenset(
    {
        "msg_too_long",
        "msg_blocks_too_long",
        "invalid_blocks",
        "invalid_blocks_format",
        "no_text",
        "invalid_payload",
        "missing_text_or_fallback_or_attachments",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "metadata_too_large",
        "invalid_arguments",
        "invalid_json",
        "json_not_object",
        "too_many_attachments",
    }
)
"""Slack does not take this message; it may take a simpler one."""
GONE = frozenset({"message_not_found", "thread_not_found", "cannot_reply_to_message", "cant_update_message"})
"""The message that was to be edited or answered is no longer there, or no longer ours."""
PLACE = {
    "channel_not_found": "check the channel, and invite the app where it is private",
    "not_in_channel": "invite the app to the channel",
    "is_archived": "the channel is archived; name another one",
    "channel_is_archived": "the channel is archived; make a webhook for another one",
    "restricted_action": "the workspace does not let the app post there",
    "restricted_action_read_only_channel": "nobody may post there; name another channel",
    "restricted_action_thread_only_channel": "the channel takes replies only; name another one",
    "restricted_action_non_threadable_channel": "the channel takes no replies; name another one",
}
"""Permanent, and the channel's."""
_ACCESS = {
    "invalid_auth": "check the token",
    "not_authed": "check the token",
    "token_revoked": "install the app again and write its new token",
    "token_expired": "install the app again and write its new token",
    "account_inactive": "the app was removed; install it again and write its new token",
    "missing_scope": "give the app the missing scope and install it again",
    "not_allowed_token_type": "use a bot token (xoxb-...)",
    "no_permission": "ask the workspace's administrators",
    "access_denied": "ask the workspace's administrators",
    "ekm_access_denied": "ask the workspace's administrators",
    "org_login_required": "ask the workspace's administrators",
    "team_access_not_granted": "ask the workspace's administrators",
    "unknown_method": "check url",
    "no_service": "the webhook was removed; make a new one",
    "no_service_id": "check the webhook's address",
    "no_team": "check the webhook's address",
    "invalid_token": "check the webhook's address",
    "no_active_hooks": "the webhook is switched off; make a new one",
    "team_disabled": "the workspace is switched off",
    "action_prohibited": "ask the workspace's administrators",
    "posting_to_general_channel_denied": "make a webhook for another channel",
    "user_not_found": "make a new webhook",
}
"""Permanent, whatever is sent and wherever."""
_TEMPORARY = frozenset(
    {
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "rollup_error",
        "message_limit_exceeded",
    }
)
_LIMITED = frozenset({"ratelimited", "rate_limited"})


class SlackError(NotifierError):
    """What Slack refused; `code` is its own word for it, empty where there was no answer to read."""

    def __init__(
        self,
        message: str,
        code: str = "",
        *,
        permanent: bool = False,
        retry_after: float | None = None,
        everything: bool = False,
    ) -> None:
        self.code = code
        super().__init__(message, permanent=permanent, retry_after=retry_after, everything=everything)


def refusal(who: str, code: str, detail: str, status: int, headers: Mapping[str, str]) -> SlackError:
    """The error that Slack's word for it, or else the status, stands for."""
    found = f"{who} refused: {code or f'status {status}'}{detail}"
    lower = {name.lower(): text for name, text in headers.items()}
    wait = asked_wait({"Retry-After": str(lower.get("retry-after", ""))})
    if status == 429 or code in _LIMITED:
        wait = LIMITED_FOR if wait is None else wait
        return SlackError(f"{found}, waiting for {wait:g} s.", code, retry_after=wait, everything=True)
    if 300 <= status < 400:
        redirect = f"{who} redirects (status {status}), and redirects are never followed; write the final address."
        return SlackError(redirect, code, permanent=True, everything=True)
    if status >= 500 or code in _TEMPORARY:
        return SlackError(f"{found}; it is tried again.", code, retry_after=wait, everything=True)
    todo = PLACE.get(code) or _ACCESS.get(code)
    if todo is None and code not in CONTENT | GONE and status in (401, 403, 404, 405, 407, 410):
        todo = "check the address and the token"
    if todo is not None:
        return SlackError(f"{found}; {todo}.", code, permanent=True, everything=True)
    return SlackError(f"{found}; this message is not sent again.", code, permanent=True)


def word(said: str) -> str:
    """Slack's word for an error; of anything longer the beginning."""
    return cut(one_line(said), 100)
