"""Answers as `docker compose` does to the words that the driver uses, and refuses all others. Started as `docker`.

STANDIN names its file: which projects run which image, and what was asked. What is executed in the proxy is executed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.standin import stop

UP = ["--detach", "--wait", "--wait-timeout", "300", "--no-build", "--remove-orphans"]
PS = ["--format", "json", "--status", "running", "app"]
PINNED = re.compile(r"[a-z0-9./:-]+@sha256:[0-9a-f]{64}")


def run(world: dict[str, Any], words: list[str]) -> None:
    """One command on the world."""
    if words[:2] != ["compose", "-p"] or words[3] != "-f" or not Path(words[4]).is_file():
        stop(f"unknown shorthand or missing file in {words}")
    project, command, rest = words[2], words[5], words[6:]
    if command == "exec":
        if project != "checkout-proxy" or rest[:2] != ["-T", "proxy"]:
            stop(f'service "{rest[1]}" is not running')
        done = subprocess.run(rest[2:], check=False)
        sys.exit(done.returncode)
    image, colour = os.environ.get("IMAGE", ""), os.environ.get("COLOUR", "")
    if not image or project != f"checkout-{colour}":
        stop('required variable IMAGE is missing a value: see the "image" of service app')
    if (command, rest) == ("up", UP):
        if not PINNED.fullmatch(image):
            stop(f"{image} is not pinned")
        if world["broken"] in image:
            stop(f"container {project}-app-1 is unhealthy")
        world["projects"][project] = image
    elif (command, rest) == ("down", []):
        world["projects"].pop(project, None)
    elif (command, rest) == ("ps", PS):
        found = world["projects"].get(project)
        one = {"Name": f"{project}-app-1", "Service": "app", "State": "running", "Health": "healthy", "Image": found}
        if found:
            print(json.dumps([one] if world["old"] else one))
    else:
        stop(f"unknown command or flag: {command} {rest}")
