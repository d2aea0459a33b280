"""What somebody hostile would try with a browser, and what comes of it: forged forms, frames, planted sessions,

guesses, and characters that end a header or a path. The server is real, on loopback.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.entering import ADA, ADAS, BOB, BOBS, EVE, Browser, bearer, csrf_of, http, tokens_file
from tests.test_web import problem
from tests.webserver import NAME, Site
from watchdog.access.attempts import BURST
from watchdog.access.gate import COOKIE, SECURE_COOKIE
from watchdog.web.headers import DATA, PAGE, REPORT
from watchdog.web.login import local

WHY = {"reason": "errors in the EU region"}
HOLD = f"/api/v1/rollouts/{NAME}/hold"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("threats")
    with Site(directory, http=http(directory)) as running:
        running.add()
        yield running


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A site of its own, for what leaves traces."""
    with Site(tmp_path, http=http(tmp_path)) as running:
        running.add()
        yield running


def logged_in(site: Site, token: str = ADA) -> Browser:
    browser = Browser(site.url)
    assert browser.login(token).status_code == 303
    return browser


# --- logging in and out -----------------------------------------------------------------------------------------------


def test_who_logs_in_goes_on_and_may_do_what_the_token_may(alone: Site) -> None:
    browser = Browser(alone.url)
    sent = browser.login(ADA, "/rollouts/x")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/rollouts/x")
    assert "ada" in browser.get("/login").text
    answer = browser.post(HOLD, json=WHY, headers={"X-CSRF-Token": browser.csrf, "Accept": "*/*"})
    assert (answer.status_code, answer.json()["by"]) == (202, "ada")
    assert (
        browser.post(HOLD.replace("hold", "adopt"), json=WHY, headers={"X-CSRF-Token": browser.csrf}).status_code == 403
    )


def test_the_cookie_cannot_be_read_by_scripts_nor_sent_by_other_sites_and_holds_no_token(site: Site) -> None:
    sent = Browser(site.url).login(ADA)
    (cookie,) = [one for one in sent.raw.headers.getlist("Set-Cookie") if one.startswith(f"{COOKIE}=")]
    said = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert said == {"httponly", "path=/", "samesite=strict", "max-age=43200"}
    assert ADA not in cookie
    assert ADAS.sha256 not in cookie


def test_a_browser_that_says_https_gets_a_cookie_that_no_other_can_set(site: Site) -> None:
    """A proxy before us ends TLS; the origin of the form says what the browser speaks."""
    browser = Browser(site.url)
    origin = site.url.replace("http:", "https:")
    fields = {"csrf": csrf_of(browser.get("/login"), "/login"), "token": ADA}
    sent = browser.post("/login", fields, headers={"Origin": origin})
    (cookie,) = [
        one
        for one in sent.raw.headers.getlist("Set-Cookie")
        if one.startswith(f"{SECURE_COOKIE}=sess") or (one.startswith(f"{SECURE_COOKIE}=") and "Max-Age=43200" in one)
    ]
    assert "secure" in cookie.lower()
    assert "path=/" in cookie.lower()
    assert "domain" not in cookie.lower()


def test_a_logout_ends_the_session_also_for_who_copied_its_cookie(alone: Site) -> None:
    browser = logged_in(alone)
    copied = dict(browser.session.cookies)
    token = browser.csrf
    assert browser.post("/logout", {"csrf": token}).status_code == 303
    assert COOKIE not in browser.session.cookies
    again = requests.get(alone.url + "/login", cookies=copied, timeout=10)
    assert "You are ada" not in again.text


def test_a_session_ends_with_its_token_and_after_twelve_hours(tmp_path: Path, alone: Site) -> None:
    browser = logged_in(alone)
    assert "You are ada" in browser.get("/login").text
    tokens_file(tmp_path, BOBS)
    assert "You are ada" not in browser.get("/login").text
    tokens_file(tmp_path, ADAS)
    assert "You are ada" in browser.get("/login").text
    alone.now += 12 * 3600
    assert "You are ada" not in browser.get("/login").text


