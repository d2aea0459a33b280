"""Staging, production and settlement, as the workflows say, on real nginx, Prometheus, Alertmanager and daemons.

One story in order: each test goes on where the one before it ended.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.alertmanagerserver import AlertmanagerServer
from tests.answering import Answering, reply
from tests.githubserver import REPOSITORY, GitHubServer
from tests.preflighting import WATCHDOG
from tests.processes import wait_for
from tests.rehearsal.environment import ROOT, Environment, release, some_ports
from tests.rehearsal.runner import Run, Runner
from tests.servers import PrometheusServer
from watchdog.deployments import SCHEMA_FILE

WORKFLOWS = ROOT / "deploy" / "pipelines" / "workflows"
REHEARSED = ("staging.yml", "production.yml", "settle.yml", "gate.yml")
FIRST, GOOD, BAD = ("a" * 40, "b" * 40, "c" * 40)
"""Commits: what serves at first, a good one, and one whose new code fails a third of the users."""
TOKEN, SECRET = "a-token-that-dispatches", "a-secret-that-signs"


@dataclass
class World:
    """Both environments, GitHub, and its runners."""

    directory: Path
    store: Path
    github: GitHubServer
    staging: Environment
    production: Environment
    runners: dict[str, Runner]

    def run(self, environment: Environment, workflow: str, **how: Any) -> Run:
        """Run a workflow; a rollout file is named by its rollout."""
        if rollout := how.pop("rollout", None):
            how["inputs"]["rollout"] = str(environment.root / "rollouts" / f"{rollout}.yaml")
        return self.runners[environment.name].run(WORKFLOWS / workflow, commit=GOOD, **how)

    def published(self, commit: str, *options: str) -> str:
        """A run of Continuous integration that published a commit's build; its number."""
        number = str(1 + len(list(self.store.iterdir())))
        place = self.store / number / f"build-{commit}"
        _, digest = release(place, commit[:4], *options)
        (place / "build.json").write_text(json.dumps({"image": "shop", "digest": digest, "commit": commit}))
        return number

    def validated(self, commit: str, rollout: str, *options: str) -> str:
        """Staging has validated a commit; the number of its run."""
        self.staging.rollout(rollout, commit[:4])
        inputs = {"commit": commit, "build_run": self.published(commit, *options)}
        run = self.run(self.staging, "staging.yml", event="workflow_dispatch", inputs=inputs, rollout=rollout)
        assert run.passed, run.told
        return run.number

    def told(self, kind: str) -> dict[str, Any]:
        """The payload of the daemon's event, once GitHub has it."""

        def found() -> dict[str, Any] | None:
            return next((payload for event, payload in self.github.events if event == f"slo-watchdog-{kind}"), None)

        return wait_for(found, 90, lambda: f"GitHub has {[event for event, _ in self.github.events]}")

    def evidence(self, run: Run, name: str, file: str) -> Any:
        """A file of an artefact of a run."""
        return json.loads((self.store / run.number / name / file).read_text())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("rehearsal")
    (directory / "store").mkdir()
    staging, production = (Environment(directory, name, some_ports()) for name in ("staging", "production"))
    scrapes = "".join(
        f"\n  - {{job_name: {one.job}, static_configs: [{{targets: {_shops(one)}}}]}}" for one in (staging, production)
    )
    rules = directory / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "own", "interval": "1s", "rules": [WATCHDOG]}]}))
    with Answering() as people, GitHubServer(TOKEN) as github, AlertmanagerServer(directory) as manager:
        people.always(reply(200))
        target = manager.url.removeprefix("http://")
        more = (
            f"rule_files: [{rules}]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: ['{target}']}}]}}]}}\n"
        )
        with PrometheusServer(
            scrape_configs=scrapes, scrape_interval="500ms", more=more, extra_args=("--rules.alert.resend-delay=1s",)
        ) as prometheus:
            notify = {"webhook": {"url": f"{people.url}/hook"}}
            try:
                staging.start(prometheus.url, notify=notify)
                production.start(prometheus.url, notify={**notify, "on_transition": _hook(directory, github)})
                for one in (staging, production):
                    _first(directory, one)
                    one.users()
                for one in (staging, production):
                    one.known(prometheus.url)
                wait_for(lambda: manager.alerts() or None, 30, lambda: prometheus.log)
                yield World(
                    directory,
                    directory / "store",
                    github,
                    staging,
                    production,
                    _runners(directory, staging, production),
                )
            finally:
                staging.stop()
                production.stop()


