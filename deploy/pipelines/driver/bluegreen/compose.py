"""Docker Compose: a project for each colour, and a proxy whose link to a Unix socket says who has the traffic."""

from __future__ import annotations

import json
from typing import Any

from .commands import Commands
from .errors import Failed
from .probe import complaint
from .state import Release
from .target import Compose, Target

READLINK = 'readlink "$1" || test ! -e "$1"'
"""Prints where a link points and nothing when there is none; fails for what is no link."""


class ComposeBackend:
    """The back end `compose`. The colours' file gets IMAGE (name and digest), COLOUR, DIGEST and COMMIT."""

    def __init__(self, target: Target, settings: Compose, commands: Commands) -> None:
        self._target, self._settings, self._commands = target, settings, commands

    def install(self, colour: str, release: Release) -> None:
        """Create the colour's containers anew where something changed, and wait until they are healthy."""
        within = f"{self._settings.command_timeout:.0f}"
        self._compose(
            colour, release, "up", "--detach", "--wait", "--wait-timeout", within, "--no-build", "--remove-orphans"
        )

    def remove(self, colour: str) -> None:
        """Stop the colour's containers as `stop_grace_period` says, and remove them."""
        self._compose(colour, None, "down")

    def runs(self, colour: str) -> str | None:
        """The digest in the image's name of the colour's running container."""
        service = self._settings.service
        text = self._compose(colour, None, "ps", "--format", "json", "--status", "running", service)
        digests = {
            str(one.get("Image", "")).rpartition("@")[2] for one in _objects(text) if one.get("Service") == service
        }
        if len(digests) > 1:
            raise Failed(f"{colour} runs several builds at once: {', '.join(sorted(digests))}")
        return digests.pop() if digests else None

    def ailing(self, colour: str, release: Release) -> str:
        """Ask the address of the colour itself."""
        return complaint(self._target.urls[colour], self._target.health, colour, release)

    def point(self, colour: str) -> None:
        """Rename a new link over the old one, in the proxy. The proxy is not reloaded."""
        following = f"{self._settings.switch}.next"
        self._proxy("ln", "-sfn", self._settings.sockets[colour], following)
        self._proxy("mv", "-T", following, self._settings.switch)

    def pointed(self) -> str | None:
        """Where the proxy's link points."""
        found = self._proxy("sh", "-c", READLINK, "sh", self._settings.switch).strip()
        return next((colour for colour, socket in self._settings.sockets.items() if socket == found), None)

    def astray(self, colour: str, release: Release) -> str:
        """Ask the front, as users do."""
        return complaint(self._target.url, self._target.health, colour, release)

    def _compose(self, colour: str, release: Release | None, *words: str) -> str:
        # The file's variables have to be there for every command; only `up` uses what they say.
        environ = {
            "IMAGE": f"{release.image}@{release.digest}" if release else "none",
            "COLOUR": colour,
            "DIGEST": release.digest if release else "",
            "COMMIT": release.commit if release else "",
        }
        project = f"{self._settings.project}-{colour}"
        command = ["docker", "compose", "-p", project, "-f", str(self._settings.file), *words]
        return self._commands.run(command, environ=environ)

    def _proxy(self, *words: str) -> str:
        settings = self._settings
        base = ["docker", "compose", "-p", settings.proxy_project, "-f", str(settings.proxy_file)]
        return self._commands.run([*base, "exec", "-T", settings.proxy_service, *words])


def _objects(text: str) -> list[dict[str, Any]]:
    """What `ps --format json` prints: one object a line, or one list of them before Compose 2.21."""
    try:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise Failed(f"`docker compose ps --format json` did not print JSON: {text[:200]!r}") from error
    return [one for item in found for one in (item if isinstance(item, list) else [item])]
