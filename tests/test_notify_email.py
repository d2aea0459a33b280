"""Mail, through a real SMTP server: who gets it, what it looks like, how it threads, and what becomes of refusals."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.channels import HOSTILE, NOON, ROLLOUT, SECRET, Notes, record, refusal, told, traits
from tests.mailserver import Certificate, MailServer, Scripted, made_certificate
from watchdog.config.notifysettings import EmailSettings
from watchdog.errors import NotYet
from watchdog.messages import Effect, Link, Message
from watchdog.model import NotifyRule, Severity
from watchdog.notifiers.email import Email, Server, open_email
from watchdog.notifiers.mail import LARGEST_REPORT

TO = ("ops@example.com", "dev@example.com")
SENDER = "Watchdog <watchdog@example.com>"
LATER, NEVER, GONE = (False, True, None), (True, False, None), (True, True, None)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return made_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def running(certificate: Certificate) -> Iterator[MailServer]:
    with MailServer(certificate, "none") as running:
        yield running


@pytest.fixture
def server(running: MailServer) -> MailServer:
    """A server that has no mail yet and takes every one."""
    running.taken.clear()
    running.answers.clear()
    return running


def channel(server: MailServer, to: tuple[str, ...] = TO, **changes: Any) -> Email:
    return Email(server.settings(**changes), SENDER, to)


def mailed(server: MailServer, message: Message | None = None, memo: Notes | None = None) -> EmailMessage:
    """The mail of one message."""
    said = channel(server).send(message or told(), memo or Notes(), NOON, again=False)
    assert said == "took it for 2 of 2 addresses"
    return server.mails[-1]


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


# --- what a mail is -----------------------------------------------------------------------------------------------


def test_a_mail_has_its_headers_and_says_everything_twice(server: MailServer) -> None:
    mail = mailed(server)
    [taken] = server.taken
    assert (taken.sender, taken.to) == ("watchdog@example.com", list(TO))
    assert mail["Subject"] == f"[slo-watchdog] CRITICAL {ROLLOUT}: {told().summary}"
    assert mail["From"] == SENDER
    assert mail["To"] == "ops@example.com, dev@example.com"
    assert mail["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert re.fullmatch(r"<[0-9a-f]{40}@example\.com>", mail["Message-ID"])
    assert mail["X-Slo-Watchdog-Key"] == mail["Message-ID"][1:41]
    assert part(mail, "plain") == (
        "error_rate_exposed is 2.1 %, at most 0.1 % is allowed: rolled back from 25 %\n"
        "\n"
        "Done: The flag new-checkout is set to 0 %.\n"
        "To do: Find the cause, then start a new release.\n"
        "When: 2027-01-15 08:00:00 UTC\n"
        "Service: checkout 2.14.0\n"
        "Flag: new-checkout\n"
        "Value: 2.1 %\n"
        "Target: at most 0.1 %\n"
        "Window: 5 m\n"
        "\n"
        "status: https://watchdog.example/rollouts/checkout-2.14.0\n"
        "runbook: https://runbooks.example/rollback\n"
    )
    page = part(mail, "html")
    assert '<a href="https://runbooks.example/rollback">https://runbooks.example/rollback</a>' in page
    assert "Find the cause, then start a new release." in page


def test_a_mail_is_plain_ascii_in_short_lines_on_the_wire(server: MailServer) -> None:
    mail = mailed(server, told(summary="Grüße, 日本語 " * 30, todo="ü" * 5000))
    raw = server.taken[0].raw
    assert raw.isascii()
    assert max(map(len, raw.splitlines())) <= 998
    assert "Grüße, 日本語" in part(mail, "plain")
    assert "ü" * 5000 in part(mail, "html")
    assert mail["Subject"].startswith(f"[slo-watchdog] CRITICAL {ROLLOUT}: Grüße, 日本語")


def test_mails_of_one_rollout_are_one_thread(server: MailServer) -> None:
    memo = Notes()
    first = mailed(server, told(), memo)
    second = mailed(server, told(key="another", effect=Effect.RESOLVE), memo)
    third = mailed(server, record("interim", broadcast=True), memo)
    other = mailed(server, told(rollout="payments-1", key="payments-1:rollback:1"), Notes())
    assert first["In-Reply-To"] is None
    assert [each["In-Reply-To"] for each in (second, third)] == [first["Message-ID"]] * 2
    assert [each["References"] for each in (second, third)] == [first["Message-ID"]] * 2
    assert len({each["Message-ID"] for each in (first, second, third, other)}) == 4
    assert other["References"] is None


def test_a_repeat_has_the_same_message_id_in_every_process(server: MailServer) -> None:
    memo = Notes()
    first = mailed(server, told(), memo)
    channel(server).send(told(), memo, NOON + 60, again=True)
    again = server.mails[-1]
    assert again["Message-ID"] == first["Message-ID"]
    assert again["References"] is None


def test_older_messages_that_it_stands_for_are_named(server: MailServer) -> None:
    text = part(mailed(server, told(earlier=("the first", "the second"))), "plain")
    assert "Before: the first\nBefore: the second\n" in text


# --- the report ---------------------------------------------------------------------------------------------------


def test_a_report_is_attached_as_it_is(server: MailServer, tmp_path: Path) -> None:
    report = tmp_path / "Bericht für checkout.html"
    report.write_bytes(b"<h1>signed off</h1>\r\n\xff")
    mail = mailed(server, record("signed_off", broadcast=True, report=str(report)))
    [attached] = mail.iter_attachments()
    assert attached.get_filename() == "Bericht für checkout.html"
    assert attached.get_content_type() == "text/html"
    assert attached.get_payload(decode=True) == b"<h1>signed off</h1>\r\n\xff"
    assert "is not attached" not in part(mail, "plain")


@pytest.mark.parametrize(
    ("size", "why"),
    [(None, "No such file or directory"), (0, "it is empty"), (LARGEST_REPORT + 1, "it is larger than 10 MB")],
)
def test_a_report_that_cannot_be_attached_is_named(
    server: MailServer, tmp_path: Path, size: int | None, why: str
) -> None:
    report = tmp_path / "report.html"
    if size is not None:
        with report.open("wb") as file:
            file.truncate(size)
    mail = mailed(server, told(report=str(report)))
    assert list(mail.iter_attachments()) == []
    assert f"The report {report} is not attached: {why}." in part(mail, "plain")


def test_a_report_that_is_too_large_for_the_server_is_left_out(certificate: Certificate, tmp_path: Path) -> None:
    report = tmp_path / "report.pdf"
    report.write_bytes(b"x" * 200_000)
    with MailServer(certificate, "none", data_size_limit=100_000) as server:
        mail = mailed(server, told(report=str(report)))
    assert list(mail.iter_attachments()) == []
    assert "is not attached: it is too large for the mail server." in part(mail, "plain")


# --- texts of others ----------------------------------------------------------------------------------------------


class Markup(HTMLParser):
    """Every tag and address in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [value or "" for name, value in attributes if name in {"href", "src", "background"}]


