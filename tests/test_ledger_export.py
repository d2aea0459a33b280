"""A ledger as JSON lines: whole, verifiable anywhere, and made while a daemon writes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Installation, Traffic
from tests.sealing import NAME, full
from tests.servers import ScriptedPrometheus
from watchdog.errors import LedgerError, Refused
from watchdog.ledger import Ledger
from watchdog.ledger.export import export, verify_export
from watchdog.ledger.seals import OWN
from watchdog.ledger.verify import Verified, verify

ROLLOUT = "checkout-1"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    opened = full(tmp_path_factory.mktemp("export") / "watchdog.db")
    yield opened
    opened.close()


def written(ledger: Ledger, target: Path) -> list[bytes]:
    everything = {OWN: "", **{one.id: one.name for one in ledger.rollouts()}}
    made = export(ledger, everything, target, now=1_700_000_000.0, engine="0.1.0")
    lines = (gzip.decompress(target.read_bytes()) if target.suffix == ".gz" else target.read_bytes()).splitlines(
        keepends=True
    )
    assert (made.lines, made.size) == (len(lines), target.stat().st_size)
    return lines


def test_an_export_has_every_row_and_verifies_like_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    lines = written(ledger, tmp_path / "all.jsonl")
    rows = [json.loads(line) for line in lines]
    told = [row for row in rows if "table" in row]
    for one in ledger.rollouts():
        for table, row in ledger.rows_of(one.id):
            assert {"table": table, **row} in told
    found = verify_export(tmp_path / "all.jsonl", {})
    assert found.wrong == []
    assert found.chains == verify(ledger, {}).chains
    assert written(ledger, tmp_path / "all.jsonl.gz") == lines
    assert verify_export(tmp_path / "all.jsonl.gz", {}).chains == found.chains
    assert (tmp_path / "all.jsonl").stat().st_mode & 0o777 == 0o600


def test_an_export_is_never_written_over_and_a_failed_one_leaves_nothing(ledger: Ledger, tmp_path: Path) -> None:
    written(ledger, tmp_path / "all.jsonl")
    with pytest.raises(Refused, match="never written over"):
        written(ledger, tmp_path / "all.jsonl")
    with pytest.raises(LedgerError, match="No such file or directory"):
        export(ledger, {1: NAME}, tmp_path / "nowhere" / "a.jsonl", now=0.0, engine="0")
    assert [path.name for path in tmp_path.iterdir()] == ["all.jsonl"]


def test_a_line_that_is_changed_dropped_doubled_or_moved_is_found(ledger: Ledger, tmp_path: Path) -> None:
    lines = written(ledger, tmp_path / "all.jsonl")
    last = max(place for place, line in enumerate(lines) if b'"table":"seals"' in line)
    sealed = [place for place, line in enumerate(lines) if b'"table"' in line and b'"seal":null' not in line]
    for place in sealed[::17]:
        assert place <= last
        for changed in (
            [*lines[:place], *lines[place + 1 :]],
            [*lines[:place], lines[place], *lines[place:]],
            [*lines[:place], lines[place + 1], lines[place], *lines[place + 2 :]],
            [*lines[:place], lines[place].replace(b":1", b":2", 1), *lines[place + 1 :]],
        ):
            if changed != lines:
                assert not sound(tmp_path / "spoiled.jsonl", b"".join(changed)), lines[place]


def sound(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        found: Verified = verify_export(path, {})
    except LedgerError:
        return False
    return found.sound


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda whole: b"Dear aunt", "cannot be read"),
        (lambda whole: b"", "is not one of slo-watchdog"),
        (lambda whole: b'{"export": "something else"}\n', "is not one of slo-watchdog"),
        (lambda whole: whole[: len(whole) // 2], "line"),
        (lambda whole: whole.replace(b'{"end":"export"', b'["end","export"'), "line"),
        (lambda whole: whole.replace(b'{"table":"seals"', b'{"table":' + b"[" * 100_000, 1), "line"),
    ],
)
def test_what_is_no_export_is_refused_in_a_sentence(ledger: Ledger, tmp_path: Path, spoil: object, says: str) -> None:
    whole = b"".join(written(ledger, tmp_path / "all.jsonl"))
    assert callable(spoil)
    (tmp_path / "other.jsonl").write_bytes(spoil(whole))
    with pytest.raises(LedgerError, match=says):
        verify_export(tmp_path / "other.jsonl", {})
    (tmp_path / "other.jsonl.gz").write_bytes(gzip.compress(whole)[:-40])
    with pytest.raises(LedgerError, match=r"cannot be read: .*copy it again"):
        verify_export(tmp_path / "other.jsonl.gz", {})


def test_beside_a_daemon_everything_is_exported_backed_up_restored_and_whole(
    tmp_path: Path, scripted_prometheus: ScriptedPrometheus
) -> None:
    scripted_prometheus.always(Traffic())
    site = Installation(tmp_path, scripted_prometheus.url)
    site.rollout(ROLLOUT, auto_start="true", ramp="{steps: [{percent: 40, for: 6s}, {percent: 100}]}")
    with site.daemon() as daemon:
        site.until(ROLLOUT, lambda status: status.get("exposure", {}).get("actual") == 40)
        assert site.run("hold", ROLLOUT, "--reason", "the backup is to lack the next step").status == 0
        for number in range(3):
            done = site.run("ledger", "verify", "--json")
            assert (done.status, done.data["findings"]) == (0, []), "each look is at one state of it"
            kept = done.data["rollouts"][0]["seal"]
            assert site.run("ledger", "export", ROLLOUT, "-o", str(tmp_path / f"{number}.jsonl.gz")).status == 0
        assert site.run("ledger", "backup", str(tmp_path / "copy.db")).status == 0
        assert site.run("resume", ROLLOUT, "--reason", "it is made").status == 0
        anchor = f"{ROLLOUT}={kept['number']}:{kept['sha256']}"
        site.until(ROLLOUT, lambda status: status.get("exposure", {}).get("actual") == 100)
        assert site.run("ledger", "verify", "--anchor", anchor).status == 0, "what was kept is still a part of it"
        assert daemon.end() == 0
    for number in range(3):
        assert site.run("ledger", "verify", "--export", str(tmp_path / f"{number}.jsonl.gz")).status == 0
    assert site.run("ledger", "restore", str(tmp_path / "copy.db"), "--by", "ada").status == 0
    done = site.run("ledger", "verify", "--anchor", anchor, "--json")
    (lost,) = done.data["findings"]
    assert (done.status, lost["part"]) == (1, "flags"), "the seal that was kept is older than the backup, and is there"
    assert "the newest rows were cut off" in lost["what"], "the flag changed after the backup, and its anchor knows it"
    assert site.run("ledger", "export", "-o", str(tmp_path / "x.jsonl")).status == 2
    assert site.run("ledger", "export", "nobody-1", "-o", str(tmp_path / "x.jsonl")).status == 2
