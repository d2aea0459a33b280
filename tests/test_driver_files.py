"""What the deployment driver reads and writes: its target file, its state, its lock, and releases as tar files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
from dataclasses import fields
from pathlib import Path

import pytest

from tests.bluegreening import COMMIT, PLACE, digest
from tests.processes import Finished, wait_for

from bluegreen.artefact import accept, unpacked  # isort: skip
from bluegreen.errors import DriverError, Failed, Locked, Misused, Refused  # isort: skip
from bluegreen.nginx import NginxBackend  # isort: skip
from bluegreen.commands import Commands  # isort: skip
from bluegreen.state import Release, State, Store  # isort: skip
from bluegreen.target import Compose, Health, Kubectl, Nginx, load  # isort: skip

EXAMPLES = PLACE / "examples"


def driver(*words: str, target: Path | None = None, **environ: str) -> Finished:
    given = () if target is None else ("--target", str(target))
    done = subprocess.run(
        [sys.executable, str(PLACE / "driver"), *given, *words],
        env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The example in a directory of the test, with a service that is started and stopped by saying so."""
    file = tmp_path / "target.toml"
    text = (
        (EXAMPLES / "nginx.toml").read_text().replace("/var/lib/checkout", str(tmp_path)).replace("systemctl", "true")
    )
    file.write_text(text)
    return file


def archive(file: Path, name: str = "bin/serve") -> str:
    """A release with one file; its digest."""
    with tarfile.open(file, "w:gz") as stream:
        entry = tarfile.TarInfo(name)
        entry.size = 5
        stream.addfile(entry, io.BytesIO(b"serve"))
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("name", ["nginx", "compose", "kubectl"])
def test_the_examples_are_valid(name: str) -> None:
    assert load(EXAMPLES / f"{name}.toml").backend == name


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ('backend = "nginx"', 'backend = "apache"', "backend is 'apache'; expected nginx, compose, kubectl"),
        ("successes = 3", "successes = 0", "health.successes is 0; expected a number of at least 1"),
        ("successes = 3", "succeses = 3", "health.succeses is no setting here"),
        ("every = 1", "every = true", "health.every is True; expected a number"),
        ('path = "/healthz"', 'path = "healthz"', "expected a path such as /healthz"),
        ('start = ["systemctl",', 'start = ["{color}",', "nginx.start has '{color}'"),
        ("/run/checkout/green.sock", "/run/checkout/blue.sock", "have to be two absolute paths"),
        ('store = "/var/lib/checkout/artefacts"', "", "nginx.store is missing"),
        ("[colours.blue]", "[colours.red]", "colours.blue.url is missing"),
        ('name = "checkout"', "name = ", "cannot be read"),
    ],
)
def test_a_target_file_that_says_something_else_is_refused(
    tmp_path: Path, was: str, becomes: str, complaint: str
) -> None:
    file = tmp_path / "target.toml"
    text = (EXAMPLES / "nginx.toml").read_text()
    assert was in text
    file.write_text(text.replace(was, becomes, 1))
    with pytest.raises(Misused) as raised:
        load(file)
    assert str(file) in str(raised.value)
    assert complaint in str(raised.value)


def test_every_key_of_a_target_file_is_explained() -> None:
    page = (PLACE.parents[2] / "docs" / "deploying.md").read_text()
    for table, kind in (("nginx", Nginx), ("compose", Compose), ("kubectl", Kubectl), ("health", Health)):
        names = [field.name for field in fields(kind) if field.name != "sockets"]
        assert [name for name in names if f"`{table}.{name}`" not in page] == []


def test_the_command_line_refuses_what_is_no_digest(target: Path) -> None:
    for words, status in (
        (("--image", "checkout:1.2"), 3),
        (("--image", "checkout", "--digest", "latest"), 3),
        (("--image", f"checkout:1.2@{digest(1)}"), 3),
        (("--image", f"checkout@{digest(1)}", "--digest", digest(2)), 2),
    ):
        assert driver("deploy", *words, "--commit", COMMIT, target=target).status == status, words


