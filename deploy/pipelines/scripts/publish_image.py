#!/usr/bin/env python3
"""Push the image that was tried, named by its commit; write down the digest by which it is deployed from then on."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from pathlib import Path

import steps

ARCHIVE = "docker-archive:build/image/image.tar"


def _step() -> None:
    image = steps.setting("PIPELINE_IMAGE", "the image's repository, such as ghcr.io/acme/checkout, without a tag")
    commit = steps.setting("PIPELINE_COMMIT", "the commit, its whole hash")
    if "@" in image or ":" in image.rpartition("/")[2]:
        raise steps.StepFailed(f"PIPELINE_IMAGE is {image!r}; expected a repository without tag and digest")
    source = steps.optional("PIPELINE_ARCHIVE") or ARCHIVE
    verify = "false" if steps.optional("REGISTRY_PLAIN_HTTP") == "true" else "true"
    with tempfile.TemporaryDirectory() as directory:
        told = Path(directory) / "digest"
        command = ["skopeo", "copy", "--quiet", "--retry-times=0", f"--dest-tls-verify={verify}", "--digestfile", told]
        steps.call([*command, *_credentials(Path(directory), image), source, f"docker://{image}:{commit}"])
        digest = told.read_text(encoding="utf-8").strip()
    steps.keep(steps.BUILD, {"image": image, "digest": digest, "commit": commit})
    steps.build()
    steps.summary(f"published {image}@{digest}, also named {commit[:12]}")


def _credentials(directory: Path, image: str) -> list[str | Path]:
    """A file for skopeo: words of a command line are everybody's to read."""
    user, token = steps.optional("REGISTRY_USER"), steps.optional("REGISTRY_TOKEN")
    if not token:
        return []
    file = directory / "auth.json"
    auth = base64.b64encode(f"{user}:{token}".encode()).decode()
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as opened:
        json.dump({"auths": {image.partition("/")[0]: {"auth": auth}}}, opened)
    return ["--authfile", file]


steps.main(_step)
