"""`evidence keygen`, `report --bundle`, `verify` and `countersign`, as a person runs them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.evidences import the_smallest, under_way
from tests.ledgers import ledger_of
from tests.stage import Stage
from tests.warm import warm
from watchdog.cli import INVALID, app
from watchdog.errors import WatchdogError
from watchdog.evidence.archive import pack, unpack

NAME = "checkout-2"


class Site:
    """A settings file with the ledger of a rollout that was signed off, and commands run there."""

    def __init__(self, path: Path, stage: Stage, settings: str = "") -> None:
        self.path, self.stage = path, stage
        self.file = path / "watchdog.yaml"
        self.configure(settings)

    def configure(self, settings: str) -> None:
        text = f"prometheus: {{url: 'http://u:secret@127.0.0.1:9090'}}\nledger: {self.stage.url}\n{settings}\n"
        self.file.write_text(text.replace("u:secret@", ""), encoding="utf-8")

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a command, within this process."""
        with chdir(self.path):
            done = CliRunner().invoke(app, list(words))
        if isinstance(done.exception, WatchdogError):
            return INVALID, done.stdout, f"slo-watchdog: {done.exception}"
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    def run_elsewhere(self, directory: Path, *words: str) -> tuple[int, str, str]:
        """The same as a program of its own, in another directory and without settings."""
        here = {key: value for key, value in os.environ.items() if not key.startswith("WATCHDOG_")}
        status, out, err = warm().run(words, here, directory, 120)
        return status, out.decode(), err.decode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    path = tmp_path_factory.mktemp("site")
    stage = the_smallest(path)
    made = Site(path, stage)
    for name in ("own", "ada"):
        status, out, _ = made.run("evidence", "keygen", f"{name}.key")
        assert status == 0
        assert f"wrote {name}.key, which nobody else may read, and {name}.key.pub" in out
    yield made
    stage.close()


def test_a_key_is_for_its_owner_and_is_never_written_over(site: Site) -> None:
    assert (site.path / "own.key").stat().st_mode & 0o777 == 0o600
    status, _, err = site.run("evidence", "keygen", "own.key")
    assert status == 2
    assert "a key is never written over" in err


def test_a_signed_bundle_verifies_elsewhere_with_nothing_but_the_public_key(site: Site, tmp_path: Path) -> None:
    status, out, err = site.run("report", NAME, "--bundle", "evidence.tar.gz", "--key", "own.key")
    assert (status, err) == (0, "")
    assert "wrote evidence.tar.gz: " in out
    for name in ("evidence.tar.gz", "own.key.pub"):
        (tmp_path / name).write_bytes((site.path / name).read_bytes())
    words = ("verify", "evidence.tar.gz", "--public-key", "own.key.pub")
    status, out, err = site.run_elsewhere(tmp_path, *words)
    assert (status, err) == (0, "")
    assert out.rstrip().endswith("evidence.tar.gz: VERIFIED")
    assert "ok   signature: holds, by the key " in out
    assert "that Prometheus told the truth" in out
    status, out, _ = site.run("verify", "evidence.tar.gz")
    assert status == 1
    assert "NO SIGNATURE WAS CHECKED" in out


def test_an_unsigned_one_says_so_and_is_refused_unless_that_is_allowed(site: Site) -> None:
    status, _, err = site.run("report", NAME, "--bundle", "unsigned.tar.gz")
    assert status == 0
    assert "unsigned.tar.gz is UNSIGNED" in err
    status, out, _ = site.run("verify", "unsigned.tar.gz")
    assert status == 1
    assert "UNSIGNED: it fits together, or does not, whoever wrote it; nobody vouches for it" in out
    status, out, _ = site.run("verify", "unsigned.tar.gz", "--allow-unsigned", "--json")
    found = json.loads(out)
    assert status == 0
    assert (found["verified"], found["consistent"], found["signature"], found["key"]) == (True, True, "unsigned", None)
    assert found["about"]["verdict"]["signed_off"] is True
    assert all(check["ok"] for check in found["checks"])


