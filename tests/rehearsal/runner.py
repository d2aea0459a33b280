"""Runs our workflows as they are written, here: every `run` is executed, in order, with the environment it asks for.

    store = Store(tmp_path)
    run = Runner(workspace, store, vars={...}, secrets={...}).run(workflow, event="workflow_dispatch", inputs={...})
    assert run.passed, run.told

What GitHub does for `uses` is done for the actions that we use, on directories. Anything else fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.rehearsal.expressions import NotUnderstood, evaluate, filled

NOTHING_TO_DO = ("actions/checkout", "actions/setup-python", "actions/setup-go", "actions/cache")
"""The workspace is checked out, the interpreters are there."""

FUNCTIONS = ("always", "success", "failure", "cancelled")


@dataclass
class Ran:
    """One step: what it printed and how it ended; `outcome` is success, failure or skipped."""

    name: str
    command: str
    outcome: str
    text: str = ""
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """One run of a workflow."""

    number: str
    steps: list[Ran] = field(default_factory=list)
    summary: str = ""

    @property
    def passed(self) -> bool:
        """Whether no step failed."""
        return all(step.outcome != "failure" for step in self.steps)

    @property
    def told(self) -> str:
        """What it printed, step by step."""
        return "\n".join(f"--- {step.name}: {step.outcome}\n{step.text}" for step in self.steps)

    def step(self, command: str) -> Ran:
        """The step that runs this script."""
        return next(step for step in self.steps if command in step.command)


class Runner:
    """A runner with GitHub's settings for one environment. `store` keeps artefacts by run, `first` leads its PATH."""

    def __init__(
        self,
        workspace: Path,
        store: Path,
        *,
        variables: Mapping[str, str],
        secrets: Mapping[str, str],
        environ: Mapping[str, str],
        first: Path,
        actor: str = "ada",
    ) -> None:
        self.workspace, self.store = workspace, store
        self._vars, self._secrets, self._environ = dict(variables), dict(secrets), dict(environ)
        self._actor, self._first = actor, first
        self.asked: list[str] = []
        """Environments that a job asked for, whose reviewers GitHub would have asked."""
        self.executed: list[str] = []
        """Every command that was executed."""

    def run(
        self,
        workflow: Path,
        *,
        event: str,
        commit: str,
        payload: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> Run:
        """Run a workflow for an event. Raises NotUnderstood for what this runner does not know."""
        document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
        run = Run(str(1 + len(list(self.store.iterdir()))))
        (self.store / run.number).mkdir()
        scratch = self.store / run.number / ".runner"
        scratch.mkdir()
        given = declared(document, event, inputs or {})
        contexts = self._contexts(document, run, event, commit, {**(payload or {}), "inputs": given}, scratch)
        contexts["inputs"] = given
        for name, job in document["jobs"].items():
            self._job(name, job, document, contexts, run, scratch)
        return run

    def _contexts(
        self, document: Mapping[str, Any], run: Run, event: str, commit: str, payload: Mapping[str, Any], scratch: Path
    ) -> dict[str, Any]:
        import json  # noqa: PLC0415 - beside its only use

        file = scratch / "event.json"
        file.write_text(json.dumps(payload), encoding="utf-8")
        github = {
            "event_name": event,
            "event": dict(payload),
            "sha": commit,
            "ref": "refs/heads/main",
            "ref_name": "main",
            "actor": self._actor,
            "triggering_actor": self._actor,
            "run_id": run.number,
            "repository": "acme/checkout",
            "server_url": "https://github.example",
            "token": self._secrets.get("GITHUB_TOKEN", ""),
            "workflow": document["name"],
            "event_path": str(file),
        }
        secrets = {"GITHUB_TOKEN": "", **self._secrets}
        return {"github": github, "vars": self._vars, "secrets": secrets, "needs": {}, "env": {}}

    def _job(
        self,
        name: str,
        job: Mapping[str, Any],
        document: Mapping[str, Any],
        contexts: dict[str, Any],
        run: Run,
        scratch: Path,
    ) -> None:
        state = {"failed": False}
        contexts = {**contexts, "steps": {}, "functions": _functions(state)}
        contexts["env"] = self._env(document.get("env"), contexts)
        if "if" in job and not evaluate(str(job["if"]), contexts):
            return
        if environment := job.get("environment"):
            told = environment["name"] if isinstance(environment, Mapping) else environment
            self.asked.append(filled(told, contexts))
        contexts["env"] = {**contexts["env"], **self._env(job.get("env"), contexts)}
        shutil.rmtree(self.workspace / "build" / "pipeline", ignore_errors=True)
        path = [os.environ["PATH"], str(self._first)]
        for step in job["steps"]:
            self._step(step, contexts, state, run, scratch, path)
        outputs = {key: filled(text, contexts) for key, text in job.get("outputs", {}).items()}
        contexts["needs"][name] = {"outputs": outputs, "result": "failure" if state["failed"] else "success"}

    def _step(
        self,
        step: Mapping[str, Any],
        contexts: dict[str, Any],
        state: dict[str, bool],
        run: Run,
        scratch: Path,
        path: list[str],
    ) -> Ran:
        ran = Ran(step.get("name") or step.get("run") or step["uses"], step.get("run", step.get("uses", "")), "success")
        run.steps.append(ran)
        wanted = evaluate(str(step["if"]), contexts) if "if" in step else True
        if not wanted or (state["failed"] and not _despite(str(step.get("if", "")))):
            ran.outcome = "skipped"
        elif "run" in step:
            self._execute(step, ran, contexts, run, scratch, path)
        else:
            self._use(step, ran, contexts, run, scratch, path)
        state["failed"] = state["failed"] or ran.outcome == "failure"
        if "id" in step:
            contexts["steps"][step["id"]] = {"outputs": ran.outputs, "outcome": ran.outcome}
        return ran

    def _execute(
        self, step: Mapping[str, Any], ran: Ran, contexts: dict[str, Any], run: Run, scratch: Path, path: list[str]
    ) -> None:
        github = contexts["github"]
        number = len(run.steps)
        files = {
            name: scratch / f"{number}-{name.lower()}"
            for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")
        }
        for file in files.values():
            file.touch()
        environ = {
            **{name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ},
            **self._environ,
            "PATH": os.pathsep.join(reversed(path)),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            **{
                f"GITHUB_{name.upper()}": github[name]
                for name in ("sha", "ref", "actor", "run_id", "repository", "event_name", "event_path", "server_url")
            },
            **{name: str(file) for name, file in files.items()},
            **({"GITHUB_ACTION_PATH": github["action_path"]} if "action_path" in github else {}),
            **contexts["env"],
            **self._env(step.get("env"), contexts),
        }
        script = scratch / f"{number}.sh"
        script.write_text(filled(step["run"], contexts), encoding="utf-8")
        self.executed.append(step["run"].strip())
        done = subprocess.run(
            ["bash", "-e", str(script)],
            cwd=self.workspace,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60 * step.get("timeout-minutes", 5),
            check=False,
        )
        ran.text, ran.outcome = done.stdout, "success" if done.returncode == 0 else "failure"
        ran.outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        path += files["GITHUB_PATH"].read_text().splitlines()
        run.summary += files["GITHUB_STEP_SUMMARY"].read_text()

    def _use(
        self, step: Mapping[str, Any], ran: Ran, contexts: dict[str, Any], run: Run, scratch: Path, path: list[str]
    ) -> None:
        name = str(step["uses"]).partition("@")[0]
        given = {key: filled(str(text), contexts) for key, text in step.get("with", {}).items()}
        if name.startswith("./"):
            self._composite(name, given, ran, contexts, run, scratch, path)
        elif name == "actions/upload-artifact":
            target = self.store / run.number / given["name"]
            found = [one for line in given["path"].split() for one in self.workspace.glob(line.rstrip("/"))]
            if not found and given.get("if-no-files-found") == "error":
                ran.outcome, ran.text = "failure", f"no files were found with the provided path: {given['path']}"
            for one in found:
                _copied(one, target)
        elif name == "actions/download-artifact":
            source = self.store / given.get("run-id", run.number) / given["name"]
            if not source.is_dir():
                ran.outcome, ran.text = "failure", f"artifact not found for name: {given['name']}"
            else:
                shutil.copytree(source, self.workspace / given["path"], dirs_exist_ok=True)
        elif name not in NOTHING_TO_DO:
            raise NotUnderstood(f"uses: {step['uses']}")

    def _composite(
        self,
        name: str,
        given: Mapping[str, str],
        ran: Ran,
        contexts: dict[str, Any],
        run: Run,
        scratch: Path,
        path: list[str],
    ) -> None:
        place = self.workspace / name
        action = yaml.safe_load((place / "action.yml").read_text(encoding="utf-8"))
        if strangers := set(given) - set(action["inputs"]):
            raise NotUnderstood(f"{name} has no inputs {strangers}")
        inputs = {key: given.get(key, str(about.get("default", ""))) for key, about in action["inputs"].items()}
        github = {**contexts["github"], "action_path": str(place)}
        inner = {**contexts, "inputs": inputs, "steps": {}, "github": github}
        state = {"failed": False}
        done = [self._step(one, inner, state, run, scratch, path) for one in action["runs"]["steps"]]
        ran.outcome = "failure" if any(one.outcome == "failure" for one in done) else "success"
        ran.outputs = {key: filled(about["value"], inner) for key, about in action.get("outputs", {}).items()}

    def _env(self, section: Mapping[str, Any] | None, contexts: Mapping[str, Any]) -> dict[str, str]:
        return {name: filled(str(text), contexts) for name, text in (section or {}).items()}


def declared(document: Mapping[Any, Any], event: str, inputs: Mapping[str, str]) -> dict[str, str]:
    """The inputs of a dispatch with their defaults; NotUnderstood for unknown ones and required ones that lack."""
    triggers = document.get("on", document.get(True))  # YAML 1.1 reads `on` as true
    if event not in triggers:
        raise NotUnderstood(f"{document['name']} does not start on {event}")
    known = (triggers.get("workflow_dispatch") or {}).get("inputs") or {}
    if event != "workflow_dispatch":
        return dict.fromkeys(known, "")  # GitHub fills in nothing
    if strangers := set(inputs) - set(known):
        raise NotUnderstood(f"{document['name']} has no inputs {strangers}")
    if lacking := [name for name, about in known.items() if about.get("required") and not inputs.get(name)]:
        raise NotUnderstood(f"{document['name']} lacks its inputs {lacking}")
    return {name: inputs.get(name, str(about.get("default", ""))) for name, about in known.items()}


def _functions(state: Mapping[str, bool]) -> dict[str, Any]:
    return {
        "always": lambda: True,
        "success": lambda: not state["failed"],
        "failure": lambda: state["failed"],
        "cancelled": lambda: False,
    }


def _despite(condition: str) -> bool:
    """Whether a step runs after a failed one: its condition has to say so."""
    return any(f"{name}()" in condition for name in ("always", "failure", "cancelled"))


def _copied(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
