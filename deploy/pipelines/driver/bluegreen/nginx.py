"""Plain processes behind nginx: the traffic goes where a symbolic link to a Unix socket points.

nginx is neither reloaded nor asked: it connects to the link for each request, so one rename moves every new request and
no request that is under way. docs/decisions/blue-green.md says why.
"""

from __future__ import annotations

from pathlib import Path

from .artefact import hexadecimal, prune, unpacked
from .commands import Commands
from .errors import Failed
from .probe import complaint
from .state import Release, sync_directory
from .target import COLOURS, Nginx, Target


class NginxBackend:
    """The back end `nginx`."""

    def __init__(self, target: Target, settings: Nginx, commands: Commands) -> None:
        self._target, self._settings, self._commands = target, settings, commands

    def install(self, colour: str, release: Release) -> None:
        """Unpack the release, let the colour's link point to it, and start what is below that link anew."""
        place = unpacked(release.digest, self._settings.store, self._settings.releases)
        _link(self._settings.releases / colour, place.name)
        self._run(self._settings.start, colour, release)
        prune(self._settings.releases, {hexadecimal(found) for one in COLOURS if (found := self.runs(one))})

    def remove(self, colour: str) -> None:
        """Stop the colour and take its link away."""
        self._run(self._settings.stop, colour, None)
        try:
            (self._settings.releases / colour).unlink(missing_ok=True)
        except OSError as error:
            raise Failed(f"{self._settings.releases / colour} cannot be removed: {error}") from error

    def runs(self, colour: str) -> str | None:
        """What the colour's link points to."""
        found = _points(self._settings.releases / colour)
        return None if found is None else f"sha256:{found}"

    def ailing(self, colour: str, release: Release) -> str:
        """Ask the address of the colour itself."""
        return complaint(self._target.urls[colour], self._target.health, colour, release)

    def point(self, colour: str) -> None:
        """Put the link in place of the one that is there: one rename."""
        _points(self._settings.switch)  # no file of somebody's is overwritten
        _link(self._settings.switch, self._settings.sockets[colour])

    def pointed(self) -> str | None:
        """Where the link points."""
        found = _points(self._settings.switch)
        return next((colour for colour, socket in self._settings.sockets.items() if socket == found), None)

    def astray(self, colour: str, release: Release) -> str:
        """Ask the front, as users do."""
        return complaint(self._target.url, self._target.health, colour, release)

    def _run(self, words: tuple[str, ...], colour: str, release: Release | None) -> None:
        fields = {
            "colour": colour,
            "digest": release.digest if release else "",
            "commit": release.commit if release else "",
            "image": release.image if release else "",
            "release": str(self._settings.releases / colour),
            "socket": self._settings.sockets[colour],
        }
        self._commands.run([word.format(**fields) for word in words], stays=True)


def _link(link: Path, to: str) -> None:
    following = link.with_name(f".{link.name}.next")
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        following.unlink(missing_ok=True)
        following.symlink_to(to)
        following.replace(link)
        sync_directory(link.parent)
    except OSError as error:
        raise Failed(f"the link {link} cannot be made to point to {to}: {error}") from error


def _points(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failed(f"{link} is no symbolic link that can be read ({error}); remove it if nobody needs it.") from error