def test_a_link_from_elsewhere_finds_the_session_that_its_browser_has(tmp_path: Path) -> None:
    """A strict cookie is not sent along it; the page where one logs in has the browser ask once more by itself."""
    with Site(tmp_path, http=http(tmp_path, reads="token")) as site:
        browser = logged_in(site, EVE)
        link = Browser(site.url).get("/", Sec_Fetch_Site="cross-site")
        shown = Browser(site.url).get(link.headers["Location"], Sec_Fetch_Site="cross-site")
        assert (shown.status_code, shown.headers["Refresh"]) == (200, "0; url=/login?next=/")
        followed = browser.get("/login?next=/")
        assert (followed.status_code, followed.headers["Location"]) == (303, "/")
        assert "Refresh" not in Browser(site.url).get("/login?next=/").headers


# --- forged requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
        {"Origin": EVIL, "Sec-Fetch-Site": None},
        {"Origin": None, "Sec-Fetch-Site": "cross-site"},
        {"Origin": None, "Sec-Fetch-Site": "same-site"},
        {"Origin": "null", "Sec-Fetch-Site": None},
        {"Origin": "", "Sec-Fetch-Site": None},
        {"Origin": "http://[", "Sec-Fetch-Site": None},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": None},
    ],
)
def test_a_page_of_another_site_changes_nothing_even_with_the_right_token(
    site: Site, headers: dict[str, str | None]
) -> None:
    browser = logged_in(site)
    token = browser.csrf
    for path, fields in (("/logout", {"csrf": token}), (HOLD, {"csrf": token, **WHY})):
        said = problem(browser.post(path, fields, headers=headers | {"Accept": "*/*"}), 403, "not-meant")
        assert "a page of another site has caused this request" in said
    assert site.ledger.commands(1) == []


