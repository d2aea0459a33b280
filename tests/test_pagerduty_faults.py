"""What comes of PagerDuty's faults: which error the sender gets, when it may try again, and what nobody ever reads."""

from __future__ import annotations

import logging
import ssl
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.answering import Answering, Reply, reply
from tests.pagerdutying import BREACH, Notes, Talk, message
from tests.pagerdutyserver import (
    KEY,
    Fault,
    PagerDutyServer,
    busy,
    closed,
    down,
    hang,
    lost,
    redirect,
    refusing,
    truncated,
)
from watchdog.config.notifysettings import PagerDutySettings
from watchdog.errors import ConfigError, NotifierError
from watchdog.model import NotifyRule
from watchdog.notifiers.pagerduty import PagerDuty, open_pagerduty

OTHER = "fedcba9876543210fedcba9876543210"


@pytest.fixture
def server() -> Iterator[PagerDutyServer]:
    with PagerDutyServer(KEY) as server:
        yield server


@pytest.fixture
def talk(server: PagerDutyServer) -> Talk:
    return Talk(server)


def failure(talk: Talk, **fields: object) -> NotifierError:
    with pytest.raises(NotifierError) as caught:
        talk.say("blind", **fields)
    return caught.value


def judged(error: NotifierError) -> tuple[bool, bool, float | None]:
    return error.permanent, error.everything, error.retry_after


@pytest.mark.parametrize(
    ("fault", "expected", "words"),
    [
        (busy(2), (False, True, 2.0), "was asked too often (429), waiting for 2 s: Too many API calls."),
        (busy(), (False, True, 60.0), "waiting for 60 s"),
        (busy("soon"), (False, True, 60.0), "waiting for 60 s"),
        (busy(10**12), (False, True, 3600.0), "waiting for 3600 s"),
        (down(500), (False, True, None), "failed with status 500: <html>upstream is unwell</html>; it is sent again."),
        (down(503, **{"Retry-After": "7"}), (False, True, 7.0), "failed with status 503"),
        (refusing(400, "Event object is invalid"), (True, False, None), "refuses this event (400): Event object is"),
        (refusing(413, "too large"), (True, False, None), "refuses this event (413): too large; it is not sent again."),
        (refusing(400, "Invalid routing key"), (True, True, None), "does not take the routing key of notify.pagerduty"),
        (refusing(401, ""), (True, True, None), "does not take the routing key of notify.pagerduty (401)"),
        (refusing(403, "Forbidden."), (True, True, None), "(403): Forbidden; correct the key."),
        (refusing(404, "not found"), (False, True, None), "status 404 where 202 was expected: not found; check"),
        (refusing(200, "hello"), (False, True, None), "status 200 where 202 was expected: hello"),
        (closed(), (False, True, None), "could not be reached"),
        (lost(), (False, True, None), "it is sent again"),
    ],
)
def test_each_answer_is_the_error_that_it_means(
    server: PagerDutyServer, talk: Talk, fault: Fault, expected: tuple[bool, bool, float | None], words: str
) -> None:
    error = failure(Talk(server.next(fault)))

    assert judged(error) == expected
    assert words in str(error)
    assert len(server.asked) == 1


def test_no_redirect_is_followed(server: PagerDutyServer, talk: Talk) -> None:
    with PagerDutyServer(KEY) as other:
        for status in (301, 302, 303, 307, 308):
            server.next(redirect(f"{other.url}/v2/enqueue?token=secret", status))
            error = failure(talk)
            assert judged(error) == (True, True, None)
            assert f"redirects to {other.url}/v2/enqueue ({status})" in str(error)
        assert other.asked == []


def test_a_server_that_hangs_is_given_up_in_time(server: PagerDutyServer) -> None:
    error = failure(Talk(server.next(hang()), timeout=0.3))

    assert judged(error) == (False, True, None)
    assert "gave no answer within 0.3 s" in str(error)


