"""What the watchdog did about it and what a person must do, for each kind of message. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from watchdog.model import Notification

_RESUME = "`slo-watchdog resume {rollout} --reason ...`"
_BY_HAND = "turn flag {flag} off by hand: `slo-watchdog flags kill {flag} --reason ...`, or in the flag service itself"
_NEW_NAME = "to try again, start a new rollout under a new name"

ADVICE: Mapping[str, tuple[str, str]] = {
    "start": ("Flag {flag} is raised step by step from now on, as long as every objective is good.", ""),
    "step": ("Flag {flag} is being set to {exposure_after}; it is read back.", ""),
    "hold": (
        "The ramp stands still: flag {flag} stays at {exposure}. A breach still takes it back.",
        "Look at the reason. If all is well: " + _RESUME + "; if not: `slo-watchdog rollback {rollout} --reason ...`.",
    ),
    "resume": ("The ramp goes on from {exposure}; the detectors start empty.", ""),
    "blind": (
        "Nothing is raised while an objective cannot be judged; nothing is taken back for it either.",
        "See why there is no answer (`slo-watchdog explain {rollout}`), and watch the service yourself meanwhile.",
    ),
    "sighted": ("The ramp and its window go on.", ""),
    "breach": (
        "The window starts again. Flag {flag} stays as it is: the objective says so, or the ramp stands already.",
        "Look at the service, and decide: `slo-watchdog rollback {rollout} --reason ...` takes flag {flag} back.",
    ),
    "rollback": (
        "Flag {flag} is being set to {exposure_after}, and set again until it reads so.",
        "Nothing yet: you are told when the flag reads it, and woken if it does not within a minute.",
    ),
    "rollback_unconfirmed": (
        "Flag {flag} was set, and is set again every two seconds; it reads: {reads}.",
        "Now " + _BY_HAND + ".",
    ),
    "rollback_late": (
        "Flag {flag} is still being set, past the deadline of the rollback; it reads: {reads}.",
        "At once " + _BY_HAND + "; then see why its service does not obey.",
    ),
    "rolled_back": (
        "Flag {flag} reads {reads}. The objective is watched for `rollback.verify`; the flag is written no more.",
        "Find the cause; " + _NEW_NAME + ".",
    ),
    "contributors": ("Nothing is decided on it: it says where to look first.", ""),
    "recovered": ("It was seen to be over in the numbers; the incident ends.", ""),
    "errors_continue": (
        "Flag {flag} stays at {exposure}. There is nothing more that the watchdog can take back.",
        "Look for another cause, and end this incident yourself: the objective is not watched any longer.",
    ),
    "drift": (
        "Flag {flag} is set back to {exposure} at once.",
        "Find out who raises it: `slo-watchdog flags history {flag}`. To ramp by hand, stop the watch first.",
    ),
    "drift_over": ("Flag {flag} reads {reads}; the ramp goes on.", ""),
    "external_change": (
        "Nothing: after its rollback the watchdog writes flag {flag} no more.",
        "See whether it was meant: nobody watches those who have the feature now. End this incident yourself.",
    ),
    "deed": (
        "{deed}; it is tried until it is confirmed.",
        "Nothing yet: you are woken if it is not confirmed within a minute.",
    ),
    "deed_unconfirmed": ("It is tried again and again: {deed}.", "Do it by hand, at once: {deed}."),
    "deed_late": (
        "It is still being tried, past its deadline: {deed}.",
        "Do it by hand, at once: {deed}; then see why its service does not obey.",
    ),
    "deed_done": ("It was read back, or acknowledged where nothing can be read.", ""),
    "flag_unreadable": (
        "The ramp waits. A rollback would still be sent blindly, again and again.",
        "See that the flag service runs and can be reached from the watchdog.",
    ),
    "flag_readable": ("The ramp goes on.", ""),
    "ledger_failing": (
        "Flag {flag} was at {exposure}. It is not raised; it is taken back all the same, and that is recorded later.",
        "Free the disk, or bring the database back. Until then `slo-watchdog status` shows what was recorded last.",
    ),
    "ledger_working": ("What was done and seen meanwhile is recorded; the ramp goes on.", ""),
    "drill_failed": (
        "The drill ended at once, and its own flag was switched off if that could be done.",
        "Until a drill passes, do not count on a rollback in time: see `slo-watchdog drill` and the flag service.",
    ),
    "drill_passed": ("The whole drill went through within its bound.", ""),
    "waiver_ended": (
        "Nothing: the rollout goes on, and its report says on whose word it started.",
        "Make up for what was waived, `slo-watchdog preflight` says what; or stop the rollout.",
    ),
    "window_reset": (
        "The good slices collected so far count no more; the ramp and the watch go on.",
        "Nothing at once. See what spoiled the slice: `slo-watchdog explain {rollout}`.",
    ),
    "interim": ("The interim report is frozen; the ramp goes on.", ""),
    "signed_off": ("The final report is frozen. The flag stays as it is and is watched no more.", ""),
    "stop": ("The flag stays as it is and is watched no more.", ""),
    "channel_failing": (
        "Its messages are kept and tried again; all other channels get theirs.",
        "See that {channel} can be reached and its key is valid: `slo-watchdog notify test {channel}`.",
    ),
    "channel_working": ("What had waited is being sent.", ""),
    "page_budget": (
        "Until a day has passed, only what is critical pages; all else goes to the other channels.",
        "See what pages so often: `slo-watchdog history {rollout}`.",
    ),
    "test": ("Nothing: somebody tried whether messages arrive.", ""),
}
"""For each kind: what was done, and what is to be done (empty: nothing). Names in braces are details."""

_ROLLED_BACK_BY_A_PERSON = (
    "Flag {flag} reads {reads}; it is written no more.",
    "Nothing more; " + _NEW_NAME + ".",
)

_SHARED_CAUSE = (
    "The ramp stands still. Flag {flag} is taken back once the control is better off, or is not seen to fail any more.",
    "Look for what both cohorts have in common. When it is over: "
    + _RESUME
    + "; if it is the flag after all: `slo-watchdog rollback {rollout} --reason ...`.",
)

_NOBODY_CAN_SEE = (
    "Flag {flag} stays at {exposure}. Prometheus does not say whether that helped.",
    "Look at the service yourself, and end this incident yourself: the objective is not watched any longer.",
)


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return f"({key} unknown)"


def advice(notification: Notification, rollout: str, flag: str) -> tuple[str, str]:
    """What was done, and what is to be done (empty: nothing); nothing at all for a kind of a newer version."""
    kind, details = notification.kind, notification.details
    done, todo = ADVICE.get(kind, ("", ""))
    if kind == "rolled_back" and not details.get("objective"):
        done, todo = _ROLLED_BACK_BY_A_PERSON
    if kind == "hold" and details.get("cause") == "shared_cause":
        done, todo = _SHARED_CAUSE
    if kind == "errors_continue" and details.get("blind"):
        done, todo = _NOBODY_CAN_SEE
    words = _Words({name: str(value) for name, value in details.items()} | {"rollout": rollout, "flag": flag})
    return done.format_map(words), todo.format_map(words)
