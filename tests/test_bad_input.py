"""Input that is wrong, at the level of the process: files and what Prometheus answers.

Each ends in a status or a state, with one line that names place, found, expected and what to do; the ledger is intact.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Installation, Traffic
from tests.scripted import Script
from tests.servers import ScriptedPrometheus, scripted

NAME = "checkout-1"


@pytest.fixture
def traffic(scripted_prometheus: ScriptedPrometheus) -> Traffic:
    traffic = Traffic()
    scripted_prometheus.always(traffic)
    return traffic


@pytest.fixture
def site(tmp_path: Path, scripted_prometheus: ScriptedPrometheus, traffic: Traffic) -> Installation:
    return Installation(tmp_path, scripted_prometheus.url)


def intact(site: Installation) -> None:
    """SQLite finds nothing wrong with the ledger, and the program reads it."""
    ledger = site.ledger()
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    assert ledger.rollouts() is not None
    ledger.close()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rollout: checkout-1\nramp: {strategy: progr", "is not valid YAML"),
        ("", "is empty"),
        ("- a list\n", "expected a mapping"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n", ""),
        ("rollout: !!python/object/apply:os.system ['touch hacked']\n", ""),
        ("rollout: checkout-1\nrollout: checkout-2\n", "rollout"),
        ("\x00\x01\x02", ""),
        ("rollout: " + "[" * 5000, ""),
    ],
    ids=["truncated", "empty", "list", "aliases", "python-object", "duplicate-key", "binary", "deep"],
)
def test_a_rollout_file_that_is_no_rollout_is_refused_in_one_line_each(
    site: Installation, text: str, says: str
) -> None:
    path = site.directory / "rollouts" / "broken.yaml"
    path.write_text(text)
    done = site.run("run")
    assert done.status == 2
    lines = [line for line in done.err.splitlines() if line.startswith("slo-watchdog: ")]
    assert lines
    assert all("broken.yaml" in line for line in lines), lines
    assert "Traceback" not in done.err
    assert says in done.err
    assert not (site.directory / "hacked").exists()
    intact(site)


def test_a_file_that_breaks_while_it_runs_is_said_once_and_changes_nothing(site: Installation) -> None:
    """A new file with a used name, a changed file, a broken one: what runs goes on by its frozen rule."""
    path = site.rollout(NAME, auto_start="true")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "ramping")
        path.write_text(path.read_text().replace("at_most: 1%", "at_most: 50%"))
        daemon.end()
    with site.daemon() as daemon:
        said = daemon.said("ignored")
        assert "has changed since checkout-1 was first seen; the frozen rule stays in force" in said["why"]
        status = site.until(NAME, lambda status: status["phase"] == "soaking")
        assert "wanted at most 1% bad" in status["objectives"][0]["why"]
        assert daemon.end() == 0
    (site.directory / "rollouts" / "twin.yaml").write_text(path.read_text())
    done = site.run("check")
    assert done.status == 2
    assert "'checkout-1' is already the name of" in done.err


def test_a_broken_file_does_not_leave_a_rollout_that_is_under_way_unwatched(site: Installation) -> None:
    """With nothing under way a broken file refuses the start; here it is said, and the watch goes on."""
    site.rollout(NAME, auto_start="true")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "ramping")
        daemon.end()
    (site.directory / "rollouts" / "broken.yaml").write_text("rollout: [")
    with site.daemon() as daemon:
        assert "broken.yaml" in daemon.said("ignored")["what"]
        site.until(NAME, lambda status: status["phase"] == "soaking")
        assert daemon.end() == 0


def test_settings_that_are_wrong_end_every_command_with_2(site: Installation) -> None:
    site.config.write_text("prometheus: {url: 7}\nledgers: x\nlog: {level: loud}\n")
    done = site.run("run")
    assert done.status == 2
    lines = done.err.splitlines()
    assert len(lines) == 3
    for place in ("prometheus.url", "ledgers", "log.level"):
        assert any(line.startswith(f"slo-watchdog: {site.config}: {place}: ") for line in lines), lines


# --- what Prometheus answers ------------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, Callable[[str], Script], str, str]] = [
    ("refuses the query", lambda _: scripted.error(400, "bad_data", "parse error"), "query_error", "parse error"),
    ("hangs", lambda _: scripted.hang(), "unreachable", "gave no answer within"),
    ("answers slowly", lambda _: scripted.drip(scripted.value(1), 3), "unreachable", "within"),
    ("garbage", lambda _: scripted.garbage(), "query_error", ""),
    ("no HTTP", lambda _: scripted.not_http(), "query_error", "SSH-2.0-OpenSSH"),
    ("10 MB", lambda _: scripted.big(10_000_000), "query_error", ""),
    ("status 503", lambda _: scripted.status(503), "unreachable", "503"),
    ("status 404", lambda _: scripted.status(404), "query_error", "404"),
    ("a redirect", lambda url: scripted.redirect(f"{url}/elsewhere"), "query_error", "redirect"),
    ("a sign-in page", lambda _: scripted.html(), "query_error", ""),
    ("two series", lambda _: scripted.series(({"a": "1"}, lambda t: 1), ({"a": "2"}, lambda t: 2)), "many_series", "2"),
    ("nothing", lambda _: scripted.series(), "no_data", ""),
    ("not a number", lambda _: scripted.value("NaN"), "not_a_number", "nan"),
    ("a warning", lambda _: scripted.value(1, warnings=["a store is down"]), "partial", "a store is down"),
    ("a wrong clock", lambda _: scripted.skewed(Traffic(), 60), "clock_skew", ""),
]


def test_each_bad_answer_of_prometheus_is_a_reason_with_a_sentence_and_takes_nothing_back(
    site: Installation, traffic: Traffic, scripted_prometheus: ScriptedPrometheus
) -> None:
    """One daemon, one fault after the other, a good answer between: the flag stays, and it ticks on."""
    site.rollout(NAME, auto_start="true", ramp="{strategy: percentage, to: 25}")
    with site.daemon() as daemon:
        site.until(NAME, lambda status: status["phase"] == "soaking")
        for what, fault, reason, says in ANSWERS:
            traffic.fault = fault(scripted_prometheus.url)
            status = site.until(
                NAME, lambda status, reason=reason: status["objectives"][0]["reason"] == reason, within=20
            )
            objective = status["objectives"][0]
            assert (objective["verdict"], objective["name"]) == ("unknown", "error_rate"), what
            assert objective["why"].startswith(f"error_rate {reason}") or reason in objective["why"], (what, objective)
            assert says in objective["why"], (what, objective["why"])
            assert "\n" not in objective["why"]
            assert len(objective["why"]) < 600, what
            traffic.fault = None
            site.until(NAME, lambda status: status["objectives"][0]["verdict"] == "pass", within=20)
        assert site.history(NAME, "breach") == []
        assert not [line for line in daemon.lines if line["event"] == "tick failed"]
        assert site.serves == 25
        assert daemon.end() == 0
    intact(site)
