"""The webhook service, against scripted receivers and against the example receiver as a real process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from tests.answering import Answering, Reply, Request, reply
from watchdog.config.flagsettings import FlagSettings
from watchdog.errors import FlagConflict, FlagServiceError
from watchdog.flags import open_service
from watchdog.flags.base import Change
from watchdog.flags.webhook import Webhook, signature
from watchdog.model import NOBODY, Exposure

SECRET = "a-shared-key-of-32-letters-or-so"
RECEIVER = Path(__file__).parent.parent / "deploy" / "webhook-receiver" / "receiver.py"
FLAG = "new-checkout"


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering() as server:
        yield server


def webhook(url: str, timeout: float = 5.0, **more: Any) -> Webhook:
    return Webhook(url, more.pop("secret", SECRET), timeout, **more)


def change(percent: float = 0.0, idem: str = "", **more: Any) -> Change:
    cohort = more.pop("cohort", ())
    exposure = Exposure(percent, bool(cohort), more.pop("audiences", ()))
    return Change(exposure, cohort, "slo-watchdog", "a step", more.pop("rollout", "checkout-1"), idem, **more)


class Speaking:
    """A receiver in miniature: it does what it is told and says what the flag reads."""

    def __init__(self, percent: float = 0.0) -> None:
        self.percent, self.version = percent, 1

    def __call__(self, request: Request) -> Reply:
        document = request.json
        if document["action"] in ("set", "kill"):
            self.percent, self.version = document["percent"], self.version + 1
        return reply(json={"percent": self.percent, "version": str(self.version)})


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_change_is_a_signed_document_that_says_everything(server: Answering) -> None:
    server.next(reply(204))
    service = webhook(f"{server.url}/flags", now=lambda: 1_800_000_000.25)
    service.set(FLAG, change(12.3456, "checkout-1:set:1", cohort=("qa-1", "qa-1"), audiences=("beta",)))
    [asked] = server.asked
    assert (asked.method, asked.target) == ("POST", "/flags")
    assert asked.json == {
        "format": 1,
        "action": "set",
        "flag": FLAG,
        "percent": 12.345,
        "cohort": ["qa-1"],
        "audiences": ["beta"],
        "by": "slo-watchdog",
        "why": "a step",
        "rollout": "checkout-1",
        "expect": None,
        "idempotency_key": "checkout-1:set:1",
        "sent_at": "2027-01-15T08:00:00.250Z",
    }
    assert asked.headers["idempotency-key"] == "checkout-1:set:1"
    assert asked.headers["x-slo-watchdog-timestamp"] == "1800000000"
    signed = signature(SECRET.encode(), "1800000000", asked.body)
    assert asked.headers["x-slo-watchdog-signature"] == f"v1={signed}"


def test_the_settings_open_it() -> None:
    settings = FlagSettings.model_validate({"service": "webhook", "url": "http://127.0.0.1:9/x", "secret": SECRET})
    service = open_service(settings)
    assert not service.capabilities.readable
    with pytest.raises(FlagServiceError, match=r"127\.0\.0\.1:9 could not be reached") as caught:
        service.kill(FLAG, change())
    assert SECRET not in str(caught.value)


def test_a_key_that_no_header_can_hold_is_hashed_and_a_missing_one_made(server: Answering) -> None:
    server.always(reply(204))
    service = webhook(server.url)
    service.kill(FLAG, change(idem="Bücher\n"))
    service.kill(FLAG, change())
    service.kill(FLAG, change())
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(keys[0]) == 64
    assert len(set(keys)) == 3
    assert keys == [asked.json["idempotency_key"] for asked in server.asked]


@pytest.mark.parametrize("percent", [-1.0, 100.1, float("nan"), float("inf")])
def test_a_percentage_that_is_none_is_not_sent(server: Answering, percent: float) -> None:
    with pytest.raises(FlagServiceError, match="expected 0 to 100") as caught:
        webhook(server.url).set(FLAG, change(percent))
    assert caught.value.permanent
    assert server.asked == []


def test_a_cohort_without_members_is_not_sent(server: Answering) -> None:
    with pytest.raises(FlagServiceError, match="a cohort of 0"):
        webhook(server.url).set(FLAG, Change(Exposure(0, cohort=True), (), "me", "why"))
    assert server.asked == []


# --- receivers that speak -----------------------------------------------------------------------------------------


def test_a_receiver_that_speaks_is_believed_and_gains_capabilities(server: Answering) -> None:
    server.always(Speaking(percent=5))
    service = webhook(server.url)
    assert not service.capabilities.readable
    assert service.read(FLAG).exposure == Exposure(5)
    assert service.capabilities.readable
    assert service.capabilities.compare_and_set == "emulated"
    assert service.set(FLAG, change(25)).exposure == Exposure(25)
    assert service.kill(FLAG, change()).exposure == NOBODY
    assert service.read(FLAG).version == "3"


def test_another_version_than_expected_is_a_conflict_and_nothing_is_sent(server: Answering) -> None:
    speaking = Speaking(percent=5)
    server.always(speaking)
    service = webhook(server.url)
    with pytest.raises(FlagConflict, match="it has version 1, expected 0"):
        service.set(FLAG, change(25, expect="0"))
    assert speaking.percent == 5
    service.set(FLAG, change(25, expect="1"))
    assert server.asked[-1].json["expect"] == "1"
    assert speaking.percent == 25


def test_a_receiver_may_find_the_conflict_itself(server: Answering) -> None:
    server.next(reply(409, json={"message": "it has version 9"}))
    with pytest.raises(FlagConflict, match="it has version 9"):
        webhook(server.url).set(FLAG, change(25))


def test_a_kill_never_compares(server: Answering) -> None:
    server.always(Speaking(percent=50))
    webhook(server.url).kill(FLAG, change(expect="long ago"))
    assert [(asked.json["action"], asked.json["expect"]) for asked in server.asked] == [("kill", None)]


def test_a_receiver_that_answers_a_kill_with_a_conflict_is_at_fault(server: Answering) -> None:
    server.next(reply(409, json={"message": "not now"}))
    with pytest.raises(FlagServiceError, match="must take a kill whatever it has") as caught:
        webhook(server.url).kill(FLAG, change())
    assert not isinstance(caught.value, FlagConflict)
    assert not caught.value.permanent


def test_a_kill_that_left_something_on_is_an_error(server: Answering) -> None:
    server.next(reply(json={"percent": 25, "version": "7"}))
    with pytest.raises(FlagServiceError, match="says that the flag reads 25%") as caught:
        webhook(server.url).kill(FLAG, change())
    assert not caught.value.permanent


def test_cohort_latch_and_key_are_read_when_they_are_said(server: Answering) -> None:
    said = {"percent": 1.5, "cohort": ["qa-1"], "audiences": ["eu", "beta"], "latch": "checkout-1", "version": "x"}
    server.next(reply(json={**said, "idempotency_key": "k"}))
    reading = webhook(server.url).read(FLAG)
    assert reading.exposure == Exposure(1.5, cohort=True, audiences=("beta", "eu"))
    assert (reading.members, reading.latch, reading.idem) == (("qa-1",), "checkout-1", "k")


def test_without_a_version_any_change_of_the_reading_is_a_change_of_version(server: Answering) -> None:
    server.next(*(reply(json={"percent": percent}) for percent in (5, 5, 6)))
    versions = [webhook(server.url).read(FLAG).version for _ in range(3)]
    assert versions[0] == versions[1] != versions[2]


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        {"percent": "25"},
        {"percent": True},
        {"percent": 101},
        {"percent": -0.1},
        {"percent": 5, "cohort": "qa-1"},
        {"percent": 5, "audiences": [1]},
        {"percent": 5, "version": 7},
        {"percent": 5, "version": "x" * 201},
    ],
)
def test_an_answer_that_says_nothing_clear_is_an_error_with_what_was_expected(server: Answering, said: Any) -> None:
    server.next(reply(json=said))
    with pytest.raises(FlagServiceError, match=r"expected .*percent") as caught:
        webhook(server.url).read(FLAG)
    assert not caught.value.permanent


# --- receivers that only nod --------------------------------------------------------------------------------------


def nodding(request: Request) -> Reply:
    return reply(501) if request.json["action"] == "read" else reply(204)


def test_what_a_receiver_acknowledged_is_remembered_and_said_to_be_only_that(server: Answering) -> None:
    server.always(nodding)
    service = webhook(server.url)
    service.set(FLAG, change(25, "key-1"))
    reading = service.read(FLAG)
    assert reading.exposure == Exposure(25)
    assert reading.version == "acknowledged to this process: key-1"
    assert not service.capabilities.readable
    service.kill(FLAG, change(idem="key-2"))
    assert service.read(FLAG).exposure == NOBODY


def test_what_was_never_acknowledged_is_not_known(server: Answering) -> None:
    server.always(nodding)
    with pytest.raises(FlagServiceError, match="make the receiver answer `read`, or use it in `also:` only") as caught:
        webhook(server.url).read(FLAG)
    assert not caught.value.permanent


def test_after_a_lost_answer_nobody_knows_what_the_flag_reads(server: Answering) -> None:
    server.always(nodding)
    service = webhook(server.url, timeout=0.3)
    service.set(FLAG, change(0, "key-1"))
    server.next(Reply(hang=True))
    with pytest.raises(FlagServiceError, match=r"within 0\.3 s"):
        service.set(FLAG, change(1, "key-2"))
    with pytest.raises(FlagServiceError, match="no change of it stands acknowledged"):
        service.read(FLAG)
    service.kill(FLAG, change(idem="key-3"))
    assert service.read(FLAG).exposure == NOBODY


def test_a_refused_change_leaves_what_was_acknowledged(server: Answering) -> None:
    server.always(nodding)
    service = webhook(server.url)
    service.set(FLAG, change(25, "key-1"))
    server.next(reply(422, json={"message": "never above 25"}))
    with pytest.raises(FlagServiceError, match="never above 25"):
        service.set(FLAG, change(50, "key-2"))
    assert service.read(FLAG).exposure == Exposure(25)


def test_acknowledgements_are_compared_too(server: Answering) -> None:
    server.always(nodding)
    service = webhook(server.url)
    version = service.set(FLAG, change(25, "key-1")).version
    service.set(FLAG, change(30, "key-2", expect=version))
    with pytest.raises(FlagConflict):
        service.set(FLAG, change(50, "key-3", expect=version))


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        (reply(401, json={"message": "no"}), True),
        (reply(403, json={"message": "no"}), True),
        (reply(404, json={"message": "no"}), True),
        (reply(500), False),
        (reply(503), False),
        (reply(302, headers={"Location": "http://127.0.0.1:1/"}), True),
        (reply(200, b'{"percent": 0', headers={"Content-Type": "application/json"}), False),
        (reply(200, b"ok", headers={"Content-Type": "text/plain"}), False),
    ],
)
def test_a_fault_is_an_error_and_never_a_reading(server: Answering, answer: Reply, *, permanent: bool) -> None:
    for action in ("read", "set", "kill"):
        server.next(answer)
        service = webhook(server.url)
        with pytest.raises(FlagServiceError) as caught:
            service.read(FLAG) if action == "read" else getattr(service, action)(FLAG, change())
        assert caught.value.permanent is permanent


def test_a_wait_that_is_asked_for_is_passed_on(server: Answering) -> None:
    server.next(reply(429, headers={"Retry-After": "11"}))
    with pytest.raises(FlagServiceError) as caught:
        webhook(server.url).kill(FLAG, change())
    assert caught.value.retry_after == 11


def test_preflight_finds_a_receiver_that_believes_anybody(server: Answering) -> None:
    server.always(nodding)
    checks = {check.name: check for check in webhook(server.url).preflight(FLAG)}
    assert checks["the receiver takes our messages"].ok
    assert not checks["a wrong signature is refused"].ok
    assert "anybody can switch this flag" in checks["a wrong signature is refused"].todo
    assert not checks["an old message is refused"].ok
    assert "not to ramp" in checks["what the flag reads"].found
    assert {asked.json["action"] for asked in server.asked} == {"check", "read"}


def test_preflight_of_a_receiver_that_is_away_fails_and_raises_nothing() -> None:
    checks = webhook("http://127.0.0.1:1").preflight(FLAG)
    assert [check.ok for check in checks] == [False] * 4
    assert all(check.todo for check in checks)


# --- the example receiver, as a process ---------------------------------------------------------------------------

RECORD = "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + '\\n')"


class Receiver:
    """The example receiver with harmless commands that write down how they were called."""

    def __init__(self, directory: Path, flags: Mapping[str, Any], timeout: float = 5.0) -> None:
        self.directory = directory
        (directory / "secret").write_text(SECRET + "\n")
        config = {"listen": "127.0.0.1:0", "secret_file": "secret", "command_timeout": timeout, "flags": flags}
        (directory / "receiver.json").write_text(json.dumps(config))

    def __enter__(self) -> Self:
        command = [sys.executable, str(RECEIVER), str(self.directory / "receiver.json")]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.url = f"http://127.0.0.1:{json.loads(self.process.stderr.readline())['listening']}"
        self._drain = threading.Thread(target=self.process.stderr.read)
        self._drain.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
        self._drain.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    @property
    def ran(self) -> list[str]:
        path = self.directory / "ran"
        return path.read_text().splitlines() if path.exists() else []


def recorded(directory: Path, *words: str) -> list[str]:
    return [sys.executable, "-c", RECORD, str(directory / "ran"), *words]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    hang = [sys.executable, "-c", "import time; time.sleep(60)"]
    fail = [sys.executable, "-c", "import sys; sys.exit('the cluster said no')"]
    flags = {
        FLAG: {
            "set": recorded(tmp_path, "set", "{flag}", "{percent}"),
            "kill": recorded(tmp_path, "kill"),
            "read": "last",
        },
        "deployment": {"kill": recorded(tmp_path, "undo"), "kill_once": True},
        "asked": {"kill": recorded(tmp_path, "kill"), "read": [sys.executable, "-c", "print(12.5)"]},
        "failing": {"kill": fail},
        "hanging": {"set": hang, "kill": recorded(tmp_path, "kill hanging"), "read": "last"},
        "stuck": {"kill": hang, "kill_once": True},
        "absent": {"kill": ["no-such-program"]},
    }
    with Receiver(tmp_path, flags, timeout=1.0) as receiver:
        yield receiver


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def posted(
    receiver: Receiver, document: Mapping[str, Any], at: float | None = None, **headers: str
) -> requests.Response:
    """One message by hand, rightly signed at that time (None: now)."""
    whole = {"format": 1, "idempotency_key": "k", "sent_at": "2026-11-22T21:30:00.000Z", "flag": FLAG, **document}
    body, timestamp = json.dumps(whole).encode(), str(int(time.time() if at is None else at))
    signed = {
        "Idempotency-Key": str(whole["idempotency_key"]),
        "X-Slo-Watchdog-Timestamp": timestamp,
        "X-Slo-Watchdog-Signature": f"v1={signature(SECRET.encode(), timestamp, body)}",
    }
    return requests.post(receiver.url, data=body, headers={**signed, **headers}, timeout=10)


def test_set_read_and_kill_through_the_example(receiver: Receiver) -> None:
    service = webhook(receiver.url)
    assert service.read(FLAG).exposure == NOBODY
    first = service.set(FLAG, change(12.5, "k1", expect=service.read(FLAG).version))
    assert (first.exposure, first.idem) == (Exposure(12.5), "k1")
    assert service.read(FLAG) == first
    assert service.kill(FLAG, change(idem="k2")).exposure == NOBODY
    assert receiver.ran == [f"set {FLAG} 12.5", "kill"]
    assert service.capabilities.readable


def test_the_same_change_again_is_done_once(receiver: Receiver) -> None:
    service = webhook(receiver.url)
    for _ in range(3):
        assert service.set(FLAG, change(5, "k1")).exposure == Exposure(5)
    assert receiver.ran == [f"set {FLAG} 5"]


def test_a_kill_is_done_again_once_the_flag_was_raised_since(receiver: Receiver) -> None:
    service = webhook(receiver.url)
    service.kill(FLAG, change(idem="kill"))
    service.set(FLAG, change(5, "k1"))
    assert service.kill(FLAG, change(idem="kill")).exposure == NOBODY
    assert receiver.ran == ["kill", f"set {FLAG} 5", "kill"]


def test_a_restart_forgets_neither_changes_nor_messages(tmp_path: Path) -> None:
    flags = {FLAG: {"set": recorded(tmp_path, "set"), "kill": recorded(tmp_path, "kill"), "read": "last"}}
    with Receiver(tmp_path, flags) as receiver:
        webhook(receiver.url).set(FLAG, change(5, "k1"))
    with Receiver(tmp_path, flags) as receiver:
        service = webhook(receiver.url)
        assert service.read(FLAG).exposure == Exposure(5)
        service.set(FLAG, change(5, "k1"))
        assert receiver.ran == ["set"]


def test_a_command_says_what_the_flag_reads(receiver: Receiver) -> None:
    assert webhook(receiver.url).read("asked").exposure == Exposure(12.5)
    with pytest.raises(FlagServiceError, match=r"says that the flag reads 12\.5%"):
        webhook(receiver.url).kill("asked", change())


def test_a_deployment_can_be_undone_but_not_read_or_raised(receiver: Receiver) -> None:
    service = webhook(receiver.url)
    assert service.kill("deployment", change(idem="k1")).version == "acknowledged to this process: k1"
    with pytest.raises(FlagServiceError, match="nothing is configured for `set`") as caught:
        service.set("deployment", change(5))
    assert caught.value.permanent


def test_an_undo_runs_once_a_rollout(receiver: Receiver) -> None:
    service = webhook(receiver.url)
    service.kill("deployment", change(idem="k1", rollout="a"))
    service.kill("deployment", change(idem="k2", rollout="a"))
    assert receiver.ran == ["undo"]
    service.kill("deployment", change(idem="k3", rollout="b"))
    assert receiver.ran == ["undo", "undo"]


def test_a_wrong_signature_an_old_message_and_a_replay_do_nothing(receiver: Receiver) -> None:
    with pytest.raises(FlagServiceError, match="the signature does not fit"):
        webhook(receiver.url, secret="another-key-of-32-letters-or-so!").kill(FLAG, change())
    with pytest.raises(FlagServiceError, match="check the clocks"):
        webhook(receiver.url, now=lambda: time.time() - 400).kill(FLAG, change())
    with pytest.raises(FlagServiceError, match="check the clocks"):
        webhook(receiver.url, now=lambda: time.time() + 400).kill(FLAG, change())
    assert receiver.ran == []
    message, at = {"action": "set", "percent": 5}, time.time()
    assert posted(receiver, message, at).status_code == 200
    again = posted(receiver, message, at)
    assert (again.status_code, again.json()["message"]) == (409, "this very message came before; a message counts once")
    assert receiver.ran == [f"set {FLAG} 5"]


def test_a_signature_of_other_bytes_a_foreign_key_and_a_foreign_format_are_refused(receiver: Receiver) -> None:
    unsigned = requests.post(receiver.url, data=b'{"action": "kill"}', timeout=10)
    assert unsigned.status_code == 401
    assert posted(receiver, {"action": "kill"}, **{"Idempotency-Key": "other"}).status_code == 400
    assert posted(receiver, {"action": "kill", "format": 2}).status_code == 400
    assert posted(receiver, {"action": "explode"}).status_code == 400
    assert posted(receiver, {"action": "set", "percent": float("nan")}).status_code == 400
    assert posted(receiver, {"action": "kill", "flag": "unknown"}).status_code == 404
    assert requests.post(receiver.url, data=b"x" * 70_000, timeout=10).status_code == 413
    assert receiver.ran == []


def test_a_step_that_comes_after_the_kill_it_was_sent_before_is_refused(receiver: Receiver) -> None:
    webhook(receiver.url).kill(FLAG, change(idem="kill"))
    late = posted(receiver, {"action": "set", "percent": 50, "sent_at": "2026-01-01T00:00:00.000Z"})
    assert late.status_code == 409
    assert "was killed after this was sent" in late.json()["message"]
    assert receiver.ran == ["kill"]


def test_a_version_that_is_no_longer_the_flags_is_refused_by_the_receiver_too(receiver: Receiver) -> None:
    assert posted(receiver, {"action": "set", "percent": 50, "expect": "17"}).status_code == 409
    assert receiver.ran == []


def test_a_failing_command_is_told_with_its_words_and_tried_again(receiver: Receiver) -> None:
    for _ in range(2):
        with pytest.raises(FlagServiceError, match="status 1 and said: the cluster said no") as caught:
            webhook(receiver.url).kill("failing", change(idem="k1"))
        assert not caught.value.permanent


def test_a_hanging_command_is_ended_in_time(receiver: Receiver) -> None:
    service = webhook(receiver.url)
    began = time.monotonic()
    with pytest.raises(FlagServiceError, match="did not end within 1 s"):
        service.set("hanging", change(5, "k1"))
    assert time.monotonic() - began < 3
    with pytest.raises(FlagServiceError, match="is not known"):
        service.read("hanging")
    assert service.kill("hanging", change()).exposure == NOBODY


def test_an_undo_of_which_nobody_knows_whether_it_ran_is_not_run_again(receiver: Receiver) -> None:
    service = webhook(receiver.url)
    with pytest.raises(FlagServiceError, match="did not end within 1 s"):
        service.kill("stuck", change(idem="k1"))
    with pytest.raises(FlagServiceError, match="must not run twice; look yourself"):
        service.kill("stuck", change(idem="k1"))


def test_a_kill_does_not_wait_for_a_step_that_hangs(tmp_path: Path) -> None:
    began = tmp_path / "began"
    hang = [sys.executable, "-c", f"import time; open({str(began)!r}, 'w').close(); time.sleep(60)"]
    flags = {FLAG: {"set": hang, "kill": recorded(tmp_path, "kill"), "read": "last"}}
    errors: list[str] = []
    with Receiver(tmp_path, flags, timeout=30) as receiver:
        service = webhook(receiver.url, timeout=20)

        def step() -> None:
            with pytest.raises(FlagServiceError) as caught:
                service.set(FLAG, change(50, "k1"))
            errors.append(str(caught.value))

        stepping = threading.Thread(target=step)
        stepping.start()
        until(began.exists)
        killed_at = time.monotonic()
        assert service.kill(FLAG, change(idem="kill")).exposure == NOBODY
        assert time.monotonic() - killed_at < 5
        stepping.join()
    assert "because the flag is being killed" in errors[0]


def test_preflight_of_the_example_passes_and_changes_nothing(receiver: Receiver) -> None:
    for flag in (FLAG, "deployment"):
        assert all(check.ok for check in webhook(receiver.url).preflight(flag))
    first = webhook(receiver.url).preflight("absent")[0]
    assert not first.ok
    assert "no-such-program of flags.absent.kill is not on this machine" in first.found
    assert receiver.ran == []


def test_init_asks_whether_the_flags_are_known(receiver: Receiver) -> None:
    prepared = webhook(receiver.url).init([FLAG, "deployment"], "me")
    assert prepared.created == ()
    with pytest.raises(FlagServiceError, match="flag unknown is not configured here"):
        webhook(receiver.url).init(["unknown"], "me")


@pytest.mark.parametrize(
    ("config", "secret", "why"),
    [
        ("{", SECRET, "JSONDecodeError"),
        ('{"secret_file": "secret", "flags": {}}', "short", "shorter than 16"),
        ('{"secret_file": "secret", "flags": {"x": {"kill": "rm -rf {flag}"}}}', SECRET, "expected a list of strings"),
        ('{"flags": {}}', SECRET, "secret_file"),
    ],
)
def test_a_wrong_configuration_does_not_start(tmp_path: Path, config: str, secret: str, why: str) -> None:
    (tmp_path / "c.json").write_text(config)
    (tmp_path / "secret").write_text(secret)
    command = [sys.executable, str(RECEIVER), str(tmp_path / "c.json")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 2
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_example_configuration_is_one(tmp_path: Path) -> None:
    config = json.loads((RECEIVER.parent / "receiver.example.json").read_text())
    with Receiver(tmp_path, config["flags"]) as receiver:
        assert requests.get(f"{receiver.url}/healthz", timeout=5).status_code == 200