def test_a_person_is_told_of_it_on_a_page(site: Site) -> None:
    refused = logged_in(site).post("/logout", {"csrf": "of a page before the restart"})
    assert (refused.status_code, refused.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "open the page again and send the form from there" in refused.text


@pytest.mark.parametrize("kind", ["none", "empty", "wrong", "another session's", "a visitor's", "twice"])
def test_a_form_without_its_token_changes_nothing(site: Site, kind: str) -> None:
    browser, other = logged_in(site), logged_in(site)
    token = {
        "none": None,
        "empty": "",
        "wrong": "x" * 43,
        "another session's": other.csrf,
        "a visitor's": csrf_of(browser.get("/login"), "/login"),
        "twice": browser.csrf,
    }[kind]
    assert token is None or token == "" or len(token) == 43
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    body = "reason=x" + (f"&csrf={token}" if token is not None else "") + ("&csrf=x" if kind == "twice" else "")
    answer = browser.session.post(site.url + HOLD, data=body, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) in (
        (403, "not-meant"),
        (400, "bad-request"),
    )
    assert site.ledger.commands(1) == []


@pytest.mark.parametrize("mime", ["application/json", "text/plain", "multipart/form-data; boundary=x", None])
def test_another_kind_of_body_is_no_way_around_it(site: Site, mime: str | None) -> None:
    """A foreign page can send text/plain without asking; JSON of ours carries its token in a header."""
    browser = logged_in(site)
    headers = {"Content-Type": mime} if mime is not None else {}
    body = json.dumps({**WHY, "csrf": browser.csrf})
    problem(browser.session.post(site.url + HOLD, data=body, headers=headers, timeout=10), 403, "not-meant")
    assert site.ledger.commands(1) == []


def test_a_bearer_token_needs_none_of_it_for_no_browser_sends_one_by_itself(alone: Site) -> None:
    sent = {**bearer(ADA), "Origin": EVIL, "Sec-Fetch-Site": "cross-site"}
    assert alone.ask("POST", HOLD, json=WHY, headers=sent).status_code == 202


def test_no_answer_invites_other_origins(site: Site) -> None:
    asked = {"Origin": EVIL, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-csrf-token"}
    for answer in (site.ask("OPTIONS", HOLD, headers=asked), site.get("/api/v1/rollouts", headers={"Origin": EVIL})):
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_nobody_can_be_logged_in_as_somebody_else_by_a_foreign_page(site: Site) -> None:
    """What they did then would be on record under a name of the attacker's choice."""
    browser = Browser(site.url)
    good = csrf_of(browser.get("/login"), "/login")
    foreign = browser.post("/login", {"csrf": good, "token": BOB}, headers={"Origin": EVIL})
    assert (foreign.status_code, COOKIE in browser.session.cookies) == (403, False)
    for csrf in ("", "x" * 43, csrf_of(Browser(site.url).get("/login"), "/login")):
        answer = browser.post("/login", {"csrf": csrf, "token": BOB})
        assert (answer.status_code, COOKIE in browser.session.cookies) == (403, False)
        assert "was not sent from this page" in answer.text


# --- planted sessions -------------------------------------------------------------------------------------------------


def test_a_session_that_was_there_before_the_login_is_not_the_one_after(alone: Site) -> None:
    eve = Browser(alone.url)
    eve.login(EVE)
    planted = eve.session.cookies[COOKIE]
    victim = Browser(alone.url)
    victim.session.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
    shown = victim.get("/login")
    assert "You are eve" in shown.text
    answer = victim.post("/login", {"csrf": csrf_of(shown, "/login"), "token": BOB})
    assert answer.cookies[COOKIE] != planted
    assert "You are bob" in alone.get("/login", headers={"Cookie": f"{COOKIE}={answer.cookies[COOKIE]}"}).text
    assert "You are eve" in eve.get("/login").text  # whoever planted it has no more than before


@pytest.mark.parametrize("planted", ["chosen-by-somebody", "a.b.c.d", "", "x" * 5000, "YWRh.1.x.y"])
def test_a_session_that_we_did_not_sign_is_none(site: Site, planted: str) -> None:
    answer = site.get("/login", headers={"Cookie": f"{COOKIE}={planted}"})
    assert answer.status_code == 200
    assert "You are" not in answer.text
    assert planted == "" or planted not in "".join(answer.raw.headers.getlist("Set-Cookie"))


def test_a_session_of_another_process_is_none_without_a_key_in_common(tmp_path: Path, site: Site) -> None:
    cookie = dict(logged_in(site).session.cookies)
    with Site(tmp_path, http=http(tmp_path)) as other:
        assert "You are" not in requests.get(other.url + "/login", cookies=cookie, timeout=10).text


def test_a_key_in_common_lets_replicas_share_sessions(tmp_path: Path) -> None:
    key = {"session_key": "k" * 32}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with (
        Site(tmp_path / "one", http=http(tmp_path, **key)) as one,
        Site(tmp_path / "two", http=http(tmp_path, **key)) as two,
    ):
        cookie = dict(logged_in(one).session.cookies)
        assert "You are ada" in requests.get(two.url + "/login", cookies=cookie, timeout=10).text


# --- guesses ----------------------------------------------------------------------------------------------------------


def test_who_guesses_tokens_is_slowed_down_and_told_when_to_come_back(alone: Site) -> None:
    statuses = [alone.order("hold", token=f"guess-{number}", json=WHY).status_code for number in range(BURST + 5)]
    assert statuses == [401] * BURST + [429] * 5
    stopped = alone.order("hold", token=ADA, json=WHY)
    said = problem(stopped, 429, "too-many-attempts")
    assert 1 <= int(stopped.headers["Retry-After"]) <= 7
    assert "too many tokens from this address were wrong" in said
    assert 'http_refused_total{why="too-many-attempts"}' in alone.get("/metrics").text
    assert alone.get("/api/v1/rollouts").ok  # who brings no token is not in the way
    assert alone.ledger.commands(1) == []


def test_the_form_and_the_header_share_one_count(alone: Site) -> None:
    browser = Browser(alone.url)
    wrong = browser.login("wrong")
    assert (wrong.status_code, "that is no token of this watchdog" in wrong.text) == (401, True)
    for number in range(BURST - 1):
        alone.order("hold", token=f"guess-{number}", json=WHY)
    stopped = browser.login(ADA)
    assert (stopped.status_code, COOKIE in browser.session.cookies) == (429, False)
    assert int(stopped.headers["Retry-After"]) >= 1
    assert "try again in" in stopped.text


def test_who_has_a_session_is_not_locked_out_by_guesses_of_a_neighbour(alone: Site) -> None:
    browser = logged_in(alone)
    token = browser.csrf
    for number in range(BURST + 1):
        alone.order("hold", token=f"guess-{number}", json=WHY)
    assert browser.post(HOLD, json=WHY, headers={"X-CSRF-Token": token}).status_code == 202


def test_guesses_of_alertmanagers_token_count_as_well(alone: Site) -> None:
    def send(token: str) -> int:
        return alone.ask(
            "POST", "/api/v1/alerts", json={"version": "4", "alerts": []}, headers=bearer(token)
        ).status_code

    assert [send("wrong") for _ in range(BURST + 1)] == [401] * BURST + [429]


def test_a_wrong_token_is_never_shown_again(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    guess = "swd_somebody-elses-secret"
    answers = [Browser(site.url).login(guess), site.order("hold", token=guess, json=WHY)]
    told = capfd.readouterr()
    assert guess not in "".join(answer.text for answer in answers) + told.out + told.err
    assert "refused" in told.out + told.err


# --- frames, scripts, headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "policy"),
    [
        ("/", PAGE),
        ("/login", PAGE),
        (f"/api/v1/rollouts/{NAME}/report", REPORT),
        (f"/api/v1/rollouts/{NAME}/report?format=md", DATA),
        ("/api/v1/rollouts", DATA),
        ("/nowhere", DATA),
        ("/metrics", DATA),
        ("/static/page.css", DATA),
    ],
)
def test_nobody_can_put_an_answer_into_a_frame_or_a_script_into_an_answer(site: Site, path: str, policy: str) -> None:
    headers = site.get(path).headers
    assert headers["Content-Security-Policy"] == policy
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src" not in policy or "script-src 'self';" in policy
    assert "'unsafe-inline'" not in policy or policy == REPORT
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert path.startswith("/static/") or headers["Cache-Control"] in ("no-store", "private, no-cache")


def test_the_page_to_log_in_keeps_its_own_policy(site: Site) -> None:
    text = site.get("/login").text
    assert " style=" not in text
    assert "<style" not in text
    assert " onclick=" not in text
    assert "<script>" not in text


@pytest.mark.parametrize(
    ("wanted", "goes"),
    [
        ("/", "/"),
        ("/rollouts/x?a=b&c=d", "/rollouts/x?a=b&c=d"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("/x\r\nSet-Cookie: a=b", "/"),
        ("/x\x00", "/"),
        ("/é", "/"),
        ("", "/"),
        ("evil.example", "/"),
        ("/login", "/"),
        ("/logout", "/"),
        ("/" + "x" * 600, "/"),
    ],
)
def test_a_login_leads_only_to_our_own_pages(site: Site, wanted: str, goes: str) -> None:
    assert local(wanted) == goes
    browser = Browser(site.url)
    fields = {"csrf": csrf_of(browser.get("/login"), "/login"), "token": ADA, "next": wanted}
    answer = browser.post("/login", fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, goes)
    assert "a" not in browser.session.cookies


@pytest.mark.parametrize(
    "path", ["/login?next=%0d%0aSet-Cookie:%20a=b", "/%0d%0aSet-Cookie:%20a=b", "/rollouts/a%0d%0aX-Evil: 1"]
)
def test_no_line_break_of_an_address_gets_into_a_header(tmp_path: Path, path: str) -> None:
    with Site(tmp_path, http=http(tmp_path, reads="token")) as site:
        for answer in (Browser(site.url).get(path), Browser(site.url).get(path, Sec_Fetch_Site="cross-site")):
            assert "a" not in answer.cookies
            assert "X-Evil" not in answer.headers
            assert "\n" not in answer.headers.get("Location", "") + answer.headers.get("Refresh", "")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\rX-Forwarded-User: root\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \x00\r\n\r\n",
        b"GET /\rX: y HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-A : b\r\n\r\n",
    ],
)
def test_what_is_not_quite_http_is_refused(site: Site, head: bytes) -> None:
    """Servers that differ about where a request ends can be made to take one for another's."""
    with socket.create_connection(("127.0.0.1", site.answering.port), 10) as line:
        line.sendall(head)
        assert line.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e%2fapp.py", "/static/..%5capp.py"),
        *("/static/%2fetc%2fpasswd", "/static/page.css%00.js", "/static/....//app.py", "/static/page.css/../../app.py"),
        *("/api/v1/rollouts/..%2f..%2fetc%2fpasswd/report", "/flagd/..%2f..%2fetc%2fpasswd.json"),
    ],
)
def test_no_path_leads_out_of_what_is_served(site: Site, path: str) -> None:
    with requests.Session() as session:
        asked = requests.Request("GET", site.url + "/").prepare()
        asked.url = site.url + path
        answer = session.send(asked, timeout=20, allow_redirects=False)
    assert answer.status_code == 404
    assert "root:" not in answer.text
    assert "create_app" not in answer.text


def test_other_peoples_text_is_text_on_the_page_that_logs_in(site: Site) -> None:
    text = site.get('/login?next=/"><script>alert(1)</script>').text
    assert "<script>alert" not in text
