"""Writes the starter files of `init`: all of them or none, and never over a file that is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from watchdog.errors import ConfigError, Problem
from watchdog.prometheus.redact import split_credentials
from watchdog.quantities import format_duration
from watchdog.starter.propose import Proposal
from watchdog.starter.render import scalar, slug, template

USUAL = "http://127.0.0.1:9090"
SETTINGS = "watchdog.yaml"


def write_starter(directory: Path) -> list[Path]:
    """A commented configuration with one example rollout. Returns what was written, the flags directory last.

    Raises ConfigError naming each file that is there already, or that cannot be written.
    """
    return _write(directory, {SETTINGS: _settings(USUAL, 15.0), "rollouts/example.yaml": template("example.yaml", {})})


def write_proposal(directory: Path, proposal: Proposal, prometheus_url: str) -> list[Path]:
    """The configuration for a proposal. Returns what was written, the flags directory last.

    A user and password in the address are not written down. Raises ConfigError as `write_starter` does.
    """
    url, credentials = split_credentials(prometheus_url)
    settings = _settings(url.rstrip("/"), proposal.scrape_interval)
    if credentials is not None:
        hint = "  # The address had a user and a password, which are not written here: fill in the two keys below.\n"
        settings = settings.replace("  # username:", f"{hint}  # username:", 1)
    return _write(directory, {SETTINGS: settings, f"rollouts/{slug(proposal.job)}.yaml": proposal.text})


def _settings(url: str, scrape_interval: float) -> str:
    return template(SETTINGS, {"URL": scalar(url), "SCRAPE": format_duration(scrape_interval)})


def _write(directory: Path, files: Mapping[str, str]) -> list[Path]:
    taken = [directory / name for name in files if (directory / name).exists()]
    if taken:
        message = "is there already, and init never overwrites; move it away, or name another directory"
        raise ConfigError([Problem(str(path), message) for path in taken])
    written: list[Path] = []
    flags = directory / "flags"
    path = directory
    try:
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            written.append(path)
        path = flags
        flags.mkdir(exist_ok=True)
    except OSError as error:
        for done in written:
            done.unlink(missing_ok=True)
        message = f"cannot be written ({error.strerror or error}); check the directory and its rights"
        raise ConfigError([Problem(str(path), message)]) from error
    return [*written, flags]