def test_hostile_texts_become_neither_headers_nor_markup(server: MailServer) -> None:
    links = (
        Link("status", "javascript:alert(1)"),
        Link(HOSTILE, f"https://example.com/{HOSTILE}"),
        Link("b", 'https://a/"><b>'),
    )
    mail = mailed(
        server,
        told(
            summary=HOSTILE, rollout=f"r\r\nX-Evil: 1 {HOSTILE}", done=HOSTILE, facts=((HOSTILE, HOSTILE),), links=links
        ),
    )
    ours = {"Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress"}
    servers = {"X-Peer", "X-MailFrom", "X-RcptTo"}
    assert set(mail.keys()) - servers == ours | {"X-Slo-Watchdog-Key", "MIME-Version", "Content-Type"}
    assert server.taken[0].to == list(TO)
    assert "\n" not in mail["Subject"]
    assert "<script>alert(1)</script>" in mail["Subject"]
    page = Markup(part(mail, "html"))
    assert page.tags <= {"html", "body", "p", "strong", "table", "tr", "th", "td", "br", "a"}
    assert page.addresses == ['https://a/"><b>']
    text = part(mail, "plain")
    assert not [letter for letter in text if ord(letter) < 32 and letter not in "\n\t"]
    assert "😀 \ufffd Grüße 日本語" in text


