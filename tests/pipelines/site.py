"""A machine with nginx, two colours and the driver: the shipped configuration, with paths and ports of its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.processes import Finished, wait_for
from tests.servers import free_port

ROOT = Path(__file__).parent.parent.parent
PIPELINES = ROOT / "deploy" / "pipelines"
DRIVER = PIPELINES / "driver" / "driver"
HERE = Path(__file__).parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"
COMMAND_WITHIN = 60.0
NGINX = "daemon off; master_process on; pid {root}/nginx.pid; error_log {root}/nginx.log info;{user}\n"


def nginx() -> str:
    """The path of nginx; a sentence that says how to get it when it is missing."""
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, "there is no nginx, and these tests need a real one: run `apt install nginx-light`"
    return found


class Site:
    """One installation. `tcp` takes the configuration for services that cannot listen on a Unix socket."""

    def __init__(self, *, tcp: bool = False, drain: float = 6.0) -> None:
        # A short path: the address of a Unix socket has 107 letters at most.
        self.root = Path(tempfile.mkdtemp(prefix="blue-green-"))
        self.ports = {name: free_port() for name in ("80", "8081", "8082", "9081", "9082")}
        self.tcp = tcp
        self.target = self.root / "target.toml"
        self.state_file = self.root / "driver" / "state.json"
        for place in ("run", "switch", "temp"):
            (self.root / place).mkdir()
        self._configure(drain)
        self.nginx: subprocess.Popen[bytes] | None = None

    def _own(self, text: str) -> str:
        text = text.replace("/var/lib/checkout", str(self.root)).replace("/run/checkout", str(self.root / "run"))
        for port in ("9081", "9082", "8081", "8082"):
            text = text.replace(f":{port}", f":{self.ports[port]}")
        return text.replace('127.0.0.1:80"', f'127.0.0.1:{self.ports["80"]}"').replace(
            "listen 80 ", f"listen 127.0.0.1:{self.ports['80']} "
        )

    def _configure(self, drain: float) -> None:
        site = self._own((PIPELINES / "nginx" / ("checkout-tcp.conf" if self.tcp else "checkout.conf")).read_text())
        temporary = "".join(
            f"{kind}_temp_path {self.root}/temp/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        (self.root / "nginx.conf").write_text(
            f"worker_processes 2;\n{NGINX.format(root=self.root, user=user)}"
            f"events {{ worker_connections 1024; }}\nhttp {{\naccess_log off;\n{temporary}{site}}}\n"
        )
        text = self._own((PIPELINES / "driver" / "examples" / "nginx.toml").read_text())
        supervisor = f'"{sys.executable}", "-I", "{HERE / "supervisor.py"}"'
        where = f'"--ports", "{self.ports["9081"]}", "{self.ports["9082"]}"' if self.tcp else '"--socket", "{socket}"'
        for verb, kind in (("restart", "start"), ("stop", "stop")):
            own = f'[{supervisor}, "{kind}", "{{colour}}", "{self.root}", {where}]'
            text = text.replace(f'["systemctl", "{verb}", "checkout@{{colour}}"]', own)
        text = text.replace("every = 1", "every = 0.05").replace("within = 60", "within = 15")
        self.target.write_text(text.replace("seconds = 30", f"seconds = {drain}"))
        assert "systemctl" not in text, "the example names its commands otherwise than this test expects"

    def artefact(self, version: str) -> tuple[Path, str]:
        """A release as a tar file, and its digest."""
        file = self.root / f"{version}.tar"
        with tarfile.open(file, "w") as archive:
            archive.add(HERE / "release" / "serve.py", "serve.py")
            content = version.encode()
            entry = tarfile.TarInfo("VERSION")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        return file, f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"

    def words(self, *words: str) -> list[str]:
        """The driver's command line."""
        return [sys.executable, str(DRIVER), "--target", str(self.target), *words]

    def driver(self, *words: str) -> Finished:
        """Run the driver to its end."""
        done = subprocess.run(
            self.words(*words), capture_output=True, text=True, timeout=COMMAND_WITHIN, check=False, env=self.environ
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def do(self, *words: str) -> dict[str, Any]:
        """Run the driver, which has to succeed; what it tells."""
        done = self.driver(*words, "--json")
        assert done.status == 0, done.err
        return dict(done.data)

    def deploy_words(self, version: str, *words: str) -> list[str]:
        file, digest = self.artefact(version)
        release = ["--image", "checkout", "--digest", digest, "--commit", COMMIT, "--artefact", str(file)]
        return ["deploy", *release, *words]

    def deploy(self, version: str, *words: str) -> dict[str, Any]:
        return self.do(*self.deploy_words(version, *words))

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "PIPELINE_ACTOR": "tests", "IDENTITY": "no" if self.tcp else "yes"}

    @property
    def state(self) -> dict[str, Any]:
        """The state file; empty before the first command."""
        return dict(json.loads(self.state_file.read_text())) if self.state_file.exists() else {}

    @property
    def stage(self) -> str:
        """Where a move of the traffic is; empty when none is under way."""
        intent = self.state.get("intent")
        return str(intent["stage"]) if intent else ""

    def killed(self, *words: str, when: Callable[[], bool] | None = None, after: float = 0.0) -> str:
        """Start the driver and SIGKILL it after so many seconds, or when something is so; the stage that it left."""
        process = subprocess.Popen(
            self.words(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environ
        )
        until = time.monotonic() + (after if when is None else COMMAND_WITHIN)
        while time.monotonic() < until and process.poll() is None and not (when is not None and when()):
            time.sleep(0.0002 if when is not None else 0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return self.stage

    def __enter__(self) -> Self:
        self.start_nginx()
        return self

    def start_nginx(self) -> None:
        """Start it, and wait until it listens."""
        with (self.root / "nginx.out").open("wb") as out:
            self.nginx = subprocess.Popen(
                [nginx(), "-p", str(self.root), "-c", str(self.root / "nginx.conf")], stdout=out, stderr=out
            )
        wait_for(lambda: self.listens() or None, 10, self.said)

    def listens(self) -> bool:
        """Whether the front accepts connections."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(self.ports["80"]))) == 0

    def said(self) -> str:
        """What nginx has to say."""
        return "".join(file.read_text() for file in self.root.glob("nginx.*") if file.suffix in (".out", ".log"))

    def kill_service(self, colour: str) -> None:
        """End a colour as a crash does."""
        os.kill(int((self.root / f"{colour}.pid").read_text()), signal.SIGKILL)

    def kill_nginx(self) -> None:
        """As an out-of-memory kill does: the master first, so that it makes no new workers."""
        assert self.nginx is not None
        children = Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children").read_text().split()
        self.nginx.kill()
        self.nginx.wait()
        for child in children:
            os.kill(int(child), signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        for colour in ("blue", "green"):
            command = [sys.executable, "-I", str(HERE / "supervisor.py"), "stop", colour, str(self.root)]
            subprocess.run(command, check=True, timeout=COMMAND_WITHIN)
        assert self.nginx is not None
        self.nginx.send_signal(signal.SIGQUIT)
        self.nginx.wait(COMMAND_WITHIN)
        shutil.rmtree(self.root)


class Load:
    """`load.py` beside the test."""

    def __init__(self, site: Site, seconds: float, rate: float = 220.0) -> None:
        port = site.ports["80"]
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "load.py"), str(port), "--rate", str(rate), "--seconds", str(seconds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        assert self.process.stderr.readline() == "asks\n"
        self.until = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds until the last request is sent."""
        return self.until - time.monotonic()

    def result(self) -> dict[str, Any]:
        """Wait for its end; what it counted."""
        out, err = self.process.communicate(timeout=self.left + COMMAND_WITHIN)
        assert self.process.returncode == 0, err
        return dict(json.loads(out))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
