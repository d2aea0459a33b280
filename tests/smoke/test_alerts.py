"""Area alerts: people are told in time, alerts are taken only from who may send them, and they are counted."""

from __future__ import annotations

import re

import pytest

from .asking import Site, labelled

pytestmark = pytest.mark.smoke

WAITS = 300.0
"""Seconds that a message may wait for its channel: slo:page_wait:seconds of the rules."""


@pytest.mark.critical
def test_no_message_to_people_waits_for_its_channel(target: Site) -> None:
    samples = target.samples()
    oldest = samples["slo_watchdog_notification_oldest_age_seconds"]
    paused = [name for name, value in labelled(samples, "slo_watchdog_notification_channel_paused").items() if value]
    assert oldest < WAITS, f"a message has waited for {oldest:g} s; paused channels: {paused or 'none'}"


def test_every_channel_counts_what_it_sends(target: Site) -> None:
    samples = target.samples()
    channels = set(labelled(samples, "slo_watchdog_notification_channel_paused"))
    sent = {
        re.sub(r',?result="[a-z]*"', "", labels) for labels in labelled(samples, "slo_watchdog_notifications_total")
    }
    assert channels <= sent


@pytest.mark.critical
def test_alerts_are_taken_from_nobody_without_a_token(target: Site) -> None:
    """The message is no message either: even an open door would record nothing."""
    target.refused("/api/v1/alerts")


def test_false_alarms_are_counted(target: Site) -> None:
    noise = target.json("/api/v1/noise")
    assert 0 <= noise["lower"] <= noise["upper"]
    assert noise["precision"] is None or 0 <= noise["precision"] <= 1
    assert noise["heard"] or noise["heard_why"], "it must say why nothing was heard"


def test_what_fired_can_be_read(target: Site) -> None:
    for one in target.json("/api/v1/alerts/episodes")["episodes"]:
        assert one["id"]
        assert one["class"]