def test_nothing_in_a_mail_is_fetched_from_elsewhere(server: MailServer) -> None:
    page = part(mailed(server, told(summary='<img src="https://evil.example/x.png">')), "html")
    assert "img" not in Markup(page).tags
    assert "url(" not in page


def test_texts_of_100_kb_are_cut_and_say_so(server: MailServer) -> None:
    long = "word " * 20_000
    facts = tuple((f"fact {k}", long) for k in range(3))
    mail = mailed(server, told(summary=long, facts=facts, todo="é" * 100_000))
    assert len(mail["Subject"]) <= 180
    assert mail["Subject"].endswith("more characters]")
    text = part(mail, "plain")
    assert text.count("more characters]") == 5
    assert len(text) < 45_000


# --- which are mailed, and to whom --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (told(), True),
        (told(effect=Effect.ESCALATE), True),
        (told(effect=Effect.RESOLVE), True),
        (record("start", change=True), True),
        (record("interim", broadcast=True), True),
        (record("test"), True),
        (record("step", change=True), False),
        (record("window_reset"), False),
    ],
)
def test_what_is_mailed(server: MailServer, message: Message, *, expected: bool) -> None:
    said = channel(server).send(message, Notes(), NOON, again=False)
    assert len(server.taken) == int(expected)
    assert expected or said == f"not sent: {message.kind} is not mailed"


def test_a_rollouts_own_recipients_take_the_place_of_the_daemons(server: MailServer) -> None:
    rule = NotifyRule(email_to=("Team Shop <shop@example.com>", "Jörg <joerg@example.com>"))
    mailed(server, told(rule=rule))
    mailed(server, told(rule=NotifyRule()))
    assert [taken.to for taken in server.taken] == [["shop@example.com", "joerg@example.com"], list(TO)]
    assert server.mails[0]["To"] == "Team Shop <shop@example.com>, Jörg <joerg@example.com>"


# --- signing in and encryption ------------------------------------------------------------------------------------


def test_it_signs_in_over_starttls(certificate: Certificate) -> None:
    with MailServer(certificate, "starttls", {"watchdog": SECRET}) as server:
        settings = server.settings(username="watchdog", password=SECRET)
        Email(settings, SENDER, TO, certificate.client).send(told(), Notes(), NOON, again=False)
    [taken] = server.taken
    assert (taken.user, taken.encrypted) == ("watchdog", True)


def test_it_speaks_tls_from_the_first_byte(certificate: Certificate) -> None:
    with MailServer(certificate, "tls", {"watchdog": SECRET}) as server:
        settings = server.settings(username="watchdog", password=SECRET)
        Email(settings, SENDER, TO, certificate.client).send(told(), Notes(), NOON, again=False)
    assert server.taken[0].user == "watchdog"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_that_nobody_trusts_is_refused(certificate: Certificate, security: str) -> None:
    with MailServer(certificate, security) as server:
        error = refusal(channel(server))
    assert traits(error) == LATER
    assert "failed in TLS" in str(error)
    assert "CERTIFICATE_VERIFY_FAILED" in str(error)
    assert server.taken == []


def test_a_wrong_password_is_refused_for_good(certificate: Certificate) -> None:
    with MailServer(certificate, "starttls", {"watchdog": SECRET}) as server:
        settings = server.settings(username="watchdog", password="another s3cret")
        error = refusal(Email(settings, SENDER, TO, certificate.client))
    assert traits(error) == GONE
    assert "refused user and password (535)" in str(error)


def test_a_server_without_starttls_is_given_nothing(server: MailServer) -> None:
    error = refusal(Email(server.settings(security="starttls"), SENDER, TO))
    assert traits(error) == GONE
    assert "STARTTLS extension not supported" in str(error)
    assert server.taken == []


def test_it_is_opened_from_the_settings_which_print_no_password(certificate: Certificate) -> None:
    with MailServer(certificate, "none") as server:
        smtp = f"127.0.0.1:{server.settings().port}"
        found = {"smtp": smtp, "from": SENDER, "to": list(TO), "security": "none", "timeout": "7s"}
        opened = open_email(EmailSettings.model_validate(found))
        assert opened.send(told(), Notes(), NOON, again=False) == "took it for 2 of 2 addresses"
    signed_in = EmailSettings.model_validate(found | {"security": "tls", "username": "w", "password": SECRET})
    assert "s3cret" not in repr(signed_in)
    assert opened.name == "email"
    assert opened.ready_in(told(), NOON) == 0


