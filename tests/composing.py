"""deploy/compose as tests use it: what compose.yaml says, and the same services as processes of this machine.

with Composition(tmp_path) as composition:
    requests.get(composition.url("prometheus", 9090, "/-/ready"), timeout=5)

Each service gets a directory in place of its root file system, with what compose.yaml mounts there, and its own
command. Only names become loopback addresses, and paths those below that directory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import requests
import yaml

from tests.servers import free_port

ROOT = Path(__file__).parent.parent
PLACE = ROOT / "deploy" / "compose"
FILE = PLACE / "compose.yaml"
SECRETS = "/run/secrets"
SCRATCH = "/tmp"  # noqa: S108 - of the containers
READY_WITHIN, STOP_WITHIN = 60.0, 20.0
PROGRAMS = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "blackbox": ("prometheus-blackbox-exporter", "blackbox_exporter"),
    "flagd": (str(ROOT / "build" / "tools" / "flagd"),),
}
WEB = {"prometheus": 9090, "alertmanager": 9093, "blackbox": 9115}
FLAGD = {"--port": 8013, "--management-port": 8014, "--sync-port": 8015, "--ofrep-port": 8016}
LISTENS = {"watchdog": {8798, 8799, 9464}, "shop": {8080}, "load": {8081}, "inbox": {8090}, "grafana": {3000}} | {
    "flagd": set(FLAGD.values()),
    **{name: {port} for name, port in WEB.items()},
}
"""The ports of each service: what it is told to listen at, or what its program does by itself."""


def spec() -> dict[str, Any]:
    """compose.yaml, its anchors resolved."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Mount:
    """What a service sees at `target`: a file or directory of the repository, or a volume of this name."""

    target: str
    source: Path | None
    volume: str = ""
    writable: bool = False


def mounts(service: dict[str, Any]) -> Iterator[Mount]:
    """The volumes of a service."""
    for text in service.get("volumes", []):
        source, target, *options = text.split(":")
        if source.startswith("."):
            yield Mount(target, (PLACE / source).resolve(), writable="ro" not in options)
        else:
            yield Mount(target, None, source, writable=True)


def secrets_of(service: dict[str, Any], known: dict[str, Any]) -> dict[str, str]:
    """The secrets of a service: its path there, and the name of the file in deploy/compose/secrets."""
    found = {}
    for each in service.get("secrets", []):
        source, target = (each, each) if isinstance(each, str) else (each["source"], each["target"])
        found[f"{SECRETS}/{target}"] = Path(known[source]["file"]).name
    return found


def addresses(text: str, names: list[str]) -> set[tuple[str, int]]:
    """Every NAME:PORT of a service in a text without comments."""
    bare = re.sub(r"(^|\s)#.*", "", text)
    return {(name, int(port)) for name, port in re.findall(rf"(?<![\w.-])({'|'.join(names)}):(\d+)\b(?!\.\d)", bare)}