def _shops(one: Environment) -> str:
    return json.dumps([f"127.0.0.1:{one.ports[f'{colour}-shop']}" for colour in ("blue", "green")])


def _hook(directory: Path, github: GitHubServer) -> dict[str, str]:
    for name, text in (("token", TOKEN), ("secret", SECRET)):
        (directory / name).write_text(text)
    url = f"{github.url}/repos/{REPOSITORY}/dispatches"
    return {"url": url, "style": "github", "token_file": f"{directory}/token", "secret_file": f"{directory}/secret"}


def _first(directory: Path, one: Environment) -> None:
    """What serves before the story begins."""
    file, digest = release(directory / "first", FIRST[:4])
    driver = [str(ROOT / "deploy/pipelines/driver/driver"), "--target", str(one.target)]
    deploy = ["deploy", "--image", "shop", "--digest", digest, "--commit", FIRST, "--artefact", str(file)]
    for command in (deploy, ["switch"]):
        done = subprocess.run([*driver, *command], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def _runners(directory: Path, *environments: Environment) -> dict[str, Runner]:
    environ = {"PYTHONPATH": str(ROOT), **{k: v for k, v in os.environ.items() if k.startswith("COVERAGE_")}}
    secrets = {"GITHUB_TOKEN": "", "TRANSITION_SECRET": SECRET}
    bin_ = Path(sys.executable).parent
    return {
        one.name: Runner(
            ROOT, directory / "store", variables=one.variables, secrets=secrets, environ=environ, first=bin_
        )
        for one in environments
    }


def test_staging_validates_a_build_and_tries_the_way_back(world: World) -> None:
    assert world.staging.serves == ("blue", FIRST[:4])
    number = world.validated(GOOD, "shop-good")
    assert world.staging.serves == ("green", GOOD[:4])

    place = world.store / number / f"staging-{GOOD}"
    told = json.loads((place / "deployment.json").read_text())
    jsonschema.validate(told, json.loads(SCHEMA_FILE.read_text()), format_checker=jsonschema.FormatChecker())
    test = told["rollback_test"]
    assert (test["passed"], test["failed"]) == (True, 0)
    assert test["requests"] > 50
    assert (told["commit"], told["environment"], told["colour"]) == (GOOD, "staging", "green")
    assert told["previous"]["commit"] == FIRST
    assert told["preflight"]["passed"] is True
    assert {"preflight.xml", "smoke.xml", "rollback-test.json", "preflight.json"} <= {
        one.name for one in place.iterdir()
    }


def test_production_refuses_what_staging_did_not_validate(world: World) -> None:
    number = world.published(BAD)
    shutil.copytree(world.store / number / f"build-{BAD}", world.store / number / f"staging-{BAD}")
    inputs = {"commit": BAD, "staging_run": number}
    run = world.run(world.production, "production.yml", event="workflow_dispatch", inputs=inputs)
    assert not run.passed
    assert "deployment.json" in run.step("verify_staging.py").text
    assert run.step("scripts/deploy.py").outcome == "skipped"
    assert world.production.serves == ("blue", FIRST[:4])


def test_production_takes_exactly_what_staging_validated_and_starts_the_rollout(world: World) -> None:
    staging = next(one for one in world.store.iterdir() if (one / f"staging-{GOOD}").exists())
    world.production.rollout("shop-good", GOOD[:4])
    inputs = {"commit": GOOD, "staging_run": staging.name}
    run = world.run(world.production, "production.yml", event="workflow_dispatch", inputs=inputs, rollout="shop-good")
    assert run.passed, run.told
    assert world.runners["production"].asked[-1] == "production", "whose reviewers GitHub asks"
    assert world.production.serves == ("green", GOOD[:4])

    here = world.evidence(run, f"production-{GOOD}", "deployment.json")
    there = json.loads((staging / f"staging-{GOOD}" / "deployment.json").read_text())
    assert (here["digest"], here["commit"]) == (there["digest"], there["commit"])
    assert here["staging"] is not None
    assert here["by"] == "ada"


def test_the_signed_event_of_a_sign_off_promotes_the_build(world: World) -> None:
    payload = world.told("signed_off")
    assert payload["transition"]["rollout"] == "shop-good"
    forged = {**payload, "signed": {**payload["signed"], "text": payload["signed"]["text"].replace("good", "evil")}}
    event = {"action": "slo-watchdog-signed_off", "client_payload": forged}
    run = world.run(world.production, "settle.yml", event="repository_dispatch", payload=event)
    assert not run.passed
    assert "not signed by the daemon" in run.told
    assert run.step("settle.py").outcome == "skipped"

    event = {"action": "slo-watchdog-signed_off", "client_payload": payload}
    run = world.run(world.production, "settle.yml", event="repository_dispatch", payload=event)
    assert run.passed, run.told
    assert run.step("settle.py").outputs["done"] == "promoted"
    again = world.run(world.production, "settle.yml", event="repository_dispatch", payload=event)
    assert again.step("settle.py").outputs["done"] == "nothing", again.told
    assert world.production.serves == ("green", GOOD[:4])


def test_the_report_says_which_build_it_signs(world: World) -> None:
    [told] = json.loads(world.production.site.run("deployments", "shop-good", "--json").out)
    report = world.production.site.run("report", "shop-good", "--format", "md").out
    assert f"{told['deployment']['image']}@{told['deployment']['digest']}" in report
    assert told["recorded"]["sha256"] in report


def test_a_bad_build_is_taken_back_and_the_one_before_it_restored(world: World) -> None:
    lowered = world.production.site.run("flags", "set", "new-checkout", "0", "--reason", "the next build ramps it anew")
    assert lowered.status == 0, lowered.err
    staging = world.validated(BAD, "shop-bad", "--broken-share", "0.3")
    world.production.rollout("shop-bad", BAD[:4])
    inputs = {"commit": BAD, "staging_run": staging}
    run = world.run(world.production, "production.yml", event="workflow_dispatch", inputs=inputs, rollout="shop-bad")
    assert run.passed, run.told
    assert world.production.serves == ("blue", BAD[:4])

    event = {"action": "slo-watchdog-rolled_back", "client_payload": world.told("rolled_back")}
    run = world.run(world.production, "settle.yml", event="repository_dispatch", payload=event)
    assert run.step("settle.py").outputs["done"] == "restored", run.told
    assert world.production.serves == ("green", GOOD[:4])


def test_the_scheduled_gate_finds_nothing_left_to_do(world: World) -> None:
    run = world.run(world.production, "gate.yml", event="schedule")
    assert run.passed, run.told
    assert "shop-bad" in run.told
    assert run.step("settle.py").outputs["done"] == "nothing"


def test_every_run_of_these_workflows_was_executed(world: World) -> None:
    executed = {command for runner in world.runners.values() for command in runner.executed}
    written = {
        step["run"].strip()
        for name in REHEARSED
        for job in yaml.safe_load((WORKFLOWS / name).read_text())["jobs"].values()
        for step in job["steps"]
        if "run" in step
    }
    assert written - executed == set()
    assert world.github.refused == []
