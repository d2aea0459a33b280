"""Who is asking: tokens and their file, sessions, a proxy's headers, and how often somebody may be wrong. No server."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from tests.entering import ADA, ADAS, BOB, BOBS, EVES, entry, tokens_file
from watchdog.access import Asker, Gate, Principal, Role, TooMany
from watchdog.access.attempts import Attempts, network
from watchdog.access.gate import COOKIE, SECURE_COOKIE, cookie_of
from watchdog.access.proxy import BadHeader, Proxy
from watchdog.access.sessions import LONGEST, LONGEST_COOKIE, Sessions
from watchdog.access.tokenfile import TokenFile, change_tokens, read_tokens
from watchdog.access.tokens import PREFIX, Token, digest, match, mint, parse_tokens, render
from watchdog.errors import ConfigError

NOON = 1_700_049_600.0
GOOD = "tokens:\n- {name: ada, role: viewer, sha256: %s, created: '2026-11-23T09:00:00Z'%s}\n"
HASH = "a" * 64

# --- names on record --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "by", "signed"),
    [
        ("token", None, "ada"),
        ("token", "ada", "ada"),
        ("token", "bob", "ada for bob"),
        ("session", "bob", "ada for bob"),
        ("proxy", "bob", "ada for bob"),
        ("http.token", "bob", "bob"),
        ("http.token", None, "ada"),
    ],
)
def test_what_is_claimed_never_stands_on_record_as_if_it_were_proved(how: str, by: str | None, signed: str) -> None:
    assert Principal("ada", Role.OPERATOR, how).signs(by) == signed


def test_roles_grow() -> None:
    assert Role.VIEWER < Role.OPERATOR < Role.APPROVER
    assert [str(role) for role in Role] == ["viewer", "operator", "approver"]


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_a_new_token_is_long_random_and_known_by_its_hash_alone() -> None:
    made = [mint() for _ in range(50)]
    assert len({token for token, _ in made}) == 50
    for token, sha256 in made:
        assert token.startswith(PREFIX)
        assert len(token) == len(PREFIX) + 43  # 32 bytes
        assert sha256 == digest(token)
        assert token not in render([Token("a", Role.VIEWER, sha256, NOON)])


def test_a_token_is_whose_hash_it_has() -> None:
    assert match([ADAS, BOBS], BOB) == BOBS
    assert match([ADAS, BOBS], BOB[:-1]) is None
    assert match([ADAS, BOBS], ADAS.sha256) is None
    assert match([], BOB) is None
    assert match([ADAS], "\udcff\udcfe") is None


def test_what_is_written_is_read_again() -> None:
    tokens = (ADAS, entry("a.b@c+d-e_f", Role.APPROVER, "x", NOON + 86_400.5), entry("2026-11-23", Role.VIEWER, "y"))
    assert parse_tokens(render(tokens), "t.yaml") == tokens
    assert parse_tokens(render([]), "t.yaml") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty, expected a mapping"),
        ("- a\n", "found a list, expected a mapping"),
        ("tokens: {a: b}\n", "tokens: found"),
        ("token: []\n", "token: "),
        ("tokens: [a]\n", "tokens[0]: "),
        ("tokens: [{name: ada}]\n", "tokens[0]: role is missing"),
        (GOOD % (HASH, ", extra: 1"), "tokens[0]: "),
        (GOOD % (HASH.upper(), ""), "tokens[0]: sha256: expected 64 hex digits"),
        (GOOD % (ADA, ""), "tokens[0]: sha256: expected 64 hex digits in small letters (what was found is not shown)"),
        (GOOD.replace("viewer", "root") % (HASH, ""), "role: found 'root', expected one of viewer, operator, approver"),
        (GOOD.replace("ada", "'a b'") % (HASH, ""), "name: found 'a b', expected 1 to 64 letters"),
        (GOOD.replace("ada", "Watchdog") % (HASH, ""), "name: found 'Watchdog' (that one is the watchdog's own)"),
        (GOOD % (HASH, ", expires: tomorrow"), "expected a time with its zone"),
        (render([ADAS, ADAS]), "the name 'ada' stands there twice"),
        (render([ADAS, entry("eva", Role.VIEWER, ADA)]), "one sha256 stands there twice"),
        ("tokens: !!python/object:os.system []\n", "the tag"),
    ],
)
def test_a_file_that_is_wrong_says_where_and_what_is_expected(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_tokens(text, "t.yaml")
    assert str(refused.value).startswith("t.yaml")
    assert said in str(refused.value)
    assert ADA not in str(refused.value)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    heard: list[bool] = []
    file = TokenFile(tokens_file(tmp_path, ADAS), lambda *, ok: heard.append(ok))
    assert file.tokens() == (ADAS,)
    tokens_file(tmp_path, ADAS, BOBS)
    assert file.tokens() == (ADAS, BOBS)
    assert file.tokens() == (ADAS, BOBS)
    assert heard == [True, True]


@pytest.mark.parametrize("text", ["", "tokens: [", "tokens: [{name: ada}]\n", "\x00", None])
def test_a_broken_file_keeps_the_last_good_one_and_says_so_once(tmp_path: Path, text: str | None) -> None:
    heard: list[bool] = []
    file = TokenFile(tokens_file(tmp_path, ADAS), lambda *, ok: heard.append(ok))
    file.tokens()
    if text is None:
        file.path.unlink()
    else:
        file.path.write_text(text)
    assert [file.tokens(), file.tokens()] == [(ADAS,), (ADAS,)]
    assert heard == [True, False]
    assert file.trouble is not None
    assert str(file.path) in file.trouble
    tokens_file(tmp_path, BOBS)
    assert file.tokens() == (BOBS,)
    assert heard == [True, False, True]
    assert file.trouble is None


def test_a_file_that_never_was_lets_nobody_in_until_it_is_there(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.yaml")
    assert file.tokens() == ()
    assert "`slo-watchdog tokens add NAME --role approver` makes it" in (file.trouble or "")
    tokens_file(tmp_path, ADAS)
    assert file.tokens() == (ADAS,)


def test_everybody_may_read_the_file_for_it_holds_hashes_and_nobody_else_may_write_it(tmp_path: Path) -> None:
    path = tokens_file(tmp_path, ADAS)
    path.chmod(0o644)
    assert read_tokens(path) == (ADAS,)
    path.chmod(0o646)
    with pytest.raises(ConfigError, match="has mode 0646: everybody on this host could give themselves a role"):
        read_tokens(path)


def test_a_change_replaces_the_file_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tokens_file(tmp_path, ADAS)
    path.chmod(0o600)
    before = path.stat().st_ino
    change_tokens(path, lambda tokens: [*tokens, BOBS])
    assert read_tokens(path) == (ADAS, BOBS)
    assert (path.stat().st_mode & 0o777, path.stat().st_ino == before) == (0o600, False)
    assert [one.name for one in tmp_path.iterdir()] == ["tokens.yaml"]


def test_a_change_goes_through_a_link_and_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real, link = tokens_file(tmp_path / "real", ADAS), tmp_path / "tokens.yaml"
    link.symlink_to(real)
    change_tokens(link, lambda _: [BOBS])
    assert link.is_symlink()
    assert read_tokens(real) == (BOBS,)


def test_a_broken_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text("tokens: [")
    with pytest.raises(ConfigError):
        change_tokens(path, lambda tokens: [*tokens, BOBS])
    assert path.read_text() == "tokens: ["


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_a_session_is_what_was_signed_for_twelve_hours() -> None:
    sessions = Sessions()
    cookie = sessions.issue(ADAS.id, NOON)
    session = sessions.read(cookie, NOON)
    assert session is not None
    assert (session.subject, session.issued) == (ADAS.id, NOON)
    assert sessions.read(cookie, NOON + LONGEST - 1) == session
    assert sessions.read(cookie, NOON + LONGEST) is None
    assert sessions.read(cookie, NOON - 61) is None
    assert ADA not in cookie
    assert ADAS.sha256 not in cookie


def test_each_login_is_another_session() -> None:
    sessions = Sessions()
    assert sessions.issue("a", NOON) != sessions.issue("a", NOON)


def test_no_piece_of_a_cookie_can_be_changed() -> None:
    sessions = Sessions()
    cookie = sessions.issue("a", NOON)
    for at, sign in enumerate(cookie):
        other = "A" if sign != "A" else "B"
        assert sessions.read(f"{cookie[:at]}{other}{cookie[at + 1 :]}", NOON) is None, at
        assert sessions.read(cookie[:at], NOON) is None, at


@pytest.mark.parametrize("cookie", ["", ".", "...", "a.b.c.d", "é.1.x.y", "x" * (LONGEST_COOKIE + 1), "\udcff"])
def test_what_is_no_cookie_of_ours_is_no_session(cookie: str) -> None:
    assert Sessions().read(cookie, NOON) is None


def test_a_key_in_common_makes_sessions_in_common() -> None:
    cookie = Sessions("k" * 32).issue("a", NOON)
    assert Sessions("k" * 32).read(cookie, NOON) is not None
    assert Sessions("l" * 32).read(cookie, NOON) is None
    assert Sessions().read(cookie, NOON) is None


def test_an_ended_session_is_remembered_as_long_as_it_would_have_lasted() -> None:
    sessions = Sessions()
    cookies = [sessions.issue("a", NOON) for _ in range(3)]
    for cookie in cookies[:2]:
        session = sessions.read(cookie, NOON)
        assert session is not None
        sessions.end(session, NOON)
    assert [sessions.read(cookie, NOON) is None for cookie in cookies] == [True, True, False]


def test_what_a_form_carries_fits_one_login_and_one_purpose() -> None:
    sessions = Sessions()
    mine = sessions.csrf("session", "login-1")
    assert sessions.carries("session", "login-1", mine)
    assert not sessions.carries("session", "login-2", mine)
    assert not sessions.carries("visit", "login-1", mine)
    assert not sessions.carries("session", "login-1", "")
    assert not Sessions().carries("session", "login-1", mine)


# --- a proxy ----------------------------------------------------------------------------------------------------------

BEFORE = Proxy(
    (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")),
    "X-User",
    "X-Groups",
    {"sre": Role.APPROVER, "dev": Role.OPERATOR},
    Role.VIEWER,
    "X-Forwarded-For",
)


def headers(*pairs: tuple[str, str | bytes]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value if isinstance(value, bytes) else value.encode()) for name, value in pairs]


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("fd00::1", True),
        ("::ffff:10.1.2.3", True),
        ("11.1.2.3", False),
        ("::1", False),
        ("", False),
        ("unix", False),
        (None, False),
    ],
)
def test_only_named_networks_are_trusted(peer: str | None, trusted: bool) -> None:  # noqa: FBT001
    assert BEFORE.trusts(peer) is trusted


@pytest.mark.parametrize(
    ("groups", "role"),
    [(None, Role.VIEWER), ("dev", Role.OPERATOR), ("dev, sre ,x", Role.APPROVER), ("SRE", Role.VIEWER)],
)
def test_the_highest_role_of_somebodys_groups_counts(groups: str | None, role: Role) -> None:
    sent = headers(("X-User", "Ada Lovelace"), *([("X-Groups", groups)] if groups is not None else []))
    assert BEFORE.principal(sent) == Principal("Ada Lovelace", role, "proxy")


def test_who_has_no_role_is_nobody() -> None:
    strict = Proxy(BEFORE.trusted, "X-User", "X-Groups", BEFORE.roles)
    assert strict.principal(headers(("X-User", "ada"), ("X-Groups", "guests"))) is None
    assert BEFORE.principal(headers(("X-User", ""))) is None
    assert BEFORE.principal([]) is None


@pytest.mark.parametrize(
    "sent",
    [
        headers(("X-User", "ada"), ("X-User", "root")),
        headers(("X-User", "ada"), ("x-user", "ada")),
        headers(("X-User", b"ada\x00")),
        headers(("X-User", b"ada\x1b[31m")),
        headers(("X-User", "ada\u202eada")),
        headers(("X-User", b"\xff\xfe")),
        headers(("X-User", "a" * 101)),
        headers(("X-User", "watchdog")),
        headers(("X-User", "ada"), ("X-Groups", "dev"), ("X-Groups", "sre")),
        headers(("X-User", "ada"), ("X-Groups", b"dev\nsre")),
        headers(("X-User", "ada"), ("X-Groups", "x," * 10_000)),
    ],
)
def test_headers_that_no_proxy_sends_are_refused(sent: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadHeader):
        BEFORE.principal(sent)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], "10.0.0.1"),
        (["203.0.113.7"], "203.0.113.7"),
        (["1.1.1.1, 203.0.113.7"], "203.0.113.7"),  # what the client itself has written stands before
        (["203.0.113.7, 10.9.9.9"], "203.0.113.7"),  # two proxies of ours
        (["203.0.113.7", "10.9.9.9"], "203.0.113.7"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["203.0.113.7, rubbish"], "10.0.0.1"),
    ],
)
def test_the_client_of_a_proxy_is_the_last_one_that_is_not_ours(forwarded: list[str], client: str) -> None:
    assert BEFORE.client("10.0.0.1", headers(*(("X-Forwarded-For", one) for one in forwarded))) == client


# --- attempts ---------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_who_is_wrong_too_often_waits_and_then_has_one_more_try() -> None:
    clock = Clock()
    attempts = Attempts(clock, burst=3, every=10)
    for _ in range(3):
        assert attempts.wait("1.2.3.4") == 0
        attempts.failed("1.2.3.4")
    assert attempts.wait("1.2.3.4") == pytest.approx(10)
    assert attempts.wait("1.2.3.5") == 0
    clock.now += 10
    assert attempts.wait("1.2.3.4") == 0
    attempts.failed("1.2.3.4")
    assert attempts.wait("1.2.3.4") == pytest.approx(10)
    clock.now += 1000
    assert attempts.wait("1.2.3.4") == 0


def test_the_memory_of_failures_is_bounded_and_forgets_the_oldest() -> None:
    attempts = Attempts(Clock(), burst=1, every=10, most=100)
    for number in range(1000):
        attempts.failed(f"10.0.{number // 256}.{number % 256}")
    assert len(attempts) == 100
    assert attempts.wait("10.0.0.0") == 0
    assert attempts.wait(f"10.0.{999 // 256}.{999 % 256}") == pytest.approx(10)


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::1", "2001:db8:1:2::/64"),
        ("x" * 500, "x" * 64),
    ],
)
def test_one_host_of_ipv6_is_counted_by_its_network(address: str, counted: str) -> None:
    assert network(address) == counted


# --- the gate ---------------------------------------------------------------------------------------------------------


def asker(*pairs: tuple[str, str | bytes], peer: str | None = "192.0.2.1", secure: bool = False) -> Asker:
    return Asker(peer, headers(*pairs), secure)


def gate(tmp_path: Path, *tokens: Token, proxy: Proxy | None = None, clock: Clock | None = None) -> Gate:
    file = TokenFile(tokens_file(tmp_path, *tokens))
    attempts = Attempts(Clock(), burst=2, every=10)
    return Gate(shared="old", tokens=file, proxy=proxy, attempts=attempts, clock=clock or Clock())


def test_a_named_token_proves_its_name_and_the_old_one_proves_none(tmp_path: Path) -> None:
    site = gate(tmp_path)
    assert site.find(asker(("Authorization", f"Bearer {ADA}"))).principal == Principal("ada", Role.OPERATOR, "token")
    found = site.find(asker(("Authorization", "bearer old"))).principal
    assert found == Principal("api (192.0.2.1)", Role.APPROVER, "http.token")


def test_a_token_that_is_over_says_so_and_does_not_count_as_a_guess(tmp_path: Path) -> None:
    clock = Clock()
    site = gate(tmp_path, entry("ada", Role.OPERATOR, ADA, clock.now + 5), clock=clock)
    ask = asker(("Authorization", f"Bearer {ADA}"))
    assert site.find(ask).principal is not None
    clock.now += 5
    for _ in range(5):
        found = site.find(ask)
        assert (found.principal, found.why) == (None, "the token of ada, which expired at 1970-01-01T00:16:45Z")


def test_whoever_guesses_is_stopped_also_with_the_right_token(tmp_path: Path) -> None:
    site = gate(tmp_path)
    for _ in range(2):
        assert site.find(asker(("Authorization", "Bearer wrong"))).principal is None
    for token in ("wrong", ADA):
        with pytest.raises(TooMany) as stopped:
            site.find(asker(("Authorization", f"Bearer {token}")))
        assert stopped.value.retry_after >= 10
    assert site.find(asker()).principal is None
    assert site.find(asker(("Authorization", f"Bearer {ADA}"), peer="192.0.2.2")).principal is not None


def test_a_session_ends_with_its_token(tmp_path: Path) -> None:
    site = gate(tmp_path, ADAS, BOBS)
    cookie, _ = site.login(ADA, "192.0.2.1")
    ask = asker(("Cookie", f"x=y; {COOKIE}={cookie}"))
    assert site.find(ask).principal == Principal("ada", Role.OPERATOR, "session")
    tokens_file(tmp_path, entry("ada", Role.VIEWER, ADA), BOBS)
    assert site.find(ask).principal == Principal("ada", Role.VIEWER, "session")  # a role counts as it is now
    tokens_file(tmp_path, entry("ada", Role.OPERATOR, "another token of the same name"), BOBS)
    assert site.find(ask).principal is None
    tokens_file(tmp_path, BOBS)
    assert site.find(ask).principal is None


def test_a_session_ends_when_its_token_is_over(tmp_path: Path) -> None:
    clock = Clock()
    site = gate(tmp_path, entry("ada", Role.OPERATOR, ADA, clock.now + 60), clock=clock)
    cookie, _ = site.login(ADA, "192.0.2.1")
    ask = asker(("Cookie", f"{COOKIE}={cookie}"))
    assert site.find(ask).principal is not None
    clock.now += 60
    assert site.find(ask).principal is None
    assert site.login(ADA, "192.0.2.1")[0] is None


def test_a_wrong_token_is_not_made_good_by_a_session(tmp_path: Path) -> None:
    site = gate(tmp_path)
    cookie, _ = site.login(ADA, "192.0.2.1")
    assert site.find(asker(("Cookie", f"{COOKIE}={cookie}"), ("Authorization", "Bearer wrong"))).principal is None


def test_two_cookies_of_our_name_are_none_and_under_https_only_the_locked_one_counts() -> None:
    assert cookie_of(asker(("Cookie", f"{COOKIE}=a"))) == "a"
    assert cookie_of(asker(("Cookie", f"{COOKIE}=a; {COOKIE}=b"))) == ""
    assert cookie_of(asker(("Cookie", f"{COOKIE}=a"), ("Cookie", f"{COOKIE}=b"))) == ""
    assert cookie_of(asker(("Cookie", f"{COOKIE}=a; {SECURE_COOKIE}=b"))) == "b"
    assert cookie_of(asker(("Cookie", f"{COOKIE}=a"), secure=True)) == ""


def test_two_authorizations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadHeader, match="authorization stands in the request 2 times"):
        gate(tmp_path).find(asker(("Authorization", f"Bearer {ADA}"), ("Authorization", f"Bearer {BOB}")))


def test_a_proxy_vouches_only_from_where_it_is(tmp_path: Path) -> None:
    site = gate(tmp_path, proxy=BEFORE)
    sent = (("X-User", "carol"), ("X-Groups", "sre"))
    assert site.find(asker(*sent, peer="10.0.0.1")).principal == Principal("carol", Role.APPROVER, "proxy")
    assert site.find(asker(*sent, peer="192.0.2.1")).principal is None
    assert site.find(asker(*sent, peer=None)).principal is None


def test_a_token_that_a_proxy_adds_for_itself_is_no_guess(tmp_path: Path) -> None:
    site = gate(tmp_path, proxy=BEFORE)
    for _ in range(5):
        found = site.find(asker(("X-User", "carol"), ("Authorization", "Bearer of the proxy's own"), peer="10.0.0.1"))
        assert found.principal == Principal("carol", Role.VIEWER, "proxy")
    assert len(site.attempts) == 0
    own = site.find(asker(("X-User", "carol"), ("Authorization", f"Bearer {ADA}"), peer="10.0.0.1"))
    assert own.principal == Principal("ada", Role.OPERATOR, "token")


def test_guesses_behind_a_proxy_are_counted_by_client_where_it_is_configured(tmp_path: Path) -> None:
    site = gate(tmp_path, proxy=BEFORE)

    def guess(client: str) -> None:
        sent = (("Authorization", "Bearer wrong"), ("X-Forwarded-For", client))
        site.find(asker(*sent, peer="10.0.0.1"))

    guess("203.0.113.7")
    guess("203.0.113.7")
    with pytest.raises(TooMany):
        guess("203.0.113.7")
    guess("203.0.113.8")


def test_a_gate_without_any_proof_is_closed(tmp_path: Path) -> None:
    assert Gate().closed
    assert not Gate(shared="x").closed
    assert not Gate(proxy=BEFORE).closed
    assert not gate(tmp_path, EVES).closed
    assert not Gate(proxy=BEFORE).takes_tokens
