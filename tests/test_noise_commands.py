"""`noise list` and `noise label`, the report's section and the metrics: what people see of alert noise."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.alarms import HOUR, MINUTE, NOON, RULE, alert
from tests.ledgers import ledger_at
from tests.processes import EVENTS, Installation, Traffic
from tests.scripted import ScriptedPrometheus
from watchdog.alarmwatch import AlarmWatch
from watchdog.config import load_settings
from watchdog.ledger import Ledger
from watchdog.model import NoiseRule
from watchdog.noise.classify import FLAP_WITHIN, FLAPS, MARGIN, SHORT, SILENCED_WITHIN
from watchdog.noise.episodes import ALERTMANAGER, Label
from watchdog.noise.hearing import ENOUGH, MISSED_SHARE
from watchdog.report.noise import noise_of

ROOT = Path(__file__).parent.parent
HOSTILE = "[/red] [bold]x[/] \x1b[31m \u202e <b>&amp;"


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    """Three alerts of the last hour, one of them labelled, one of a hostile name, and one of last week."""
    site = Installation(tmp_path, "http://127.0.0.1:9")
    ledger = site.ledger()
    now = time.time()
    for at, name in ((now - 8 * 86400, "Old"), (now - 3000, "DiskFull"), (now - 2000, HOSTILE)):
        ledger.take_alerts(ALERTMANAGER, (alert(at, name),), at)
    for pod in range(3):
        ledger.take_alerts(ALERTMANAGER, (alert(now - 1000, "PodDown", fingerprint=f"p{pod}"),), now - 1000)
    ledger.label_episode("a2", Label.NOT_ACTIONABLE, "ada", "nothing to do", now - 100, now - 100)
    ledger.close()
    return site


def test_the_list_shows_what_fired_and_what_it_was(site: Installation) -> None:
    done = site.run("noise", "list")
    assert done.status == 0, done.err
    assert [line.split()[0] for line in done.out.splitlines()[2:5]] == ["a2", "a3", "a4"]
    assert "DiskFull" in done.out
    assert "not actionable: nothing to do" in done.out
    assert "PodDown (3 alerts)" in done.out
    assert "[/red] [bold]x[/]" in done.out
    assert "\x1b" not in done.out
    assert "\u202e" not in done.out
    assert "Old" not in done.out
    assert "false alarms: 1 to 1 of 3 pages; 2 unclassified and not older than 12h" in done.out
    assert "Alertmanager was last heard at" in done.out


def test_the_list_as_json_goes_back_as_far_as_asked(site: Installation) -> None:
    found = site.run("noise", "list", "--json", "--since", "10d", "--service", "checkout").data
    assert [one["alertname"] for one in found["episodes"]] == ["Old", "DiskFull", HOSTILE, "PodDown"]
    assert [found[name] for name in ("lower", "upper", "pages", "precision")] == [1, 2, 4, 0.0]
    assert site.run("noise", "list", "--json", "--service", "cart").data["episodes"] == []


def test_a_label_is_recorded_with_who_and_why(site: Installation) -> None:
    done = site.run("noise", "label", "a4", "true_positive", "--reason", "it was down", "--by", "grace", "--json")
    assert (done.status, done.data["by"], done.data["why"]) == (0, "grace", "it was down")
    found = site.run("noise", "list", "--json").data
    assert (found["episodes"][-1]["class"], found["episodes"][-1]["by"]) == ("true_positive", "grace")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("a99", "silenced", "--reason", "x"), 1, "there is no episode 'a99'"),
        (("a4", "wrong", "--reason", "x"), 2, "wrong"),
        (("a4", "silenced"), 2, "--reason"),
        (("a4", "silenced", "--reason", "x", "--at", "2999-01-01T00:00:00Z"), 2, "--at: is in the future"),
        (("a4", "silenced", "--reason", "x", "--at", "noon"), 2, "--at"),
    ],
)
def test_a_label_that_cannot_be_given_says_why(
    site: Installation, arguments: tuple[str, ...], status: int, says: str
) -> None:
    done = site.run("noise", "label", *arguments)
    assert done.status == status
    assert says in done.err
    assert "Traceback" not in done.err


# --- the report ---------------------------------------------------------------------------------------------------


def told(**changes: Any) -> dict[str, Any]:
    noise = {
        "service": "checkout",
        "lower": 1,
        "upper": 3,
        "pages": 7,
        "unclassified_young": 2,
        "grace_s": 43200.0,
        "precision": 0.75,
        "recall": 1.0,
        "breaches": 2,
        "breaches_with_page": 2,
        "true_positives": 3,
        "detected_in_s": 30.0,
        "reset_in_s": 90.0,
        "judged": True,
        "heard_why": "",
        "episodes": [],
    }
    return {"noise": noise | changes}


def sentences(**changes: Any) -> str:
    found = noise_of(told(**changes))
    assert found is not None
    return " ".join(found["sentences"]).replace("\N{NO-BREAK SPACE}", " ")


def test_the_report_says_the_interval_and_how_good_the_alerts_are() -> None:
    assert sentences() == (
        "1 to 3 false alarms of 7 pages about checkout in the watch. 2 more unclassified, for less than 12 h so far. "
        "Precision 75 %, recall 100 % (2 of 2 breaches had a page). "
        "Pages came 30 s after a breach, and were over 1 min 30 s after it (medians)."
    )


def test_the_report_says_what_is_not_known() -> None:
    found = sentences(lower=0, upper=0, unclassified_young=0, precision=None, recall=None, breaches=0, judged=False)
    assert found.startswith("0 false alarms of 7 pages")
    assert "there was no breach" in found
    assert found.endswith("No objective judged them.")
    assert noise_of({"noise": None}) is None


# --- metrics ------------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = ledger_at(tmp_path / "watchdog.db")
    yield opened
    opened.close()


def test_the_gauges_follow_the_ledger(ledger: Ledger) -> None:
    registry = CollectorRegistry()
    watch = AlarmWatch(ledger, RULE, registry)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"slo_watchdog_{name}", labels)

    watch.look(NOON)
    assert value("alert_noise_upper", service="checkout") is None
    assert value("alerts_last_heard_timestamp_seconds", source="alertmanager") is None

    ledger.take_alerts(ALERTMANAGER, (alert(NOON), alert(NOON, "Other")), NOON)
    ledger.label_episode("a1", Label.FALSE_POSITIVE, "ada", "x", NOON + 60, NOON + 60)
    watch.look(NOON + 13 * HOUR)
    assert value("alert_noise_lower", service="checkout") == 1
    assert value("alert_noise_upper", service="checkout") == 2
    assert value("alert_precision", service="checkout") == 0
    assert value("alert_recall", service="checkout") is None
    assert value("alert_episodes", source="alertmanager", **{"class": "false_positive"}) == 1
    assert value("alert_episodes", source="watchdog", **{"class": "true_positive"}) == 0
    assert value("alerts_last_heard_timestamp_seconds", source="alertmanager") == NOON

    watch.look(NOON + 25 * HOUR)
    assert value("alert_noise_upper", service="checkout") is None
    assert value("alert_episodes", source="alertmanager", **{"class": "false_positive"}) == 0


def test_every_gauge_has_its_line_in_the_docs_and_the_reverse(ledger: Ledger) -> None:
    registry = CollectorRegistry()
    AlarmWatch(ledger, RULE, registry)
    page = (ROOT / "docs" / "noise.md").read_text(encoding="utf-8")
    told_ = set(re.findall(r"^\| `(slo_watchdog_\w+)` \|", page, re.MULTILINE))
    assert told_ == {metric.name for metric in registry.collect()}


def test_the_page_names_every_label_and_every_number_of_the_rules() -> None:
    page = (ROOT / "docs" / "noise.md").read_text(encoding="utf-8")
    assert [label for label in Label if f"`{label}`" not in page] == []
    numbers = {MARGIN: "5 min", SHORT: "5 min", FLAP_WITHIN: "1 h", SILENCED_WITHIN: "15 min", ENOUGH: "1 h"}
    assert [words for seconds, words in numbers.items() if words not in page or _seconds(words) != seconds] == []
    assert f"at least {FLAPS} times" in page
    assert f"{MISSED_SHARE:.0%}".replace("%", " %") in page


def _seconds(words: str) -> float:
    number, unit = words.split()
    return int(number) * {"min": MINUTE, "h": HOUR}[unit]


# --- the rule and the settings ------------------------------------------------------------------------------------

QUIET = f"{EVENTS.rstrip()}\n  - use: alert_noise\n"


def test_a_rollout_that_counts_alarms_is_refused_while_nobody_may_tell_of_any(tmp_path: Path) -> None:
    site = Installation(tmp_path, "http://127.0.0.1:9")
    site.rollout("checkout-1", QUIET)
    done = site.run("check")
    assert done.status == 2
    assert "objectives[1].internal" in done.out + done.err
    assert "alerts.token_file" in done.out + done.err


def test_with_a_token_it_is_sound(tmp_path: Path) -> None:
    (tmp_path / "alerts.token").write_text("secret\n")
    site = Installation(tmp_path, "http://127.0.0.1:9", alerts="{token_file: alerts.token, grace: 6h}")
    site.rollout("checkout-1", QUIET)
    done = site.run("check")
    assert done.status == 0, done.out + done.err
    assert load_settings(site.config).facts().noise == NoiseRule(grace=6 * HOUR)


def test_a_replay_takes_the_alerts_from_the_daemons_ledger(tmp_path: Path) -> None:
    (tmp_path / "alerts.token").write_text("secret\n")
    with ScriptedPrometheus(Traffic()) as prometheus:
        site = Installation(tmp_path, prometheus.url, alerts="{token_file: alerts.token}")
        keys = {"interval": "30s", "window": "{slices: 200, slice: 5m}", "rollback": "{within: 15m}"}
        ramp = "{strategy: all_at_once}"
        rule = str(site.rollout("checkout-1", QUIET.replace("every: 1s", "every: 1m"), ramp=ramp, **keys))
        span = ("--from", "2023-11-15T12:00:00Z", "--to", "2023-11-15T13:00:00Z", "--json")
        without = site.run("replay", rule, *span)
        assert without.status == 0, without.err
        assert [one["objective"] for one in without.data["left_out"]] == ["alert_noise"], without.err

        ledger = site.ledger()
        for at in range(NOON - 2 * HOUR, NOON + HOUR, 5 * MINUTE):
            ledger.take_alerts(ALERTMANAGER, (), at)
        for number in range(5):
            ledger.take_alerts(ALERTMANAGER, (alert(NOON + 600, f"A{number}"),), NOON + 600)
            ledger.label_episode(f"a{number + 1}", Label.FALSE_POSITIVE, "ada", "x", NOON + 1800, NOON + 1800)
        ledger.close()
        found = site.run("replay", rule, *span).data
        assert found["left_out"] == []
        counts = found["evaluations"]["alert_noise"]
        assert (counts["pass"], counts["fail"], counts["unknown"]) == (59, 61, 0)
