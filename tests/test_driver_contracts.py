"""The driver on Docker Compose and on Kubernetes, as far as that goes without them: against strict stand-ins.

The stand-ins refuse every word that the driver has no business to say. What the real programs make of these words is
not tested here (docs/deploying.md).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bluegreening import COMMIT, PLACE, digest
from tests.processes import Finished

from bluegreen.target import COLOURS, Compose, Kubectl, load  # isort: skip

HERE = Path(__file__).parent
REPOSITORY = "registry.example.com:5000/shop/checkout"
REFUSED = 3


class Installed:
    """A target whose programs are stand-ins."""

    def __init__(self, directory: Path, program: str, world: dict[str, Any]) -> None:
        self.directory = directory
        self.world_file = directory / "world.json"
        self.world_file.write_text(json.dumps({"asked": [], **world}))
        bin_directory = directory / "bin"
        bin_directory.mkdir()
        standin = bin_directory / program
        named = f"from tests.standin import answer\nfrom tests.standin_{program} import run\nanswer(run)\n"
        standin.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(HERE.parent)!r})\n{named}")
        standin.chmod(0o755)
        self.target = directory / "target.toml"
        self.path = f"{bin_directory}:/usr/bin:/bin"

    @property
    def world(self) -> dict[str, Any]:
        return dict(json.loads(self.world_file.read_text()))

    def change(self, **values: Any) -> None:
        self.world_file.write_text(json.dumps({**self.world, **values}))

    def asked(self) -> list[str]:
        """What the programs were asked, without what they are asked each time."""
        return [" ".join(words) for words in self.world["asked"]]

    def driver(self, *words: str) -> Finished:
        done = subprocess.run(
            [sys.executable, str(PLACE / "driver"), "--target", str(self.target), *words],
            env={**os.environ, "PATH": self.path, "STANDIN": str(self.world_file), "PIPELINE_ACTOR": "kim"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return Finished(done.returncode, done.stdout, done.stderr)

    def do(self, *words: str) -> Any:
        done = self.driver(*words, "--json")
        assert done.status == 0, done.err
        return done.data

    def deploy(self, version: int) -> Any:
        return self.do("deploy", "--image", f"{REPOSITORY}@{digest(version)}", "--commit", COMMIT)


class Containers(Installed):
    """Compose's stand-in, and what answers in place of the containers: each colour, and the front as the link says."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "docker", {"projects": {}, "broken": "none", "old": False})
        self.link = directory / "current.sock"
        self.servers = {name: self._server(name) for name in ("blue", "green", "front")}
        ports = {name: server.server_address[1] for name, server in self.servers.items()}
        text = (PLACE / "examples" / "compose.toml").read_text()
        for usual, name in (("8081", "blue"), ("8082", "green"), ("80", "front")):
            text = text.replace(f'127.0.0.1:{usual}"', f'127.0.0.1:{ports[name]}"')
        text = text.replace("/var/lib/checkout/driver", str(directory)).replace("/var/lib/colour", str(directory))
        text = text.replace('"compose/', f'"{PLACE}/examples/compose/').replace("seconds = 30", "seconds = 0")
        self.target.write_text(text.replace("within = 60", "within = 2\nevery = 0.01"))

    def serves(self, name: str) -> str:
        """The colour that answers there; empty when nothing does."""
        if name == "front":
            name = self.link.readlink().name.removesuffix(".sock") if self.link.is_symlink() else ""
        return name if f"checkout-{name}" in self.world["projects"] else ""

    def _server(self, name: str) -> ThreadingHTTPServer:
        installed = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                colour = installed.serves(name)
                self.send_response(200 if colour and self.path == "/healthz" else 502)
                self.send_header("X-Colour", colour)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return server


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Containers]:
    found = Containers(tmp_path)
    yield found
    for server in found.servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture
