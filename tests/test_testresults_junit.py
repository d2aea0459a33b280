"""JUnit reports in the dialects that tools really write, hostile ones, and the command that counts them."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.test_testresults import counters_of
from watchdog.cli import app
from watchdog.errors import ConfigError
from watchdog.testresults.gathering import Reading, run_of
from watchdog.testresults.junit import DEEPEST, Unreadable, read_report
from watchdog.testresults.model import Counts, Run

NOW = 1_795_500_000.0

PYTEST = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="2" tests="6" time="1.5"
 timestamp="2026-11-23T06:09:55.396147+00:00" hostname="vm">
<testcase classname="test_f" name="test_ok" time="0.001" />
<testcase classname="test_f" name="test_bad" time="0.0"><failure message="assert 0">E assert 0</failure></testcase>
<testcase classname="test_f" name="test_fixture" time="0.0"><error message="failed on setup">E</error></testcase>
<testcase classname="test_f" name="test_xfail" time="0.0"><skipped type="pytest.xfail" message=""/></testcase>
<testcase classname="test_f" name="test_skip" time="0.0"><skipped type="pytest.skip" message="no">f.py:19</skipped>
<system-out>&lt;failure/&gt;</system-out></testcase>
<testcase classname="test_f" name="test_flaky" time="0.0"/>
<testcase classname="test_f" name="test_flaky" time="0.0"/>
</testsuite></testsuites>"""

PYTEST_IMPORT = """<testsuites><testsuite name="pytest" errors="1" failures="0" skipped="0" tests="1" time="0.1">
<testcase classname="" name="tests.test_broken" time="0.000"><error message="collection failure">ImportError</error>
</testcase></testsuite></testsuites>"""

SUREFIRE = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" name="com.example.CartTest" time="1,034.25" tests="5"
 errors="0" skipped="1" failures="1" version="3.0.1"
 xsi:noNamespaceSchemaLocation="https://maven.apache.org/surefire/maven-surefire-plugin/xsd/surefire-test-report.xsd">
<properties><property name="java.version" value="21"/></properties>
<testcase name="adds" classname="com.example.CartTest" time="0.01"/>
<testcase name="empty" classname="com.example.CartTest" time="0"><skipped message="later"/></testcase>
<testcase name="shaky" classname="com.example.CartTest" time="0.2">
  <flakyFailure message="boom" type="AssertionError"><stackTrace>at x</stackTrace><system-out/></flakyFailure>
  <flakyError message="boom" type="java.io.IOException"><stackTrace><error/></stackTrace></flakyError></testcase>
<testcase name="broken" classname="com.example.CartTest" time="0.2">
  <failure message="boom" type="AssertionError">at x</failure>
  <rerunFailure message="boom" type="AssertionError"><stackTrace>at x</stackTrace></rerunFailure></testcase>
<testcase name="total" classname="com.example.CartTest" time="0.01"/>
</testsuite>"""

GRADLE = """<testsuite name="CartTest" tests="3" skipped="0" failures="1" errors="0" timestamp="2026-11-23T06:09:55"
 hostname="vm" time="0.05"><properties/>
<testcase name="total()" classname="CartTest" time="0.02"/>
<testcase name="shaky()" classname="CartTest" time="0.01"><failure message="x" type="E">E</failure></testcase>
<testcase name="shaky()" classname="CartTest" time="0.01"/>
<system-out><![CDATA[<testcase><failure/></testcase>]]></system-out><system-err/></testsuite>"""

JEST = """<testsuites name="jest tests" tests="3" failures="1" errors="1" time="2.1">
<testsuite name="cart" errors="0" failures="1" skipped="1" timestamp="2026-11-23T06:09:55" time="1.2" tests="3">
<testcase classname="cart adds" name="cart adds" time="0.003"></testcase>
<testcase classname="cart fails" name="cart fails" time="0.003"><failure>Error: expected 1</failure></testcase>
<testcase classname="cart later" name="cart later" time="0"><skipped/></testcase></testsuite>
<testsuite name="broken.test.js" errors="1" failures="0" skipped="0" timestamp="2026-11-23T06:09:55" time="0" tests="0">
</testsuite></testsuites>"""

GO = """<testsuites tests="4" failures="2" errors="0"><testsuite name="example.com/shop" tests="3" failures="1"
 errors="0" id="0" hostname="vm" skipped="1" time="0.004" timestamp="2026-11-23T06:09:55Z">