def test_a_command_without_a_target_or_with_a_wrong_one_says_what_to_do(tmp_path: Path) -> None:
    assert "give --target" in driver("status", DRIVER_TARGET="").err
    missing = driver("status", DRIVER_TARGET=str(tmp_path / "none.toml"))
    assert (missing.status, "cannot be read" in missing.err) == (2, True)


def test_status_is_told_to_people_too(target: Path) -> None:
    told = driver("status", target=target)
    assert told.status == 0
    assert told.out.splitlines() == [
        "checkout (nginx): nobody serves at http://127.0.0.1:80",
        "  blue: nothing",
        "  green: nothing",
        "  rollback goes to neither colour",
    ]


def test_who_asks_is_recorded(target: Path, tmp_path: Path) -> None:
    found = archive(tmp_path / "release.tar")
    target.write_text(target.read_text().replace("within = 60", "within = 0"))
    words = ("deploy", "--image", "checkout", "--digest", found, "--commit", COMMIT)
    done = driver(
        *words, "--artefact", str(tmp_path / "release.tar"), target=target, PIPELINE_ACTOR="", GITHUB_ACTOR="kim"
    )
    assert done.status == 1
    assert "blue is not well within 0 s" in done.err
    state = json.loads((tmp_path / "driver" / "state.json").read_text())
    assert (state["deeds"][0]["by"], state["deeds"][0]["outcome"]) == ("kim", "failed")
    assert state["colours"]["blue"]["state"] == "failed"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"schema": 2}', '{"schema": 1, "active": "red"}'])
def test_a_damaged_state_is_not_taken_for_an_empty_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "state.json"
    file.write_text(text)
    with pytest.raises(Failed, match="is no state of this driver"):
        Store(file).read()
    assert file.read_text() == text


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Failed, match="cannot be written"):
        Store(tmp_path / "file" / "state.json").write(State())


def test_only_one_driver_works_at_a_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.json")
    said = "`switch` by kim, process"
    with store.lock("switch", "kim", 0), pytest.raises(Locked, match=said), store.lock("rollback", "ada", 0):
        raise AssertionError("both have the lock")
    with store.lock("rollback", "ada", 0):
        pass


def test_the_command_line_waits_for_the_lock_and_then_gives_up(target: Path) -> None:
    with Store(load(target).state).lock("switch", "kim", 0):
        done = driver("drain", "--lock-wait", "0", target=target)
    assert done.status == 4
    assert "another driver works on this target" in done.err
    assert driver("drain", target=target).status == 0


def test_the_last_command_of_a_killed_driver_keeps_the_next_one_out(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from bluegreen.state import Store; from bluegreen.commands import Commands\n"
        "with Store(Path(sys.argv[2])).lock('switch', 'kim', 0) as held:\n"
        "    Commands(60, held).run(['sh', '-c', 'echo $$ > \"$0\"; exec sleep 60', sys.argv[3]])\n"
    )
    state, pid = tmp_path / "state.json", tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", program, str(PLACE), str(state), str(pid)])
    command = wait_for(lambda: (pid.exists() and pid.read_text().strip()) or None, 20, lambda: "it did not start")
    process.kill()
    process.wait()
    with pytest.raises(Locked), Store(state).lock("rollback", "ada", 0):
        pass
    os.kill(int(command), signal.SIGKILL)
    with Store(state).lock("rollback", "ada", 20):
        pass


def test_a_command_that_hangs_or_fails_is_quoted() -> None:
    with pytest.raises(Failed, match=r"did not end within 0\.05 s"):
        Commands(0.05).run(["sleep", "60"])
    with pytest.raises(Failed, match="ended with status 3 and said: no such image"):
        Commands(10).run(["sh", "-c", "echo no such image >&2; exit 3"])


