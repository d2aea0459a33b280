"""What people are told: which recorded facts make a message, what it does, and its words. Pure."""

from __future__ import annotations

from watchdog.messages.compose import About, compose, incident_key, open_incidents
from watchdog.messages.links import rollout_links
from watchdog.messages.message import Effect, Link, Message, View
from watchdog.messages.quiet import held_until

__all__ = [
    "About",
    "Effect",
    "Link",
    "Message",
    "View",
    "compose",
    "held_until",
    "incident_key",
    "open_incidents",
    "rollout_links",
]
