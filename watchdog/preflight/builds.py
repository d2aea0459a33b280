"""Which programs, images and commits these were: nothing that is checked later, all of it to be looked up."""

from __future__ import annotations

import platform

from watchdog import __version__
from watchdog.flags.base import Check
from watchdog.preflight.ground import Ground, Looked, Sight
from watchdog.preflight.verdict import Build, Level


def builds(ground: Ground) -> Looked:
    """What is on record after this preflight."""
    settings = ground.settings.preflight
    own = [Build("slo-watchdog", __version__), Build("python", platform.python_version())]
    own += [Build("image", settings.image)] if settings.image is not None else []
    own += [Build("commit", settings.commit)] if settings.commit is not None else []
    ground.builds[:0] = own
    ground.builds += ground.release
    told = {build.what for build in ground.builds}
    listed = ", ".join(f"{build.what} {build.value}" for build in ground.builds)
    yield None, Check("recorded", ok=True, found=listed)
    if "prometheus" not in told:
        todo = "correct what the area prometheus says"
        yield None, Check("prometheus", ok=False, found="its build could not be asked", todo=todo)
    if "image" not in told:
        found = "nobody says which image or package this program runs from"
        todo = "write preflight.image (WATCHDOG_PREFLIGHT__IMAGE), with the digest"
        yield Sight(None, Check("image", ok=False, found=found, todo=todo), Level.WARNING)
    if not ground.release:
        found = "nobody says which image and commit are released, only the version of each rollout"
        todo = "give `preflight --image IMAGE@DIGEST --commit COMMIT`"
        yield Sight(None, Check("release", ok=False, found=found, todo=todo), Level.WARNING)
