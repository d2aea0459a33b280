"""Reading over HTTP: health, the status page, the JSON API and reports, from a real server over a real ledger."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import requests

from tests.ledgers import NOON
from tests.webserver import NAME, Site, healthy
from watchdog.account import Account
from watchdog.errors import ConfigError
from watchdog.ledger import StoredRollout
from watchdog.model import Phase
from watchdog.quantities import parse_time, rfc3339
from watchdog.report import build, render_json
from watchdog.web.server import Server

API = f"/api/v1/rollouts/{NAME}"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def signed_off(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A rollout that went well, seen half an hour after its start, and one that is still to come."""
    with Site(tmp_path_factory.mktemp("signed-off")) as site:
        site.add()
        site.tick(40)
        site.add("later", "old-checkout")
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as running:
        yield running


def stored(site: Site, name: str = NAME) -> StoredRollout:
    found = site.ledger.rollout(name)
    assert found is not None
    return found


def problem(answer: requests.Response, status: int, kind: str) -> str:
    """The detail of a problem document, which must be of that status and kind."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, PROBLEM)
    body = answer.json()
    assert body["type"] == f"urn:problem-type:slo-watchdog:{kind}"
    assert body["status"] == status
    assert unquote(body["instance"]) == unquote(urlsplit(answer.request.url or "").path)
    assert body["title"]
    return str(body["detail"])


# --- the daemon's health ----------------------------------------------------------------------------------------------


def test_health_asks_nobody(site: Site) -> None:
    site.ledger.close()
    assert site.get("/healthz").json()["status"] == "ok"


def test_readiness_is_the_daemons_own_answer(site: Site) -> None:
    assert site.get("/readyz").json() == {"status": "ready", "why": "ready"}
    site.ready = (False, "rollout a has not ticked for 100 s")
    answer = site.get("/readyz")
    assert problem(answer, 503, "not-ready") == "rollout a has not ticked for 100 s"
    assert answer.headers["Retry-After"] == "10"


def test_metrics_are_given_in_prometheus_text_format(site: Site) -> None:
    site.metrics.build("1.2.3")
    answer = site.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'slo_watchdog_build_info{version="1.2.3"} 1.0' in answer.text


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/api/v1/rollouts", f"{API}/report", "/nowhere"])
def test_every_answer_forbids_scripts_frames_and_caches(signed_off: Site, path: str) -> None:
    headers = signed_off.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cache-Control"] == ("private, no-cache" if path == "/api/v1/rollouts" else "no-store")
    assert "Server" not in headers


# --- rollouts ---------------------------------------------------------------------------------------------------------


def test_rollouts_are_listed_with_the_status_that_the_command_line_gives(signed_off: Site) -> None:
    found = signed_off.get("/api/v1/rollouts").json()["rollouts"]
    assert [(one["rollout"], one["phase"]) for one in found] == [(NAME, "signed_off"), ("later", "pending")]
    assert found[0] == Account(signed_off.ledger, stored(signed_off)).status()
    assert signed_off.get(API).json() == found[0]


def test_an_empty_ledger_has_no_rollouts(site: Site) -> None:
    assert site.get("/api/v1/rollouts").json() == {"rollouts": [], "next": None}


def test_transitions_tell_the_story_in_order(signed_off: Site) -> None:
    told = signed_off.get(f"{API}/transitions").json()["transitions"]
    assert [one["kind"] for one in told] == ["start", "step", "step", "interim", "signed_off"]
    assert told[0] == {
        "at": rfc3339(NOON + 0.5),
        "kind": "start",
        "from": "pending",
        "to": "ramping",
        "why": "started by watchdog at 0%",
        "by": "watchdog",
        "objective": None,
    }


def test_evaluations_default_to_the_last_hour(signed_off: Site) -> None:
    found = signed_off.get(f"{API}/evaluations").json()
    assert (found["to"], found["from"]) == (rfc3339(signed_off.now), rfc3339(signed_off.now - 3600))
    assert found["next"] is None
    by_objective = [one["objective"] for one in found["evaluations"]]
    assert by_objective.count("error_rate") == by_objective.count("flag_ramp") == len(by_objective) / 3
    assert found["evaluations"][0] == {
        "objective": "error_rate",
        "at": rfc3339(NOON + 30),
        "verdict": "pass",
        "reason": None,
        "value": 0.0,
        "bad": 0.0,
        "total": 10_000.0,
        "why": "error_rate 0% bad (0 bad of 10000), wanted at most 0.1% bad",
    }


def test_evaluations_are_those_after_from_and_not_after_to(signed_off: Site) -> None:
    span = {"from": rfc3339(NOON + 60), "to": "2023-11-15T13:02:00+01:00", "objective": "error_rate"}
    found = signed_off.get(f"{API}/evaluations", params=span).json()
    assert [parse_time(one["at"]) for one in found["evaluations"]] == [NOON + 90, NOON + 120]


def test_a_long_stretch_comes_in_pages_that_join_without_a_seam(site: Site) -> None:
    def never_traffic(expression: str, at: int) -> float | None:
        return 0.0 if "requests" in expression else healthy(expression, at)

    site.add()
    site.source.answer = never_traffic
    site.tick(3)
    site.now += 6 * 3600
    site.tick(3)
    span = {"from": rfc3339(NOON - 86_400), "to": rfc3339(site.now)}
    address: str | None = f"{API}/evaluations"
    pages: list[list[tuple[str, str]]] = []
    while address is not None:
        page = site.get(address, params=span if not pages else None).json()
        assert len(page["evaluations"]) <= 2000
        pages.append([(one["at"], one["objective"]) for one in page["evaluations"]])
        address = page["next"]
    last = stored(site).last_slot
    assert last is not None
    joined = [one for page in pages for one in page]
    slots = [rfc3339(at) for at in range(NOON + 30, last + 1, 30)]
    assert len(pages) == 2
    assert joined == [(at, name) for at in slots for name in ("error_rate", "queue_age", "flag_ramp")]


def test_a_rollout_that_never_started_has_no_evaluations(signed_off: Site) -> None:
    found = signed_off.get("/api/v1/rollouts/later/evaluations").json()
    assert (found["evaluations"], found["next"]) == ([], None)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"objective": "typo"}, "objective: found 'typo', expected one of error_rate, queue_age, flag_ramp"),
        ({"from": "yesterday"}, "from: found 'yesterday', expected a time with its zone"),
        ({"to": "2026-11-22T09:00:00"}, "to: found '2026-11-22T09:00:00', expected a time with its zone"),
        ({"to": "2026-02-30T09:00:00Z"}, "that exists in the calendar"),
        ({"from": "2030-01-01T00:00:00Z"}, "from: 2030-01-01T00:00:00Z is later than `to`"),
    ],
)
def test_a_parameter_that_is_not_understood_is_a_problem(signed_off: Site, query: dict[str, str], said: str) -> None:
    assert said in problem(signed_off.get(f"{API}/evaluations", params=query), 400, "bad-parameter")


@pytest.mark.parametrize("path", ["", "/evaluations", "/transitions", "/report", "/commands/1"])
@pytest.mark.parametrize("name", ["typo", "%3Cb%3E", "..%2e", "x" * 300])
def test_an_unknown_rollout_is_a_problem(signed_off: Site, name: str, path: str) -> None:
    problem(signed_off.get(f"/api/v1/rollouts/{name}{path}"), 404, "unknown-rollout")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/api/v1/rollouts/", 404, "not-found"),
        ("GET", f"{API}/commands/first", 404, "not-found"),
        ("GET", f"{API}/commands/7", 404, "unknown-command"),
        ("GET", f"{API}/commands/{'9' * 5000}", 404, "unknown-command"),
        ("GET", f"/api/v1/drills/{2**31}", 404, "unknown-drill"),
        ("GET", f"/api/v1/drills/{'9' * 5000}", 404, "unknown-drill"),
        ("POST", f"{API}/explode", 404, "not-found"),
        ("POST", "/api/v1/rollouts", 405, "method-not-allowed"),
        ("GET", f"{API}/hold", 405, "method-not-allowed"),
        ("DELETE", API, 405, "method-not-allowed"),
        ("OPTIONS", "/", 405, "method-not-allowed"),
    ],
)
def test_what_is_not_there_is_a_problem(signed_off: Site, method: str, path: str, status: int, kind: str) -> None:
    answer = signed_off.ask(method, path)
    problem(answer, status, kind)
    assert ("Allow" in answer.headers) == (status == 405)


def test_a_ledger_that_fails_is_said_and_the_process_stays_healthy(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.add()
        site.ledger.close()
        for leftover in tmp_path.glob("watchdog.db*"):
            leftover.unlink()
        (tmp_path / "watchdog.db").write_bytes(b"this is no database" * 100)
        for path in ("/", "/api/v1/rollouts", API, f"{API}/report"):
            assert "is not a ledger" in problem(site.get(path), 503, "ledger")
        assert "`slo-watchdog flags kill FLAG`" in problem(site.order("rollback", json={"reason": "x"}), 503, "ledger")
        assert site.woken == []
        assert site.get("/healthz").ok


def test_an_error_of_our_own_is_a_problem_without_its_details_and_is_counted(tmp_path: Path) -> None:
    def broken(_stored: StoredRollout, _form: str) -> bytes:
        raise RuntimeError("password=hunter2")

    with Site(tmp_path, report_bytes=broken) as site:
        site.add()
        answer = site.get(f"{API}/report")
        assert "hunter2" not in problem(answer, 500, "internal") + answer.text
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "slo_watchdog_http_errors_total 1.0" in site.get("/metrics").text


# --- reports ----------------------------------------------------------------------------------------------------------


def frozen(site: Site, directory: Path, kind: str, data: bytes, form: str = "html") -> Path:
    path = directory / f"{kind}.{form}"
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    site.ledger.save_report(stored(site).id, kind, form, str(path), digest, site.now)
    return path


@pytest.mark.parametrize(
    ("form", "mime", "begins"),
    [
        ("html", "text/html; charset=utf-8", "<!doctype html>"),
        ("md", "text/markdown; charset=utf-8", "# "),
        ("json", "application/json", "{"),
    ],
)
def test_a_report_is_built_from_the_ledger(signed_off: Site, form: str, mime: str, begins: str) -> None:
    answer = signed_off.get(f"{API}/report", params={"format": form, "kind": "now"})
    assert answer.headers["Content-Type"] == mime
    assert answer.headers["X-Report-Kind"] == "now"
    assert answer.headers["X-Report-Sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert answer.text.lower().startswith(begins)


def test_the_json_report_is_the_one_that_the_command_line_builds(signed_off: Site) -> None:
    account = Account(signed_off.ledger, stored(signed_off))
    wanted = render_json(build(account.evidence(signed_off.now)))
    assert signed_off.get(f"{API}/report", params={"format": "json"}).text == wanted


def test_a_signed_off_rollout_gives_the_bytes_that_were_frozen(site: Site, tmp_path: Path) -> None:
    site.add()
    site.tick(40)
    assert stored(site).phase is Phase.SIGNED_OFF
    assert site.get(f"{API}/report").headers["X-Report-Kind"] == "now"
    frozen(site, tmp_path, "interim", b"<!doctype html>interim")
    frozen(site, tmp_path, "final", b"<!doctype html>final")
    answer = site.get(f"{API}/report")
    assert (answer.content, answer.headers["X-Report-Kind"]) == (b"<!doctype html>final", "final")
    assert answer.headers["Content-Disposition"] == f'inline; filename="{NAME}.final.html"'
    assert site.get(f"{API}/report?kind=interim").content == b"<!doctype html>interim"
    frozen(site, tmp_path, "final", b"<!doctype html>amended")
    assert site.get(f"{API}/report").content == b"<!doctype html>amended"


def test_an_interim_report_does_not_speak_for_a_rollout_that_goes_on(site: Site, tmp_path: Path) -> None:
    site.add()
    site.tick(24)
    assert stored(site).phase is Phase.SOAKING
    frozen(site, tmp_path, "interim", b"<!doctype html>signed off for now")
    assert site.get(f"{API}/report").headers["X-Report-Kind"] == "now"


def test_a_frozen_report_that_was_changed_or_lost_is_not_passed_off_as_the_original(site: Site, tmp_path: Path) -> None:
    site.add()
    site.tick(40)
    path = frozen(site, tmp_path, "final", b"<!doctype html>signed off")
    path.write_bytes(b"<!doctype html>signed off on 7 of 7")
    assert "final.html was changed after the sign-off" in problem(site.get(f"{API}/report"), 500, "report-changed")
    path.unlink()
    said = problem(site.get(f"{API}/report?kind=final"), 500, "report-changed")
    assert "final.html cannot be read (No such file or directory)" in said
    assert str(tmp_path) not in said
    assert site.get(f"{API}/report?kind=now").ok


@pytest.mark.parametrize(
    ("query", "status", "kind", "said"),
    [
        ({"format": "pdf"}, 400, "bad-parameter", "format: found 'pdf', expected one of html, md, json"),
        ({"kind": "latest"}, 400, "bad-parameter", "kind: found 'latest', expected one of final, interim, now"),
        ({"kind": "interim"}, 404, "no-report", f"rollout {NAME} has no interim report; kind=now builds one"),
    ],
)
def test_a_report_that_there_is_not_is_a_problem(
    signed_off: Site, query: dict[str, str], status: int, kind: str, said: str
) -> None:
    assert problem(signed_off.get(f"{API}/report", params=query), status, kind) == said


def test_a_slow_report_does_not_keep_others_waiting(tmp_path: Path) -> None:
    go_on = threading.Event()

    def slow(_stored: StoredRollout, _form: str) -> bytes:
        assert go_on.wait(20)
        return b"done"

    with Site(tmp_path, report_bytes=slow) as site, ThreadPoolExecutor(3) as people:
        site.add()
        reports = [people.submit(site.get, f"{API}/report") for _ in range(3)]
        for path in ("/", "/readyz", "/metrics", API):
            assert site.get(path).ok
        go_on.set()
        assert [report.result().text for report in reports] == ["done"] * 3


def test_a_crowd_of_readers_is_served(signed_off: Site) -> None:
    with ThreadPoolExecutor(24) as people:
        answers = list(people.map(lambda _: signed_off.get("/api/v1/rollouts").status_code, range(48)))
    assert answers == [200] * 48


# --- the server -------------------------------------------------------------------------------------------------------


def test_an_address_that_is_taken_is_said_with_what_to_do(site: Site) -> None:
    second = Server(None, "127.0.0.1", site.answering.port)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"http\.listen: 127\.0\.0\.1:\d+ cannot be listened on .*Address already in"):
        second.start()
    assert second.stop(1)


def test_an_address_that_does_not_exist_is_said(site: Site) -> None:
    with pytest.raises(ConfigError, match=r"no-such-host\.invalid:80 cannot be listened on"):
        Server(None, "no-such-host.invalid", 80).start()  # type: ignore[arg-type]


def test_it_stops_although_a_connection_is_open_and_can_be_started_again_at_once(tmp_path: Path) -> None:
    with Site(tmp_path) as first:
        port = first.answering.port
        session = requests.Session()
        session.get(f"{first.url}/healthz", timeout=5)
        begun = time.monotonic()
        assert first.answering.stop(10)
        assert time.monotonic() - begun < 5
        session.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_stopping_is_bounded_when_a_request_hangs(tmp_path: Path) -> None:
    go_on, begun = threading.Event(), threading.Event()

    def hangs(_stored: StoredRollout, _form: str) -> bytes:
        begun.set()
        assert go_on.wait(30)
        return b""

    with Site(tmp_path, report_bytes=hangs) as site, ThreadPoolExecutor(1) as person:
        site.add()
        asked = person.submit(site.get, f"{API}/report")
        assert begun.wait(10)
        at = time.monotonic()
        assert site.answering.stop(4)
        assert time.monotonic() - at < 4
        go_on.set()
        assert asked.exception() is not None or not asked.result().ok