def kubernetes(tmp_path: Path) -> Installed:
    empty = {"replicas": 0, "image": REPOSITORY, "generation": 1, "marks": [], "broken": ""}
    deployments = {f"checkout-{colour}": dict(empty) for colour in ("blue", "green")}
    found = Installed(
        tmp_path, "kubectl", {"deployments": deployments, "selector": {"app": "checkout", "colour": "blue"}}
    )
    text = (PLACE / "examples" / "kubectl.toml").read_text().replace("/var/lib/checkout/driver", str(tmp_path))
    text = text.replace("seconds = 60", "seconds = 0").replace("within = 120", "within = 2\nevery = 0.01")
    found.target.write_text(text)
    return found


def test_compose_goes_through_a_whole_deployment(compose: Containers) -> None:
    assert compose.deploy(1)["colour"] == "blue"
    assert compose.do("switch")["colour"] == "blue"
    assert compose.deploy(2)["colour"] == "green"
    assert compose.do("switch") == {"colour": "green", "previous": "blue", **changed(compose)}
    assert compose.serves("front") == "green"
    assert compose.do("rollback")["colour"] == "blue"
    assert compose.serves("front") == "blue"
    assert compose.do("switch")["colour"] == "green"
    assert compose.do("drain") == {"colour": "blue", "changed": True}
    assert compose.world["projects"] == {"checkout-green": f"{REPOSITORY}@{digest(2)}"}
    assert not [line for line in compose.asked() if "reload" in line]


def changed(installed: Installed) -> dict[str, Any]:
    """How long the last move took, and that it was one."""
    state = json.loads((installed.directory / "state.json").read_text())
    return {"seconds": state["deeds"][-1]["seconds"], "changed": True}


def test_compose_moves_the_traffic_by_one_rename_in_the_proxy(compose: Containers) -> None:
    compose.deploy(1)
    compose.change(asked=[])
    compose.do("switch")
    link, following = compose.link, f"{compose.link}.next"
    execute = f"compose -p checkout-proxy -f {PLACE}/examples/compose/proxy.yaml exec -T proxy"
    assert compose.asked()[1:] == [
        f"{execute} ln -sfn /run/colour/blue.sock {following}",
        f"{execute} mv -T {following} {link}",
    ]


def test_compose_reads_what_older_versions_print_of_containers(compose: Containers) -> None:
    compose.change(old=True)
    assert compose.deploy(1)["changed"] is True
    assert compose.deploy(1)["changed"] is False


def test_containers_that_do_not_become_healthy_get_no_traffic(compose: Containers) -> None:
    compose.deploy(1)
    compose.do("switch")
    compose.change(broken=digest(2))
    done = compose.driver("deploy", "--image", REPOSITORY, "--digest", digest(2), "--commit", COMMIT)
    assert done.status == 1
    assert "container checkout-green-app-1 is unhealthy" in done.err
    assert compose.driver("switch", "green").status == REFUSED
    assert compose.serves("front") == "blue"


def test_a_link_that_is_none_is_left_alone(compose: Containers) -> None:
    compose.link.write_text("somebody's")
    done = compose.driver("deploy", "--image", REPOSITORY, "--digest", digest(1), "--commit", COMMIT)
    assert done.status == 1
    assert compose.link.read_text() == "somebody's"


def test_kubernetes_goes_through_a_whole_deployment(kubernetes: Installed) -> None:
    # The selector that the manifest begins with names blue: it serves, as far as the driver can tell.
    assert kubernetes.deploy(1)["colour"] == "green"
    assert kubernetes.do("switch")["colour"] == "green"
    assert kubernetes.deploy(2)["colour"] == "blue"
    assert kubernetes.do("switch") == {"colour": "blue", "previous": "green", **changed(kubernetes)}
    assert kubernetes.world["selector"] == {"app": "checkout", "colour": "blue"}
    assert kubernetes.do("rollback")["colour"] == "green"
    assert kubernetes.world["selector"]["colour"] == "green"
    kubernetes.do("switch")
    assert kubernetes.do("drain") == {"colour": "green", "changed": True}
    replicas = {name: one["replicas"] for name, one in kubernetes.world["deployments"].items()}
    assert replicas == {"checkout-blue": 2, "checkout-green": 0}