def test_what_was_changed_is_named(site: Site) -> None:
    site.run("report", NAME, "--bundle", "changed.tar.gz", "--key", "own.key")
    file = site.path / "changed.tar.gz"
    members = unpack(file.read_bytes())
    file.write_bytes(pack({**members, "rule.yaml": members["rule.yaml"].replace(b"0.1%", b"9.9%")}))
    status, out, _ = site.run("verify", "changed.tar.gz", "--public-key", "own.key.pub", "--json")
    assert status == 1
    first = json.loads(out)["first_difference"]
    assert first == "files: rule.yaml does not have the sha256 that the manifest lists: it was changed"
    status, out, _ = site.run("verify", "changed.tar.gz", "--public-key", "own.key.pub")
    assert status == 1
    assert f"changed.tar.gz: NOT VERIFIED: {first}" in out
    status, _, err = site.run(
        "countersign", "changed.tar.gz", "--by", "ada", "--key", "ada.key", "--reason", "it looked fine"
    )
    assert status == 2
    assert "does not verify, so nobody should vouch for it" in err


def test_what_cannot_be_read_is_bad_input(site: Site) -> None:
    (site.path / "rsa.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
    for words in (
        ("verify", "nowhere.tar.gz"),
        ("verify", "watchdog.yaml", "--public-key", "nowhere.pub"),
        ("verify", "watchdog.yaml", "--public-key", "rsa.pem"),
        ("report", NAME, "--bundle", "b.tar.gz", "--key", "own.key.pub"),
        ("report", "checkout-9", "--bundle", "b.tar.gz"),
    ):
        status, _, err = site.run(*words)
        assert status == 2, words
        assert err.startswith("slo-watchdog: ")
    assert site.run("verify", "watchdog.yaml")[0] == 1


def test_an_approver_countersigns_a_bundle_and_a_rollout(site: Site) -> None:
    site.run("report", NAME, "--bundle", "both.tar.gz", "--key", "own.key")
    words = ("--by", "ada", "--key", "ada.key", "--reason", "board of 12 May")
    assert site.run("countersign", "both.tar.gz", *words)[0] == 0
    keys = ("--public-key", "own.key.pub", "--approver", "ada.key.pub")
    status, out, _ = site.run("verify", "both.tar.gz", *keys, "--json")
    assert status == 0
    (one,) = json.loads(out)["countersigned"]
    assert (one["by"], one["reason"], one["checked"]) == ("ada", "board of 12 May", True)
    status, out, _ = site.run("verify", "both.tar.gz", "--public-key", "own.key.pub", "--approver", "own.key.pub")
    assert status == 0
    assert "NOT CHECKED" in out

    status, out, _ = site.run("countersign", NAME, *words)
    assert status == 0
    assert f"{NAME}: countersigned by ada up to seal " in out
    ledger = ledger_of(site.stage.url)
    told = ledger.transitions(site.stage.stored.id)[-1]
    ledger.close()
    assert (told.kind, told.by) == ("countersigned", "ada")
    assert told.why.startswith("board of 12 May (countersigned up to seal ")
    status, out, _ = site.run("report", NAME, "--format", "md")
    assert "Countersigned by ada, " in out
    assert "signature" not in out.partition("countersigned")[2].partition("\n")[0]
    site.run("report", NAME, "--bundle", "again.tar.gz", "--key", "own.key")
    assert "countersigned/001.dsse.json" in unpack((site.path / "again.tar.gz").read_bytes())
    status, out, _ = site.run("verify", "again.tar.gz", *keys, "--json")
    (one,) = json.loads(out)["countersigned"]
    assert (status, one["checked"]) == (0, True)


def test_only_approvers_countersign_where_the_settings_name_them(site: Site) -> None:
    (site.path / "approvers").mkdir()
    (site.path / "approvers" / "bob.pub").write_bytes((site.path / "own.key.pub").read_bytes())
    site.configure("evidence: {approvers: approvers, key_file: own.key}")
    try:
        for by in ("ada", "bob", "../bob"):
            words = ("--by", by, "--key", "ada.key", "--reason", "why not")
            status, _, err = site.run("countersign", NAME, *words)
            assert status == 2
            assert "is no approver with this key" in err
        assert site.run("countersign", NAME, "--by", "bob", "--key", "own.key", "--reason", "it is mine")[0] == 0
        status, out, _ = site.run("report", NAME, "--bundle", "configured.tar.gz")
        assert status == 0
        assert "signed by the key " in out
    finally:
        site.configure("")


def test_what_has_not_ended_is_not_countersigned(tmp_path: Path, site: Site) -> None:
    stage = under_way(tmp_path)
    other = Site(tmp_path, stage)
    key = str(site.path / "ada.key")
    status, _, err = other.run("countersign", NAME, "--by", "ada", "--key", key, "--reason", "early")
    assert status == 2
    assert "is ramping: it is countersigned once it has ended" in err
    status, _, err = other.run("countersign", NAME, "--by", "a\nb", "--key", key, "--reason", "two lines")
    assert status == 2
    stage.close()