class Composition:
    """The services that have a program here, started in the order that they depend on each other."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.spec = spec()
        self.services: dict[str, dict[str, Any]] = self.spec["services"]
        self._ports: dict[tuple[str, int], int] = {}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.secrets = directory / "prepared" / "secrets"

    def port(self, service: str, port: int) -> int:
        """Where the port of a service is here."""
        return self._ports.setdefault((service, port), free_port())

    def url(self, service: str, port: int, path: str = "") -> str:
        """An address of a service."""
        return f"http://127.0.0.1:{self.port(service, port)}{path}"

    def log(self, service: str) -> str:
        """What a service has written."""
        return (self.directory / f"{service}.log").read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Self:
        prepared = self.directory / "prepared"
        prepared.mkdir(parents=True)
        shutil.copy(PLACE / "prepare", prepared)
        subprocess.run([str(prepared / "prepare")], check=True, capture_output=True, timeout=30)
        try:
            waiting = [name for name in self.services if name != "grafana"]
            while waiting:
                ready = [name for name in waiting if not set(self.services[name].get("depends_on", {})) & set(waiting)]
                assert ready, f"{waiting} wait for each other"
                for name in ready:
                    self._start(name)
                    waiting.remove(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str) -> None:
        service = self.services[name]
        root = self._root(name)
        with (self.directory / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                self._command(name), cwd=root, env=self._environ(name), stdout=log, stderr=subprocess.STDOUT
            )
        self._processes[name] = process
        if service.get("restart") == "no":
            assert process.wait(READY_WITHIN) == 0, self.log(name)
            return
        give_up = time.monotonic() + READY_WITHIN
        while not self._healthy(name):
            assert process.poll() is None, f"{name} ended with {process.returncode}: {self.log(name)}"
            assert time.monotonic() < give_up, f"{name} is not healthy after {READY_WITHIN:g} s: {self.log(name)}"
            time.sleep(0.05)

    def _healthy(self, name: str) -> bool:
        """Whether what its health check asks is answered."""
        asked = {"watchdog": "http://127.0.0.1:9464/livez", "flagd": "http://127.0.0.1:8014/readyz"}
        url = asked.get(name) or self.services[name]["healthcheck"]["test"][-1]
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/.*)", url)
        assert found, f"{name}: {url} does not ask the service itself"
        try:
            return requests.get(self.url(name, int(found[1]), found[2]), timeout=5).ok
        except requests.RequestException:
            return False

    def _root(self, name: str) -> Path:
        """Make what stands for the root file system of a service."""
        root = self.directory / "roots" / name
        for mount in mounts(self.services[name]):
            target = root / mount.target.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if mount.source is None:
                volume = self.directory / "volumes" / mount.volume
                volume.mkdir(parents=True, exist_ok=True)
                target.symlink_to(volume)
            elif mount.source.is_dir():
                target.mkdir(exist_ok=True)
                for entry in mount.source.iterdir():
                    (target / entry.name).symlink_to(entry)
            else:
                target.write_text(self._local(name, mount.source.read_text(encoding="utf-8")), encoding="utf-8")
        for path, file in secrets_of(self.services[name], self.spec["secrets"]).items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self._local(name, (self.secrets / file).read_text(encoding="utf-8")), encoding="utf-8")
        (root / "tmp").mkdir(parents=True, exist_ok=True)
        return root

    def _local(self, name: str, text: str) -> str:
        """A configuration or an argument with addresses and paths of this machine."""
        for service, port in addresses(text, list(self.services)):
            text = re.sub(rf"(?<![\w.-]){service}:{port}\b", f"127.0.0.1:{self.port(service, port)}", text)
        owner = "watchdog" if name == "flags" else name
        text = re.sub(r"0\.0\.0\.0:(\d+)", lambda found: f"127.0.0.1:{self.port(owner, int(found[1]))}", text)
        root = self.directory / "roots" / name
        targets = [mount.target for mount in mounts(self.services[name])]
        for path in sorted({SECRETS, SCRATCH, *targets, *(str(Path(target).parent) for target in targets)} - {"/"}):
            text = re.sub(rf"(?<![\w.]){re.escape(path)}(?=[/\s,'\"}}\]]|$)(?!\S*roots)", f"{root}{path}", text)
        return text

    def _command(self, name: str) -> list[str]:
        service = self.services[name]
        given = [self._local(name, str(text)) for text in service.get("command", ["run"])]
        if name in PROGRAMS:
            program = next((found for each in PROGRAMS[name] if (found := shutil.which(each))), None)
            assert program, f"{PROGRAMS[name][0]} is missing: run `make deps` and `make tools`."
            if name in WEB:
                given.append(f"--web.listen-address=127.0.0.1:{self.port(name, WEB[name])}")
            else:
                given += [text for option, port in FLAGD.items() for text in (option, str(self.port(name, port)))]
            return [program, *given]
        if "entrypoint" not in service:
            return [sys.executable, "-m", "watchdog", *given]
        script = self._local(name, service["entrypoint"][-1])
        arguments = iter(given)
        local = []
        for argument in arguments:
            local.append(argument)
            if argument == "--host":
                local.append(next(arguments).replace("0.0.0.0", "127.0.0.1"))  # noqa: S104 - of the containers
            elif argument == "--port":
                local.append(str(self.port(name, int(next(arguments)))))
        return [sys.executable, script, *local]

    def _environ(self, name: str) -> dict[str, str]:
        root = self.directory / "roots" / name
        return {
            **os.environ,
            "WATCHDOG_CONFIG": str(root / "etc" / "slo-watchdog" / "watchdog.yaml"),
            "WATCHDOG_HEALTH__LISTEN": f"127.0.0.1:{self.port('watchdog', 9464)}",
        }