<testcase name="TestAdd" classname="example.com/shop" time="0.000"></testcase>
<testcase name="TestLater" classname="example.com/shop" time="0.000"><skipped message="shop.go:9: no"/></testcase>
<testcase name="TestBad" classname="example.com/shop" time="0.000"><failure message="Failed">x</failure></testcase>
</testsuite><testsuite name="example.com/broken" tests="1" failures="0" errors="1" id="1" time="0">
<testcase name="[build failed]" classname="example.com/broken" time="0"><error message="Build error"/></testcase>
</testsuite></testsuites>"""

NESTED = """<testsuites><testsuite name="all" tests="3" failures="1" errors="0" skipped="0" time="9">
<testsuite name="inner" tests="2" failures="1" time="0.4"><testcase name="a"/><testcase name="b"><failure/></testcase>
</testsuite><testsuite name="other" tests="1" time="0.1"><testcase name="c"/></testsuite></testsuite></testsuites>"""

GOOD = NESTED.replace("<failure/>", "").replace('failures="1"', 'failures="0"')

GTEST = """<testsuites tests="3" failures="1" disabled="1" errors="0" time="0.1" name="AllTests">
<testsuite name="Cart" tests="3" failures="1" disabled="1" skipped="0" errors="0" time="0.1">
<testcase name="Adds" status="run" result="completed" time="0" classname="Cart"/>
<testcase name="DISABLED_Later" status="notrun" result="suppressed" time="0" classname="Cart"/>
<testcase name="Bad" status="run" result="completed" time="0" classname="Cart"><failure message="x" type=""/></testcase>
</testsuite></testsuites>"""

NAMESPACED = '<t:testsuite xmlns:t="urn:x" tests="1"><t:testcase name="a"><t:error/></t:testcase></t:testsuite>'


def read(tmp_path: Path, *reports: str, now: float = NOW, **how: Any) -> Run:
    paths = []
    for number, report in enumerate(reports):
        paths.append(tmp_path / f"r{number}.xml")
        paths[-1].write_text(report)
    return run_of(paths, Reading(**how), now)


@pytest.mark.parametrize(
    ("report", "tests", "flaky", "fault"),
    [
        (PYTEST, Counts(2, 1, 1, 2), 1, ""),
        (PYTEST_IMPORT, Counts(error=1), 0, "cannot be built or loaded (::tests.test_broken)"),
        (SUREFIRE, Counts(3, 1, 0, 1), 1, ""),
        (GRADLE, Counts(2, 1), 0, ""),
        (JEST, Counts(1, 1, 1, 1), 0, "errors outside of its tests (1)"),
        (GO, Counts(1, 1, 1, 1), 0, "loaded (example.com/broken::[build failed])"),
        (NESTED, Counts(2, 1), 0, ""),
        (GTEST, Counts(1, 1, 0, 1), 0, ""),
        (NAMESPACED, Counts(error=1), 0, ""),
        ('<testsuite tests="0"/>', Counts(), 0, "no test was found"),
        ("<testsuites/>", Counts(), 0, "no test was found"),
        ('<testsuite tests="5"><testcase name="a"/></testsuite>', Counts(1), 0, "4 of 5 tests never ran"),
        ('<testsuite tests="3" skipped="2"><testcase name="a"/></testsuite>', Counts(1, skipped=2), 0, ""),
        ("<testsuite><testcase name='a'/><error message='x'/></testsuite>", Counts(1, error=1), 0, "outside of its"),
        ("<testsuite><testcase name='a'><skipped/></testcase></testsuite>", Counts(skipped=1), 0, "were skipped"),
        ("<testsuite tests='x' time='-1' failures=''><testcase name='a' time='nan'/></testsuite>", Counts(1), 0, ""),
    ],
    ids=itertools.count(),
)
def test_a_report_says_what_it_says_in_every_dialect(
    tmp_path: Path, report: str, tests: Counts, flaky: int, fault: str
) -> None:
    run = read(tmp_path, report)
    assert (run.tests, run.flaky) == (tests, flaky)
    assert fault in " ".join(run.faults)
    assert bool(run.faults) == bool(fault)


def test_a_case_that_appears_again_is_a_retry_only_where_somebody_says_so(tmp_path: Path) -> None:
    assert read(tmp_path, GRADLE).tests == Counts(2, 1)
    merged = read(tmp_path, GRADLE, retries=True)
    assert (merged.tests, merged.flaky) == (Counts(2), 1)
    strict = read(tmp_path, GRADLE, retries=True, flaky_passes=False)
    assert (strict.tests, strict.flaky) == (Counts(1, 1), 1)


def test_reports_of_one_run_are_one_run(tmp_path: Path) -> None:
    run = read(tmp_path, SUREFIRE, GTEST, NESTED)
    assert run.tests == Counts(6, 3, 0, 2)
    assert run.duration == pytest.approx(1034.25 + 0.1 + 0.5)
    one = tmp_path / "r0.xml"
    assert run_of([one, one], Reading(), NOW).tests == Counts(3, 1, 0, 1)


def test_the_end_is_what_the_report_says_or_when_it_was_written_and_never_later_than_now(tmp_path: Path) -> None:
    assert read(tmp_path, PYTEST).finished_at == pytest.approx(1_795_414_195.396147 + 1.5)
    read(tmp_path, GRADLE)
    os.utime(tmp_path / "r0.xml", (NOW - 77, NOW - 77))
    assert run_of([tmp_path / "r0.xml"], Reading(), NOW).finished_at == NOW - 77
    assert read(tmp_path, PYTEST, now=1_795_000_000.0).finished_at == 1_795_000_000.0


def test_critical_tests_are_named_by_patterns(tmp_path: Path) -> None:
    assert read(tmp_path, SUREFIRE, critical=["*::total"]).faults == ()
    (skipped,) = read(tmp_path, SUREFIRE, critical=["com.example.*::e*"]).faults
    assert skipped == "critical tests were skipped (com.example.CartTest::empty)"
    (absent,) = read(tmp_path, SUREFIRE, critical=["*::login"]).faults
    assert absent == "no test matches the critical pattern *::login"


# --- reports that are none --------------------------------------------------------------------------------------------

BOMB = """<!DOCTYPE t [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<testsuite><testcase name="&b;"/></testsuite>"""
OUTSIDE = '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/hostname">]><testsuite><testcase name="&x;"/></testsuite>'
DEEP = "<testsuite>" * (DEEPEST + 1) + "</testsuite>" * (DEEPEST + 1)
BROKEN = {
    BOMB: "has a DOCTYPE",
    OUTSIDE: "has a DOCTYPE",
    '<!DOCTYPE t SYSTEM "http://127.0.0.1:9/x.dtd"><testsuite/>': "has a DOCTYPE",
    DEEP: "nested more than",
    SUREFIRE[: len(SUREFIRE) // 2]: "is not whole or no XML",
    "": "is empty",
    "{}": "is not whole or no XML",
    "<html><body/></html>": "begins with <html>",
    "<testsuite><testcase><testcase/></testcase></testsuite>": "a <testcase> within",
    '<?xml version="1.0" encoding="nonsense"?><testsuite/>': "is not whole or no XML",
    '<testsuite><testcase name="&undefined;"/></testsuite>': "is not whole or no XML",
}


@pytest.mark.parametrize(("report", "said"), BROKEN.items(), ids=itertools.count())
def test_a_report_that_cannot_be_trusted_makes_the_run_a_failed_one(tmp_path: Path, report: str, said: str) -> None:
    (tmp_path / "r.xml").write_text(report)
    with pytest.raises(Unreadable, match=said):
        read_report(tmp_path / "r.xml")
    run = run_of([tmp_path / "r.xml"], Reading(), NOW)
    assert said in run.faults[0]
    assert run.counted == Counts(error=1)


def test_one_broken_report_spoils_the_others(tmp_path: Path) -> None:
    run = read(tmp_path, GOOD, "")
    assert run.tests == Counts(3)
    assert run.counted == Counts(error=3)


def test_a_report_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, said in ((tmp_path / "pipe", "not a regular file"), (tmp_path / "none", "No such file")):
        assert said in run_of([path], Reading(), NOW).faults[0]


# --- the command ------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["tests", "import", *arguments])
    if isinstance(done.exception, ConfigError):
        return 2, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit | typer.Exit), done.exception
    return done.exit_code, done.output


def test_the_command_adds_a_run_once_and_says_what_it_counted(tmp_path: Path) -> None:
    report, textfiles = tmp_path / "r.xml", tmp_path / "textfiles"
    textfiles.mkdir()
    report.write_text(GOOD)
    options = (str(report), "--suite", "smoke", "--job", "checkout", "--label", "environment=staging")
    status, said = command(*options, "--textfile", str(textfiles))
    (file,) = textfiles.glob("*.prom")
    assert (status, said) == (0, f"smoke: 3 passed\nin {file}\n")
    assert counters_of(file) == {"passed": 3, "failed": 0, "error": 0, "skipped": 0}
    assert 'smoke_tests_total{job="checkout",suite="smoke",environment="staging",result="passed"} 3' in file.read_text()
    status, said = command(*options, "--textfile", str(textfiles))
    assert (status, "not counted again" in said) == (0, True)
    assert counters_of(file)["passed"] == 3


def test_the_command_tells_a_machine(tmp_path: Path) -> None:
    (tmp_path / "r.xml").write_text(PYTEST_IMPORT)
    status, said = command(str(tmp_path / "r.xml"), str(tmp_path / "none.xml"), "--suite", "smoke", "--json")
    told = json.loads(said)
    assert status == 1
    assert told["counted"] == {"passed": 0, "failed": 0, "error": 1, "skipped": 0}
    assert (told["success"], told["where"], len(told["faults"])) == (False, None, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--suite", "a/b"], "suite: found 'a/b'"),
        (["--suite", "smoke", "--textfile", "/nowhere/at/all"], "is not a directory"),
        (["--suite", "smoke", "--textfile", ".", "--pushgateway", "http://h"], "both given"),
        (["--suite", "smoke", "--pushgateway", "ftp://h"], "expected http(s)"),
        (["--suite", "smoke", "--pushgateway", "http://u:s3cret@h:x"], "expected http(s)"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_counted(tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "r.xml").write_text(NESTED)
    status, told = command(str(tmp_path / "r.xml"), *options)
    assert status == 2
    assert said in told
    assert "s3cret" not in told