def test_a_server_that_drips_its_answer_is_given_up_in_time() -> None:
    drops = [bytes([letter]) for letter in b"HTTP/1.1 202 Accepted\r\nX-Long: " + b"x" * 500]
    with Answering() as slow:
        slow.always(Reply(drops, pause=0.05))
        error = _failed(PagerDuty(KEY, slow.url, 0.4))

    assert "gave no answer within 0.4 s" in str(error)


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    where = ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    subprocess.run([*make, *where], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    with Answering(tls=context) as posing:
        error = _failed(PagerDuty(KEY, posing.url, 5.0))

    assert judged(error) == (False, True, None)
    assert "failed in TLS" in str(error)


def test_an_endless_answer_is_not_read_to_its_end() -> None:
    with Answering() as endless:
        endless.always(reply(400, b"x" * 3_000_000))
        error = _failed(PagerDuty(KEY, endless.url, 5.0))

    assert len(str(error)) < 600


def test_a_port_where_nobody_listens_is_tried_again_later(server: PagerDutyServer, talk: Talk) -> None:
    server.stop()
    error = failure(talk)
    assert judged(error) == (False, True, None)
    assert "could not be reached: Connection refused" in str(error)

    server.start()
    talk.say("blind")
    assert len(server.open) == 1


def test_an_accepted_event_is_accepted_whatever_its_answer_holds(server: PagerDutyServer, talk: Talk) -> None:
    for fault in (truncated(), Fault(202, b"<html>", taken=True), Fault(202, b"", taken=True)):
        assert "accepted (202)" in Talk(server.next(fault)).say("blind")
    assert len(server.asked) == 3


def test_an_event_whose_answer_was_lost_is_sent_again_into_the_same_incident(
    server: PagerDutyServer, talk: Talk
) -> None:
    told = message("rollback", change=False)
    server.next(lost())
    with pytest.raises(NotifierError):
        talk.send(told)

    talk.send(told)

    assert (len(server.incidents), server.wakes, len(server.incident(BREACH).events)) == (1, 1, 2)


def test_a_key_that_was_told_to_wait_is_not_used_before(server: PagerDutyServer, talk: Talk, tmp_path: Path) -> None:
    file = tmp_path / "team.key"
    file.write_text(OTHER)
    server.keys.add(OTHER)
    theirs, ours = message("blind", rule=NotifyRule(routing_key_file=str(file))), message("blind")
    server.next(busy(30))

    with pytest.raises(NotifierError) as caught:
        talk.send(theirs)

    assert judged(caught.value) == (False, False, 30.0)
    assert 30.0 <= talk.channel.ready_in(theirs, talk.now) <= 30.0 + 5
    assert talk.channel.ready_in(ours, talk.now) == 0
    assert talk.channel.ready_in(theirs, talk.now + 35) == 0
    # A clock that is set back by a day must not silence a team for a day.
    assert talk.channel.ready_in(theirs, talk.now - 86_400) <= 30.0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "holds 0 characters (not shown), expected an integration key of 32 letters and digits"),
        (b"e+TopSecretKeyOf20ch", "holds 20 characters, some of them neither letter nor digit (not shown)"),
        (b"TopSecret" * 9, "holds 81 characters (not shown)"),
        (b"\xff\xfeTopSecret", "holds no text"),
    ],
)
def test_a_bad_key_file_is_named_and_its_content_is_not(
    talk: Talk, tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "team.key"
    if content is not None:
        file.write_bytes(content)

    error = failure(talk, rule=NotifyRule(routing_key_file=str(file)))

    assert (error.permanent, error.everything) == (True, True)
    assert f"the routing key file {file} {words}" in str(error)
    assert "TopSecret" not in "".join(traceback.format_exception(error))
    assert talk.channel.ready_in(message("blind", rule=NotifyRule(routing_key_file=str(file))), talk.now) == 0


def test_a_key_that_cannot_be_one_is_found_at_start() -> None:
    with pytest.raises(ConfigError) as caught:
        open_pagerduty(PagerDutySettings(routing_key=SecretStr("TopSecret")))
    assert str(caught.value).startswith("notify.pagerduty.routing_key: holds 9 characters (not shown), expected")

    channel = open_pagerduty(PagerDutySettings(routing_key=SecretStr(KEY)))
    assert KEY not in repr(channel) + repr(vars(channel))


def test_the_key_appears_nowhere(server: PagerDutyServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    echoes = [
        Fault(status, f'{{"message":"bad key {KEY}","errors":["{KEY.upper()} is unknown"]}}'.encode())
        for status in (400, 401, 403, 404, 429, 500)
    ]
    faults = [*echoes, Fault(302, b"", {"Location": f"http://127.0.0.1:1/{KEY}"}), closed(), refusing(400, KEY * 99)]
    texts = []
    for fault in faults:
        server.next(fault)
        error = failure(Talk(server))
        texts += [str(error), "".join(traceback.format_exception(error))]
    texts += [record.getMessage() for record in caplog.records]

    assert KEY.encode() in server.asked[0].body
    assert not [text for text in texts if KEY.lower() in text.lower() or KEY[-4:] in text]


def test_an_unknown_key_is_the_keys_fault(talk: Talk, server: PagerDutyServer) -> None:
    for status in (400, 403):
        server.unknown_key = status
        error = failure(Talk(server, OTHER))
        assert judged(error) == (True, True, None)
        assert "does not take the routing key" in str(error)


def test_of_the_environment_only_proxies_count(
    server: PagerDutyServer, talk: Talk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password mine")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    talk.say("blind")

    assert "authorization" not in server.asked[0].headers
    assert server.asked[0].headers["content-type"] == "application/json"
    assert server.asked[0].headers["user-agent"].startswith("pdpyras/")


def _failed(channel: PagerDuty) -> NotifierError:
    with pytest.raises(NotifierError) as caught:
        channel.send(message("blind"), Notes(), 0.0, again=False)
    return caught.value
