"""Tell whether the image that `scripts/image --own-base` has unpacked is what it should be, and runs.

    python3 scripts/image_smoke.py [build/image]

It looks into the files and at what is written on the image, then runs it with a read-only root, as its own user and
without any right, its first process being process 1. Status 0, or 1 with a sentence for each thing that is wrong. Needs
root.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from image_container import Container

LARGEST = 250_000_000
"""Bytes of all files together."""
USER = 65532
READY_WITHIN, STOP_WITHIN = 60.0, 10.0
NAMES = re.compile(r"^(pip|setuptools|wheel|ensurepip|pkg_resources)([-._].*)?$")
"""What installs software; nothing in the image may."""
LEFT = re.compile(r"^(pip\.conf|\.netrc|\.pgpass|\.git|id_[a-z0-9]+|.*\.(pem\.key|token|password))$")
MIRRORS = re.compile(r"^\s*(?:deb(?:\s+\[.*?\])?|URIs:)\s+(\S+)", re.MULTILINE)
LABELS = ("title", "description", "licenses", "version", "revision", "created", "base.name")
CONFIG = """\
prometheus: {url: "http://127.0.0.1:9"}
ledger: sqlite:////var/lib/slo-watchdog/watchdog.db
reports: {dir: /var/lib/slo-watchdog/reports}
rollouts: [rollouts/*.yaml]
http: {listen: "127.0.0.1:8799"}
serve: {listen: "127.0.0.1:8798"}
flags: {service: flagd-file, path: /var/lib/slo-watchdog/flags/shop.flagd.json}
"""
ASK = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=5).read().decode())"
WRITE = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('x')"


def files(root: Path) -> Iterator[Path]:
    """Every file and directory below, links not followed."""
    for directory, names, leaves in os.walk(root):
        yield from (Path(directory, name) for name in (*names, *leaves))


def wrong_files(root: Path) -> Iterator[str]:
    """What is wrong with the files of the image."""
    size = 0
    for file in files(root):
        found = file.lstat()
        inside = file.relative_to(root)
        if stat.S_ISREG(found.st_mode):
            size += found.st_size
            if found.st_mode & (stat.S_ISUID | stat.S_ISGID):
                yield f"/{inside} lends its owner's rights (setuid or setgid): nothing in the image may."
        if NAMES.match(file.name):
            yield f"/{inside} installs software: the image should be without."
        if LEFT.match(file.name):
            yield f"/{inside} looks like a secret or a setting of the machine that built it."
    print(f"image: {size / 1e6:.0f} MB unpacked")
    if size > LARGEST:
        yield f"it has {size / 1e6:.0f} MB unpacked, more than {LARGEST / 1e6:.0f} MB."
    if list((root / "run" / "secrets").glob("*")):
        yield "/run/secrets holds files: the secrets of the build were kept."
    for listed in (root / "etc" / "apt").rglob("*.*"):
        if listed.is_file() and listed.suffix in {".list", ".sources"}:
            for uri in MIRRORS.findall(listed.read_text(encoding="utf-8")):
                if not (urlsplit(uri).hostname or "").endswith(".debian.org"):
                    yield f"/{listed.relative_to(root)} names a mirror of the machine that built it."


def wrong_packages(root: Path, bill: dict[str, Any]) -> Iterator[str]:
    """Modules without bytecode, and what the bill of materials does not list."""
    place = next((root / "opt" / "slo-watchdog" / "lib").glob("python3*/site-packages"))
    for source in (place / "watchdog").rglob("*.py"):
        if not list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")):
            yield f"{source.relative_to(place)} has no bytecode, so every start compiles it."
    listed = {component["name"] for component in (*bill["components"], bill["metadata"]["component"])}
    installed = {re.sub(r"[-_.]+", "-", info.name.partition("-")[0]).lower() for info in place.glob("*.dist-info")}
    known = (root / "var" / "lib" / "dpkg" / "status").read_text(encoding="utf-8")
    debian = set(re.findall(r"^Package: (\S+)$", known, re.MULTILINE))
    if missing := sorted((installed | debian) - listed):
        yield f"the bill of materials lacks {', '.join(missing)}."
    print(f"image: {len(installed)} Python distributions, {len(debian)} Debian packages")


def wrong_configuration(image: dict[str, Any]) -> Iterator[str]:
    """What is wrong with what is written on the image."""
    if image["User"] != f"{USER}:{USER}":
        yield f"it runs as {image['User']!r}, not as the number {USER}, by which Kubernetes knows that it is not root."
    if not (image.get("Healthcheck") or {}).get("Test"):
        yield "it has no HEALTHCHECK."
    labels = image.get("Labels") or {}
    for name in LABELS:
        if labels.get(f"org.opencontainers.image.{name}", "unknown") in {"", "unknown"}:
            yield f"the label org.opencontainers.image.{name} says nothing."
    for variable in image["Env"]:
        if re.search(r"(?i)token|password|secret=|index|proxy|^PIP_", variable):
            yield f"its environment has {variable.partition('=')[0]}, a setting of the machine that built it."


def wrong_running(container: Container) -> Iterator[str]:
    """What is wrong with the daemon in its container, which has just been started."""
    probe = container.image["Healthcheck"]["Test"][1:]
    began = time.monotonic()
    healthy = container.until(*probe, within=READY_WITHIN)
    if healthy.returncode != 0:
        waited, said = time.monotonic() - began, f"{healthy.stdout}{healthy.stderr}".strip()
        yield f"after {waited:.0f} s HEALTHCHECK gives {healthy.returncode}: {said}; its log: {container.log[-2000:]}"
        return
    print(f"image: healthy {time.monotonic() - began:.1f} s after its start; {healthy.stdout.strip()}")
    for address in ("127.0.0.1:9464/readyz", "127.0.0.1:9464/metrics", "127.0.0.1:8799/", "127.0.0.1:8798/healthz"):
        told = container.until("/usr/bin/python3", "-c", ASK, f"http://{address}", within=READY_WITHIN)
        if told.returncode != 0:
            said = told.stderr.strip().splitlines() or [f"status {told.returncode}"]
            yield f"http://{address} does not answer: {said[-1]}"
    for place, may in (("/opt/x", False), ("/etc/slo-watchdog/x", False), ("/var/lib/slo-watchdog/x", True)):
        if (container.run("/usr/bin/python3", "-c", WRITE, place).returncode == 0) is not may:
            yield f"{place} can{'not' if may else ''} be written."
    state = dict(re.findall(r"^(\w+):\t(.*)$", Path(f"/proc/{container.first}/status").read_text(), re.MULTILINE))
    if state["NSpid"].split()[-1] != "1":
        yield f"its first process has the number {state['NSpid']}, not 1: signals have not been tested."
    if set(state["Uid"].split()) != {str(USER)} or int(state["CapEff"], 16):
        yield f"it runs as {state['Uid']} with the rights {state['CapEff']}."
    began = time.monotonic()
    if (status := container.stop(STOP_WITHIN)) != 0:
        ended = f"ends with {status}" if status is not None else f"has not ended after {STOP_WITHIN:.0f} s"
        yield f"SIGTERM: it {ended}; {container.log[-2000:]}"
    else:
        print(f"image: SIGTERM to process 1 ended it with 0 after {time.monotonic() - began:.1f} s")


def wrong_starts(rootfs: Path, image: dict[str, Any], state: Path, config: Path) -> Iterator[str]:
    """What is wrong with starts that do not come to an end: stopped at once, and refused."""
    with Container(rootfs, image, state=state, config=config) as hurried:
        # Once process 1 has a child it hears signals; before that the kernel drops them, whoever it is.
        give_up = time.monotonic() + READY_WITHIN
        while not hurried.children and time.monotonic() < give_up:
            time.sleep(0.005)
        if hurried.stop(STOP_WITHIN) is None:
            yield f"SIGTERM right after the start is not heard within {STOP_WITHIN:.0f} s."
    (config / "watchdog.yaml").write_text("prometheus: {url: nowhere}\n", encoding="utf-8")
    with Container(rootfs, image, state=state, config=config) as refused:
        if (status := refused.ended(READY_WITHIN)) != 2:
            yield f"a configuration that makes no sense should end it with 2, and did with {status}: {refused.log}"


def main(place: Path) -> int:
    """Look at everything; the exit status."""
    rootfs = place / "rootfs"
    if os.geteuid() != 0:
        print("image: the smoke test makes namespaces and changes roots: run it as root.", file=sys.stderr)
        return 1
    if not (place / "image.json").is_file() or not rootfs.is_dir():
        print(f"image: there is no unpacked image in {place}: run scripts/image --own-base.", file=sys.stderr)
        return 1
    image = json.loads((place / "image.json").read_text(encoding="utf-8"))
    bill = json.loads((rootfs / "usr/local/share/slo-watchdog.cdx.json").read_text(encoding="utf-8"))
    wrong = [*wrong_files(rootfs), *wrong_packages(rootfs, bill), *wrong_configuration(image)]
    with tempfile.TemporaryDirectory(prefix="image-smoke-") as scratch:
        state, config = Path(scratch, "state"), Path(scratch, "config")
        for directory in (state, config, config / "rollouts"):
            directory.mkdir()
            directory.chmod(0o755)
        os.chown(state, USER, USER)
        Path(scratch).chmod(0o755)
        (config / "watchdog.yaml").write_text(CONFIG, encoding="utf-8")
        with Container(rootfs, image, state=state, config=config) as container:
            wrong += wrong_running(container)
        wrong += wrong_starts(rootfs, image, state, config)
    for sentence in wrong:
        print(f"image: {sentence}", file=sys.stderr)
    print("image: as it should be" if not wrong else f"image: {len(wrong)} thing(s) wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "build" / "image"))
