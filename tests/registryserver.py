"""A real registry of images (Debian's docker-registry) on a loopback port, for one user, and an image to push."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any, Self

from tests.processes import wait_for
from tests.servers import free_port

USER, PASSWORD = "ada", "pushes-images"
_HASHED = "$2b$04$6OgRpdpt9rEhk3plQtuK9uAxbzT9fpNK8AcWU7Uq6DFLM59/nNlrm"
CONFIG = """
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {directory}/store}}}}
http: {{addr: '127.0.0.1:{port}'}}
auth: {{htpasswd: {{realm: tests, path: {directory}/htpasswd}}}}
"""


class RegistryServer:
    """The registry; `manifest` asks it what it has under a digest or tag."""

    def __init__(self, directory: Path) -> None:
        found = shutil.which("docker-registry")
        assert found, "there is no docker-registry: install it with 'apt-get install docker-registry'"
        self._binary, self._directory, self.port = found, directory, free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self._directory / "htpasswd").write_text(f"{USER}:{_HASHED}\n")
        config = self._directory / "config.yml"
        config.write_text(CONFIG.format(directory=self._directory, port=self.port))
        log = self._directory / "registry.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen([self._binary, "serve", config], stdout=output, stderr=output)
        wait_for(lambda: self._answers() or None, 20, log.read_text)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def manifest(self, name: str, reference: str) -> tuple[str, dict[str, Any]]:
        """The digest under which the registry has an image, and its manifest."""
        kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        with self._get(f"/v2/{name}/manifests/{reference}", kinds) as answer:
            return answer.headers["Docker-Content-Digest"], json.loads(answer.read())

    def _answers(self) -> bool:
        try:
            with self._get("/v2/"):
                return True
        except urllib.error.HTTPError:
            raise
        except OSError:
            return False

    def _get(self, path: str, accept: str = "*/*") -> Any:
        login = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Accept": accept, "Authorization": f"Basic {login}"}
        return urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers))


def an_image(directory: Path, text: str = "hello") -> Path:
    """A small image in OCI's layout: one file in one layer."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(raw: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(raw).hexdigest()
        (blobs / digest).write_bytes(raw)
        return {"digest": f"sha256:{digest}", "size": len(raw)}

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("hello.txt")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    kind = "application/vnd.oci.image"
    layer = blob(packed.getvalue())
    rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "config": {}}).encode())
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": {"mediaType": f"{kind}.config.v1+json", **config},
        "layers": [{"mediaType": f"{kind}.layer.v1.tar", **layer}],
    }
    listed = {"mediaType": f"{kind}.manifest.v1+json", **blob(json.dumps(manifest).encode())}
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [listed]}))
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return directory