def test_an_artefact_is_kept_and_unpacked_when_it_is_what_its_digest_says(tmp_path: Path) -> None:
    file, store, releases = tmp_path / "release.tar", tmp_path / "store", tmp_path / "releases"
    found = archive(file)
    with pytest.raises(Refused, match=f"expected {digest(1)}"):
        accept(file, digest(1), store)
    assert list(store.iterdir()) == []
    accept(file, found, store)
    place = unpacked(found, store, releases)
    assert (place / "bin" / "serve").read_text() == "serve"
    (place / "mark").write_text("")
    assert (unpacked(found, store, releases) / "mark").exists()


def test_a_half_unpacked_release_is_unpacked_anew(tmp_path: Path) -> None:
    file, store, releases = tmp_path / "release.tar", tmp_path / "store", tmp_path / "releases"
    found = archive(file)
    accept(file, found, store)
    half = releases / f".{found.removeprefix('sha256:')}.next"
    half.mkdir(parents=True)
    (half / "rest").write_text("")
    assert [entry.name for entry in unpacked(found, store, releases).iterdir()] == ["bin"]


def broken(tmp_path: Path, what: str) -> tuple[str, Path]:
    """A store whose artefact is missing, was changed, is no tar file, or leads out of its directory."""
    file, store = tmp_path / "release.tar", tmp_path / "store"
    found = archive(file, "../outside" if what == "leads out" else "bin/serve")
    if what == "no tar":
        file.write_text("text")
        found = f"sha256:{hashlib.sha256(b'text').hexdigest()}"
    if what != "missing":
        accept(file, found, store)
    if what == "changed":
        (store / f"{found.removeprefix('sha256:')}.tar").write_text("other")
    return found, store


@pytest.mark.parametrize("what", ["missing", "changed", "no tar", "leads out"])
def test_an_artefact_that_is_not_right_is_not_started(tmp_path: Path, what: str) -> None:
    found, store = broken(tmp_path, what)
    with pytest.raises(DriverError) as raised:
        unpacked(found, store, tmp_path / "releases")
    assert "artefact" in str(raised.value) or "cannot be unpacked" in str(raised.value)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "releases" / found.removeprefix("sha256:")).exists()


def nginx_of(target: Path) -> NginxBackend:
    found = load(target)
    assert isinstance(found.settings, Nginx)
    return NginxBackend(found, found.settings, Commands(10))


def test_the_link_is_replaced_as_a_whole_even_over_the_rest_of_a_killed_attempt(target: Path, tmp_path: Path) -> None:
    backend = nginx_of(target)
    assert backend.pointed() is None
    backend.point("blue")
    (tmp_path / "switch" / ".current.sock.next").symlink_to("anything")
    backend.point("green")
    assert backend.pointed() == "green"
    assert [entry.name for entry in (tmp_path / "switch").iterdir()] == ["current.sock"]


def test_a_socket_in_place_of_the_link_is_not_overwritten(target: Path, tmp_path: Path) -> None:
    (tmp_path / "switch").mkdir()
    (tmp_path / "switch" / "current.sock").write_text("somebody's")
    with pytest.raises(Failed, match="is no symbolic link"):
        nginx_of(target).point("blue")
    assert (tmp_path / "switch" / "current.sock").read_text() == "somebody's"


def test_releases_that_no_colour_runs_are_removed(target: Path, tmp_path: Path) -> None:
    backend = nginx_of(target)
    digests = []
    for number in range(3):
        digests.append(archive(tmp_path / "release.tar", f"bin/serve{number}"))
        accept(tmp_path / "release.tar", digests[-1], tmp_path / "artefacts")
        colour = ("blue", "green")[number % 2]
        backend.install(colour, Release("checkout", digests[-1], COMMIT, number, "installing", "kim", ""))
    kept = {place.name for place in (tmp_path / "releases").iterdir() if not place.is_symlink()}
    assert {f"sha256:{name}" for name in kept} == set(digests[1:])
    assert (backend.runs("blue"), backend.runs("green")) == (digests[2], digests[1])
    backend.remove("green")
    backend.remove("green")
    assert backend.runs("green") is None