# --- refusals -----------------------------------------------------------------------------------------------------


def test_one_refused_recipient_keeps_the_mail_from_nobody_else(server: MailServer) -> None:
    server.answers["RCPT dev@example.com"] = "550 no such user\x07"
    said = channel(server).send(told(), Notes(), NOON, again=False)
    assert said == "took it for 1 of 2 addresses; refused for good: dev@example.com: 550 no such user"
    assert server.taken[0].to == ["ops@example.com"]


def test_a_recipient_that_is_refused_for_now_gets_the_mail_later_and_the_others_get_it_once(server: MailServer) -> None:
    memo, mail = Notes(), channel(server)
    server.answers["RCPT dev@example.com"] = "451 greylisted"
    with pytest.raises(NotYet) as caught:
        mail.send(told(), memo, NOON, again=False)
    assert caught.value.retry_after == 300
    assert "took it for 1 of 2 addresses; not yet for dev@example.com: 451 greylisted" in str(caught.value)
    assert traits(refusal(mail, told(), memo, NOON + 300)) == (False, False, None)
    server.answers.clear()
    assert mail.send(told(key="another"), memo, NOON + 400, again=False) == "took it for 2 of 2 addresses"
    assert mail.send(told(), memo, NOON + 600, again=False) == "took it for 1 of 1 addresses"
    assert [taken.to for taken in server.taken] == [["ops@example.com"], list(TO), ["dev@example.com"]]
    assert server.mails[0]["Message-ID"] == server.mails[2]["Message-ID"]
    assert memo.values["addresses left"] == "{}"


def test_a_day_later_nobody_waits_for_the_rest(server: MailServer) -> None:
    server.answers["RCPT dev@example.com"] = "451 greylisted"
    memo = Notes()
    said = channel(server).send(told(), memo, NOON + 90_000, again=False)
    assert said == "took it for 1 of 2 addresses; refused for good: dev@example.com: 451 greylisted"
    assert "addresses left" not in memo.values


@pytest.mark.parametrize(
    ("answers", "expected", "part"),
    [
        (dict.fromkeys([f"RCPT {to}" for to in TO], "550 no such user"), NEVER, "took it for nobody: ops@"),
        (dict.fromkeys([f"RCPT {to}" for to in TO], "450 busy"), (False, False, None), "450 busy; it is sent again"),
        (
            dict(zip([f"RCPT {to}" for to in TO], ["550 no", "451 later"], strict=True)),
            (False, False, None),
            "451 later",
        ),
        ({"RCPT ops@example.com": "421 going down"}, (False, False, None), "421"),
        ({"MAIL": "550 not you"}, GONE, "refused the sender (550): not you; write another address as from"),
        ({"MAIL": "552 too large"}, NEVER, "the mail is too large for it"),
        ({"MAIL": "451 later"}, LATER, "is not ready (451): later"),
        ({"MAIL": "421 bye"}, LATER, "is not ready (421): bye"),
        ({"DATA": "554 looks like spam"}, NEVER, "did not take the mail (554): looks like spam"),
        ({"DATA": "452 disk full"}, (False, False, None), "did not take the mail (452): disk full; it is sent again"),
        ({"DATA": "421 bye"}, LATER, "is not ready (421)"),
    ],
)
def test_a_refusal_of_the_whole_mail_is_an_error_of_its_kind(
    server: MailServer, answers: dict[str, str], expected: tuple[bool, bool, float | None], part: str
) -> None:
    server.answers |= answers
    memo = Notes()
    error = refusal(channel(server), memo=memo)
    assert traits(error) == expected
    assert part in str(error)
    assert memo.values == {}
    assert server.taken == []


