"""Write how this machine reaches Debian and PyPI into a directory, as files for the build secrets of the Dockerfile.

    python3 scripts/image_secrets.py DIR SUITE

`apt.conf` with proxies and `apt.list` with the mirror, for Debian's SUITE; `pip.conf` with the index;
`ca` with the certificates that they are checked by; `mirror`, one line, for debootstrap.
They may hold passwords: the directory is for the time of a build.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
INDEX = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN) $(CREATED_BY)"
PIP = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries", "find-links", "no-index")
CA = "/run/secrets/ca"
ACQUIRE = re.compile(r'^Acquire::(?:(?:http|https)::|Retries|Check-Valid-Until|Check-Date).*"(?P<value>.*)";$')


def output(*command: str) -> str:
    """What a command prints; nothing where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout  # noqa: S603 - ours


def sources(suite: str, indexes: str) -> tuple[str, str]:
    """Give apt.list for the suite, its updates and its security, and the mirror; both empty without Debian here.

    What is configured here may be another suite of Debian: its mirror has all of them.
    """
    lines, mirror = set(), ""
    for uri, release, component, *_ in (line.split() for line in indexes.splitlines() if line.endswith(" Packages")):
        _, dash, kind = release.partition("-")
        if component == "main" and kind in {"", "updates", "security"}:
            lines.add(f"deb [signed-by={KEYRING}] {uri} {suite}{dash}{kind} main\n")
            mirror = mirror if kind else uri
    return ("".join(sorted(lines)), mirror) if mirror else ("", "")


def apt_conf(dumped: str, *, own_sources: bool) -> str:
    """Write apt's settings inside the build: the proxies of here, the mirror of here, its certificates."""
    kept = []
    for line in dumped.splitlines():
        found = ACQUIRE.match(line)
        if found and found["value"] and "::CaInfo" not in line and "::CAInfo" not in line:
            kept.append(line)
    kept.append(f'Acquire::https::CAInfo "{CA}";')
    if own_sources:
        kept += ['Dir::Etc::sourcelist "/run/secrets/apt.list";', 'Dir::Etc::sourceparts "-";']
    return "\n".join(kept) + "\n"


def pip_conf(listed: str, environ: dict[str, str]) -> str:
    """Write pip's settings inside the build; directories of this machine are left out, they are not there."""
    found: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        found[key.rpartition(".")[2]] = value.strip("'\"").replace("\\n", " ")
    found |= {name[4:].lower().replace("_", "-"): value for name, value in environ.items() if name.startswith("PIP_")}
    if "://" not in found.get("find-links", "://"):
        del found["find-links"]
    kept = [f"{name} = {found[name]}" for name in PIP if found.get(name)]
    return "\n".join(["[global]", *kept, f"cert = {CA}", ""])


def certificates(environ: dict[str, str]) -> Path | None:
    """The bundle that programs here are told to trust, else the system's."""
    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if (file := Path(environ.get(name) or "/nonexistent")).is_file():
            return file
    usual = Path("/etc/ssl/certs/ca-certificates.crt")
    return usual if usual.is_file() else None


def main(directory: Path, suite: str) -> int:
    """Write the files; the exit status."""
    environ = dict(os.environ)
    directory.chmod(0o700)
    ca = certificates(environ)
    if ca is None:
        print("image_secrets: there are no certificates here: apt-get install ca-certificates.", file=sys.stderr)
        return 1
    text, mirror = sources(suite, output("apt-get", "indextargets", "--format", INDEX, "Origin: Debian"))
    python = str(Path(".venv/bin/python")) if Path(".venv/bin/python").exists() else sys.executable
    written = {
        "apt.conf": apt_conf(output("apt-config", "dump"), own_sources=bool(text)),
        "apt.list": text,
        "pip.conf": pip_conf(output(python, "-m", "pip", "config", "list"), environ),
        "ca": ca.read_text(encoding="utf-8"),
        "mirror": f"{mirror}\n",
    }
    for name, content in written.items():
        (directory / name).touch(mode=0o600)
        (directory / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
