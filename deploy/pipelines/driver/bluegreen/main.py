"""The command line. Sentences go to standard error, one JSON object or a few lines to standard output."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .artefact import accept
from .backend import Backend
from .commands import Commands
from .compose import ComposeBackend
from .errors import DriverError, Misused, Refused
from .kubectl import KubectlBackend
from .moves import DIGEST, NEWEST, Driver
from .nginx import NginxBackend
from .state import Store
from .target import COLOURS, Compose, Nginx, Target, load
from .worker import Build, Clock

EPILOG = """
Every command may be run again after it was killed at any point. Exit status: 0 done, or nothing to do; 1 failed;
2 wrong command line or target file; 3 refused (a tag, a downgrade, a colour that is not well, the colour that
serves); 4 another driver works on the target. docs/deploying.md tells more.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        told = _run(options)
    except DriverError as error:
        print(f"driver: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("driver: interrupted; run the same command again, or `rollback`", file=sys.stderr)
        return 130
    print(json.dumps(told, ensure_ascii=False) if options.json else _text(options.command, told))
    return 0


def opened(target: Target, held: int | None = None) -> Backend:
    """The back end of a target. `held` is the lock's descriptor."""
    settings = target.settings
    commands = Commands(settings.command_timeout + 15.0, held)
    if isinstance(settings, Nginx):
        return NginxBackend(target, settings, commands)
    if isinstance(settings, Compose):
        return ComposeBackend(target, settings, commands)
    return KubectlBackend(target, settings, commands)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="driver", description="Blue-green deployment of one target.", epilog=EPILOG, allow_abbrev=False
    )
    parser.add_argument(
        "--target",
        type=Path,
        default=os.environ.get("DRIVER_TARGET") or None,
        help="the target file (TOML); or DRIVER_TARGET",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--json", action="store_true", help="print one JSON object")
    changing = argparse.ArgumentParser(add_help=False)
    changing.add_argument("--by", default="", help="who asks; default PIPELINE_ACTOR, GITHUB_ACTOR, or the user")
    changing.add_argument("--lock-wait", type=float, default=10.0, help="seconds to wait for another driver (10)")
    reasoned = argparse.ArgumentParser(add_help=False)
    reasoned.add_argument("--reason", default="", help="why; it is recorded, and a downgrade needs one")

    commands.add_parser("status", parents=[every], help="who serves, what runs where, what was interrupted")
    deploy = commands.add_parser("deploy", parents=[every, changing, reasoned], help="put a build on the idle colour")
    deploy.add_argument("--image", required=True, help="NAME, or NAME@sha256:HEX")
    deploy.add_argument("--digest", default="", help="sha256:HEX, where it is not part of --image")
    deploy.add_argument("--commit", required=True, help="the commit that it was built from")
    deploy.add_argument("--to", choices=("idle", *COLOURS), default="idle", help="default: idle")
    deploy.add_argument("--artefact", type=Path, help="nginx: the release's tar file; its SHA-256 is the digest")
    switch = commands.add_parser("switch", parents=[every, changing, reasoned], help="give the traffic to a colour")
    choices = (NEWEST, "idle", *COLOURS)
    switch.add_argument("to", nargs="?", choices=choices, default=NEWEST, help="default: the newest deployment's")
    commands.add_parser("rollback", parents=[every, changing, reasoned], help="give the traffic back")
    drain = commands.add_parser("drain", aliases=["retire"], parents=[every, changing], help="end the idle colour")
    drain.add_argument("colour", nargs="?", choices=COLOURS, help="default: the idle one")
    return parser


def _run(options: argparse.Namespace) -> dict[str, Any]:
    if options.target is None:
        raise Misused("no target file is named; give --target, or set DRIVER_TARGET.")
    target = load(Path(options.target))
    store = Store(target.state)
    clock = Clock(time.time, time.sleep)
    if options.command == "status":
        return Driver(target, opened(target), store, clock, _say, "").status()
    by = _who(options.by)
    with store.lock(options.command, by, options.lock_wait) as held:
        driver = Driver(target, opened(target, held), store, clock, _say, by)
        if options.command == "deploy":
            build = _build(options)
            _keep(options.artefact, build, target)
            return driver.deploy(build, options.to, options.reason.strip())
        if options.command == "switch":
            return driver.switch(options.to, options.reason.strip())
        if options.command == "rollback":
            return driver.rollback(options.reason.strip())
        return driver.drain(options.colour)


def _who(given: str) -> str:
    environ = (os.environ.get("PIPELINE_ACTOR", ""), os.environ.get("GITHUB_ACTOR", ""))
    try:
        return next(name.strip() for name in (given, *environ, getpass.getuser()) if name.strip())
    except (KeyError, OSError, StopIteration) as error:
        raise Misused("it is not known who asks; give --by.") from error


def _build(options: argparse.Namespace) -> Build:
    image, _, digest = options.image.partition("@")
    if digest and options.digest not in ("", digest):
        raise Misused(f"--image has the digest {digest}, and --digest is {options.digest}; give one of them.")
    digest = digest or options.digest
    if not DIGEST.fullmatch(digest):
        found = f"its digest is {digest!r}" if digest else "it has no digest"
        raise Refused(f"{options.image} is not deployed: {found}; expected sha256: and 64 hex digits. A tag may move.")
    tag = image.rpartition("/")[2].partition(":")[2]
    if not image or image.startswith("-") or tag:
        raise Refused(
            f"--image is {options.image!r}; expected a name without a tag, the digest says which build it is."
        )
    return Build(image, digest, options.commit)


def _keep(file: Path | None, build: Build, target: Target) -> None:
    if file is None:
        return
    if not isinstance(target.settings, Nginx):
        raise Misused(f"--artefact is for the back end nginx; {target.backend} gets {build.image} from its registry.")
    accept(file, build.digest, target.settings.store)


def _text(command: str, told: dict[str, Any]) -> str:
    if command != "status":
        return f"{told['colour']}: {'done' if told['changed'] else 'nothing to do'}"
    lines = [f"{told['target']} ({told['backend']}): {told['active'] or 'nobody'} serves at {told['url']}"]
    if told["pointed"] != told["active"]:
        lines.append(f"  the traffic goes to {told['pointed'] or 'neither colour'}")
    if told["interrupted"]:
        lines.append("  a {command} to {to} by {by} was interrupted: {stage}".format(**told["interrupted"]))
    for colour, one in told["colours"].items():
        health = "" if one is None else "well" if one["healthy"] else "not well"
        lines.append(
            f"  {colour}: "
            + ("nothing" if one is None else f"{one['image']}@{one['digest']}, {one['state']}, {health}")
        )
    lines.append(f"  rollback goes to {told['previous'] or 'neither colour'}")
    return "\n".join(lines)


def _say(text: str) -> None:
    print(f"driver: {text}", file=sys.stderr, flush=True)
