"""Settings and rollout files, as they are loaded. Settings that are wrong do not get this far."""

from __future__ import annotations

from watchdog.errors import ConfigError
from watchdog.flags.base import Check
from watchdog.preflight.ground import Ground, Looked, Sight
from watchdog.preflight.verdict import Level


def configuration(ground: Ground) -> Looked:
    """Whether everything that was written is right, and what of it is legal and still worth a sentence."""
    place = str(ground.settings.path or "the environment")
    yield None, Check("settings", ok=True, found=f"{place} is valid")
    for warning in ground.settings.warnings:
        key, _, said = warning.partition(": ")
        yield Sight(None, Check(key, ok=False, found=said, todo=f"see {key} in docs/configuration.md"), Level.WARNING)
    if not ground.loaded:
        patterns = ", ".join(map(str, ground.settings.rollouts))
        yield None, Check("rollout files", ok=False, found=f"none matches {patterns}", todo="write a rollout")
    for path, item in ground.loaded:
        if isinstance(item, ConfigError):
            for problem in item.problems:
                yield None, Check(f"file {path.name}", ok=False, found=str(problem), todo="correct the file")
        else:
            yield item, Check(f"file {path.name}", ok=True, found=f"it is valid (sha256 {item.sha256[:12]})")
