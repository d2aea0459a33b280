"""The shapes of what the API takes and says of alerts, as JSON Schema 2020-12."""

from __future__ import annotations

from watchdog.noise.classify import Class
from watchdog.noise.episodes import Label
from watchdog.web.schemas import NEXT, Schema, many, maybe, number, order, ref, text, thing, time, whole

_LABEL = text("What it was.", enum=[label.value for label in Label])
_CLASS = text("What it turned out to be.", enum=[found.value for found in Class])
_SHARE = {"minimum": 0, "maximum": 1}
_TEXTS = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}}

ALERT_SCHEMAS: dict[str, Schema] = {
    "AlertMessage": {
        "type": "object",
        "description": "Alertmanager's webhook message, version 4; what is not named here is not looked at.",
        "required": ["version", "alerts"],
        "properties": {
            "version": text("Always 4.", const="4"),
            "groupKey": maybe(text("The group.")),
            "truncatedAlerts": {"description": "How many alerts Alertmanager left out; what is no number is not read."},
            "alerts": many(
                {
                    "type": "object",
                    "required": ["status", "startsAt"],
                    "properties": {
                        "status": text("Whether it fires.", enum=["firing", "resolved"]),
                        "startsAt": time("When it began."),
                        "endsAt": {"description": "When it ended, a time; looked at when it is resolved."},
                        "fingerprint": maybe(text("Names the alert; by default a digest of its labels.")),
                        "generatorURL": maybe(text("Where it comes from.")),
                        "labels": _TEXTS,
                        "annotations": _TEXTS,
                    },
                },
                "The alerts of the group.",
            ),
        },
    },
    "AlertsTaken": thing(
        "What the message brought; it is on record.",
        {
            "alerts": whole("Alerts in it."),
            "new": whole("Firings that were not known."),
            "ended": whole("Alerts that are over."),
        },
    ),
    "Noise": thing(
        "How many false alarms there were in (from, to], and how good the alerts are.",
        {
            "from": time("As asked for."),
            "to": time("As asked for."),
            "service": maybe(text("As asked for; null for all.")),
            "lower": whole("Pages that were certainly false."),
            "upper": whole("The same, and what nobody has classified for longer than the grace."),
            "unclassified_young": whole("Pages that nobody has classified yet."),
            "true_positives": whole("Pages that were not false."),
            "pages": whole("All pages."),
            "grace_s": number("The grace, in seconds.", minimum=0),
            "precision": maybe(number("True pages of all that are classified.", **_SHARE)),
            "recall": maybe(number("Breaches with a page, of all.", **_SHARE)),
            "breaches": whole("Breaches of objectives that Prometheus measures."),
            "breaches_with_page": whole("Those that a page overlapped."),
            "detected_in_s": maybe(number("Median from a breach to its first page; negative if that came first.")),
            "reset_in_s": maybe(number("Median from the end of a breach to the end of its pages.")),
            "heard": {"type": "boolean", "description": "Whether the last 24 h were heard well enough to be judged."},
            "heard_why": text("What to know of it."),
            "last_heard_at": maybe(time("The minute in which Alertmanager was heard last.")),
        },
    ),
    "Episodes": thing(
        "Episodes of one template that overlap are one.",
        {
            "episodes": many(ref("Episode"), "Newest first."),
            "left_out": whole("Older ones that did not fit in the answer."),
            "next": NEXT,
        },
    ),
    "Episode": thing(
        "One firing of an alert, or of several that are one page.",
        {
            "id": text("What a label is given to."),
            "source": text("alertmanager, or watchdog for its own pages."),
            "alertname": text("The alert."),
            "service": text("Its service; empty when it names none."),
            "severity": text("Its severity."),
            "page": {"type": "boolean", "description": "Whether it wakes somebody; only these are counted."},
            "started_at": time("When it began."),
            "seen_at": time("When it was heard of first."),
            "ended_at": maybe(time("When it ended.")),
            "alerts": whole("Alerts in it.", minimum=1),
            "notified": whole("Notifications of it."),
            "class": _CLASS,
            "why": text("Why it is that."),
            "by": text("Who says so: a person, or rule; empty when nobody does."),
            "group_key": text("Alertmanager's group; of own pages the rollout."),
            "url": text("Where it comes from."),
            "summary": text("What it says."),
            "labels": many(ref("EpisodeLabel"), "What people said, oldest first."),
        },
    ),
    "EpisodeLabel": thing(
        "What somebody said of an episode.",
        {
            "episode": text("Its id."),
            "label": _LABEL,
            "by": text("Who."),
            "why": text("Why."),
            "at": time("When it was recorded."),
            "happened_at": time("When it was so."),
        },
    ),
    "LabelEpisode": order("What an episode was.", label=_LABEL),
}
ALERT_SCHEMAS["LabelEpisode"]["properties"] |= {
    "at": time("When it was acknowledged or silenced; by default now."),
}