def test_kubernetes_is_told_image_marks_and_replicas_in_this_order(kubernetes: Installed) -> None:
    kubernetes.deploy(1)
    told = [line.removeprefix("--context=production --namespace=checkout ") for line in kubernetes.asked()]
    assert [line for line in told if not line.startswith("get ")] == [
        f"set image deployment/checkout-green app={REPOSITORY}@{digest(1)}",
        f"annotate deployment/checkout-green --overwrite slo-watchdog/commit={COMMIT} slo-watchdog/deployed-by=kim",
        "scale deployment/checkout-green --replicas=2",
        "rollout status deployment/checkout-green --timeout=300s",
    ]


def test_pods_that_do_not_become_ready_get_no_traffic(kubernetes: Installed) -> None:
    kubernetes.deploy(1)
    kubernetes.do("switch")
    deployments = kubernetes.world["deployments"]
    deployments["checkout-blue"]["broken"] = digest(2)
    kubernetes.change(deployments=deployments)
    done = kubernetes.driver("deploy", "--image", f"{REPOSITORY}@{digest(2)}", "--commit", COMMIT)
    assert done.status == 1
    assert "timed out waiting for the condition" in done.err
    assert kubernetes.driver("switch", "blue").status == REFUSED
    assert kubernetes.world["selector"]["colour"] == "green"


def test_pods_that_have_become_unready_get_no_traffic_either(kubernetes: Installed) -> None:
    kubernetes.deploy(1)
    deployments = kubernetes.world["deployments"]
    deployments["checkout-green"]["broken"] = digest(1)
    kubernetes.change(deployments=deployments)
    done = kubernetes.driver("switch", "green")
    assert done.status == REFUSED
    assert "has 0 replicas, expected 2" in done.err


def test_the_files_of_the_compose_example_fit_together() -> None:
    settings = load(PLACE / "examples" / "compose.toml").settings
    assert isinstance(settings, Compose)
    app, proxy = (yaml.safe_load(file.read_text()) for file in (settings.file, settings.proxy_file))
    front = (settings.proxy_file.parent / "proxy.conf").read_text()
    assert app["services"][settings.service]["image"] == "${IMAGE:?}"
    assert app["services"][settings.service]["networks"]["checkout"]["aliases"] == ["checkout-${COLOUR}"]
    service = proxy["services"][settings.proxy_service]
    assert service["tmpfs"] == [str(Path(settings.sockets["blue"]).parent)]
    assert f"colour:{Path(settings.switch).parent}" in service["volumes"]
    assert f"server unix:{settings.switch};" in front
    for colour, socket in settings.sockets.items():
        assert f"listen unix:{socket} " in front
        assert f"set $there checkout-{colour}:8080;" in front
    assert app["networks"] == proxy["networks"] == {"checkout": {"external": True}}


def test_the_manifest_of_the_example_has_what_the_driver_asks_for() -> None:
    settings = load(PLACE / "examples" / "kubectl.toml").settings
    assert isinstance(settings, Kubectl)
    items = list(yaml.safe_load_all((PLACE / "examples" / "kubernetes.yaml").read_text()))
    service, *deployments = items
    assert service["metadata"]["name"] == settings.service
    assert service["spec"]["selector"][settings.label] == "blue"
    for colour, one in zip(COLOURS, deployments, strict=True):
        assert one["metadata"]["name"] == f"{settings.name}-{colour}"
        assert one["spec"]["selector"]["matchLabels"][settings.label] == colour
        assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert container["name"] == settings.container
        assert container["env"] == [{"name": "COLOUR", "value": colour}]


def test_a_program_that_is_missing_is_named(kubernetes: Installed) -> None:
    kubernetes.path = "/nowhere"
    done = kubernetes.driver("status")
    assert done.status == 1
    assert "kubectl" in done.err
    assert "cannot be run" in done.err
