"""promtool runs the tests of the alert pack; and what an alert that fires says, is complete."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.alertpack import RULES, TESTS, checks, read
from tests.servers import binary

GARBAGE = "800"
"""Percent of what promtool holds that it lets lie before it collects it: a fifth of its time is collecting else."""
GOT = re.compile(r"alertname: (\w+), time: (\w+),\s*exp:\[\s*\],\s*got:\[(.*?)\n\s*\]", re.DOTALL)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_fire_and_are_silent_as_expected_and_say_complete_sentences(file: Path, tmp_path: Path) -> None:
    """One run for both: an alert that is expected not to fire, though it does, is printed with all that it says."""
    document = copy.deepcopy(read(file))
    document["rule_files"] = [str((file.parent / name).resolve()) for name in document["rule_files"]]
    fires = [check for check in checks() if check.file == file and check.fires]
    for test in document["tests"]:
        about = [check for check in fires if check.test["input_series"] == test["input_series"]]
        test["alert_rule_test"] = [
            {"eval_time": check.at, "alertname": check.name, "exp_alerts": []} for check in about
        ]
    written = tmp_path / file.name
    written.write_text(json.dumps(document))
    done = subprocess.run(
        [binary("promtool"), "test", "rules", str(written)],
        env={**os.environ, "GOGC": GARBAGE},
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert "expr:" not in output, output
    said = {(name, written): text for name, written, text in GOT.findall(output)}
    assert {name for name, _ in said} == {check.name for check in fires}, output
    for (name, _), text in said.items():
        assert f'runbook_url="/runbooks/{name}"' in text, text
        for unfinished in ("{{", "<no value>", "<error", "%!", 'service=""'):
            assert unfinished not in text, f"{name}: {text}"


def test_the_tests_belong_to_the_rules() -> None:
    for file in TESTS:
        for name in read(file)["rule_files"]:
            assert (file.parent / name).resolve().parent == RULES
