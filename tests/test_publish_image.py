"""An image is pushed to a real registry, and from then on it is known by its digest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import Finished
from tests.registryserver import PASSWORD, USER, RegistryServer, an_image

ROOT = Path(__file__).parent.parent
COMMIT = "9fceb02d0ae598e95dc970b74767f19372d61af8"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server


def publish(directory: Path, registry: RegistryServer, **changes: str) -> Finished:
    image = directory / "image"
    environ = {
        "PIPELINE_IMAGE": f"127.0.0.1:{registry.port}/acme/checkout",
        "PIPELINE_COMMIT": COMMIT,
        "PIPELINE_ARCHIVE": f"oci:{image if image.exists() else an_image(image)}",
        "PIPELINE_DIR": str(directory / "pipeline"),
        "REGISTRY_USER": USER,
        "REGISTRY_TOKEN": PASSWORD,
        "REGISTRY_PLAIN_HTTP": "true",
        "PYTHONPATH": str(ROOT),
        **changes,
    }
    script = ROOT / "deploy/pipelines/scripts/publish_image.py"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB_")}
    done = subprocess.run(
        [sys.executable, str(script)], env={**kept, **environ}, capture_output=True, text=True, timeout=60, check=False
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def test_the_digest_that_is_written_down_is_the_registrys(tmp_path: Path, registry: RegistryServer) -> None:
    done = publish(tmp_path, registry)
    assert done.status == 0, done.out + done.err
    build = json.loads((tmp_path / "pipeline/build.json").read_text())
    digest, manifest = registry.manifest("acme/checkout", build["digest"])
    assert (digest, len(manifest["layers"])) == (build["digest"], 1)
    assert registry.manifest("acme/checkout", COMMIT)[0] == digest, "it is named by its commit, too"
    assert (build["commit"], build["image"].endswith("/acme/checkout")) == (COMMIT, True)


def test_a_wrong_token_publishes_nothing_and_is_not_shown(tmp_path: Path, registry: RegistryServer) -> None:
    done = publish(tmp_path, registry, REGISTRY_TOKEN="a-wrong-password")
    assert (done.status, (tmp_path / "pipeline/build.json").exists()) == (1, False)
    assert "ended with status 1" in done.out
    assert "a-wrong-password" not in done.out + done.err


@pytest.mark.parametrize("name", ["acme/checkout:2.14", "acme/checkout@sha256:0f"])
def test_a_tag_is_no_repository(tmp_path: Path, registry: RegistryServer, name: str) -> None:
    done = publish(tmp_path, registry, PIPELINE_IMAGE=name)
    assert (done.status, "expected a repository without tag and digest" in done.out) == (1, True)