@pytest.mark.parametrize(
    "strange",
    [
        "nobody",
        "a b@example.com",
        "ops@example.com\r\nBcc: thief@evil.example",
        "@example.com",
        "x@",
        "a@b@c d",
        "<>",
        "jörg@example.com",
        "a@grüße.example",
    ],
)
def test_what_is_no_address_is_said_and_the_others_get_the_mail(server: MailServer, strange: str) -> None:
    said = channel(server, (strange, "ops@example.com")).send(told(), Notes(), NOON, again=False)
    assert said.startswith("took it for 1 of 2 addresses; refused for good: ")
    assert said.isprintable()
    assert server.taken[0].to == ["ops@example.com"]


def test_without_any_address_nothing_is_sent(server: MailServer) -> None:
    assert traits(refusal(channel(server, ("nobody",)))) == NEVER
    assert "no address to write to" in str(refusal(channel(server, ())))
    error = refusal(Email(server.settings(), "nobody\r\nX: 1", TO))
    assert traits(error) == GONE
    assert "correct from" in str(error)


# --- faults of the wire -------------------------------------------------------------------------------------------


def at(port: int, timeout: float = 5.0, **changes: Any) -> Email:
    return Email(
        Server(**{"host": "127.0.0.1", "port": port, "security": "none", "timeout": timeout, **changes}), SENDER, TO
    )


GREETING, EHLO, OK = b"220 mail\r\n", b"250 mail\r\n", b"250 OK\r\n"


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = refusal(at(port))
    assert traits(error) == LATER
    assert f"email: the server 127.0.0.1:{port} could not be reached: Connection refused" in str(error)


def test_a_name_that_nobody_has() -> None:
    assert traits(refusal(Email(Server("nobody.invalid", 25, "none"), SENDER, TO))) == LATER


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [b"554 go away\r\n"],
        [b"421 too many connections\r\n"],
        [b"nonsense\r\n"],
        [b"2" * 10_000],
        [GREETING],
        [GREETING, b"500 no\r\n", b"500 no\r\n"],
        [GREETING, EHLO, OK],
        [GREETING, EHLO, OK, OK, OK, b"354 go\r\n"],
    ],
)
def test_a_server_that_is_not_ready_or_hangs_up_is_tried_again(lines: list[bytes]) -> None:
    with Scripted(lines) as server:
        error = refusal(at(server.port))
    assert traits(error) == LATER


@pytest.mark.parametrize(
    "scripted",
    [
        lambda: Scripted([], hang=True),
        lambda: Scripted([GREETING, EHLO, OK, OK, OK, b"354 go\r\n"], hang=True),
        lambda: Scripted([b"220-" + b"a" * 400 + b"\r\n"], drip=0.03),
        lambda: Scripted([b"220-more\r\n" * 400], drip=0.005),
    ],
    ids=["silence", "silence after the mail", "drops", "lines"],
)
def test_a_server_that_never_finishes_is_left_in_time(scripted: Callable[[], Scripted]) -> None:
    with scripted() as server:
        error = refusal(at(server.port, timeout=0.1))
    assert traits(error) == LATER
    assert "gave no whole answer in time; it is sent again, under the same Message-ID" in str(error)


def test_a_goodbye_that_never_comes_does_not_undo_a_mail() -> None:
    with Scripted([GREETING, EHLO, OK, OK, OK, b"354 go\r\n", OK]) as server:
        said = at(server.port).send(told(), Notes(), NOON, again=False)
    assert said == "took it for 2 of 2 addresses"


def test_after_a_refused_starttls_nothing_goes_in_the_clear() -> None:
    with Scripted([GREETING, b"250-mail\r\n250 STARTTLS\r\n", b"454 no TLS now\r\n", b"221 bye\r\n"]) as server:
        error = refusal(at(server.port, security="starttls", username="watchdog", password=SECRET))
    assert traits(error) == LATER
    assert [heard.split()[0] for heard in server.heard] == [b"ehlo", b"STARTTLS"]


def test_a_password_that_a_server_says_back_is_not_repeated() -> None:
    lines = [GREETING, b"250-mail\r\n250 AUTH PLAIN\r\n", f"535 {SECRET} is wrong\r\n".encode(), OK]
    with Scripted(lines) as server:
        error = refusal(at(server.port, username="watchdog", password=SECRET))
    assert "*** is wrong" in str(error)
    assert Severity.CRITICAL.value.upper() not in str(error)
