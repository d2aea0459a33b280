"""The webhook service against the example receiver, a real process with harmless commands."""

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

from tests.test_webhook import FLAG, SECRET, change, webhook
from watchdog.errors import FlagServiceError
from watchdog.model import NOBODY, Exposure
from watchdog.signing import signature

RECEIVER = Path(__file__).parent.parent / "deploy" / "webhook-receiver" / "receiver.py"

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
