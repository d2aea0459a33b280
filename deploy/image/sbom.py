"""Print the bill of materials of the system that this runs on, as CycloneDX 1.5 JSON.

    python -I sbom.py

It lists Debian's packages, as dpkg knows them, and the Python distributions of this interpreter, with versions,
licences where they are stated, package URLs, and what needs what. Standard library only.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from urllib.parse import quote

PROGRAM = "slo-watchdog"
LONGEST_LICENSE = 80
"""Some distributions state the whole text as their licence's name."""
FIELDS = ("Package", "Version", "Architecture", "source:Package", "Depends", "Pre-Depends")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")

Component = dict[str, object]


def python_name(name: str) -> str:
    """A distribution's name as package URLs and other distributions write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licenses(found: Distribution) -> list[dict[str, object]]:
    """What the distribution states: an SPDX expression, or else a name."""
    told = {key: (found.metadata.get_all(key) or [""])[0].strip() for key in ("License-Expression", "License")}
    if expression := told["License-Expression"]:
        return [{"expression": expression}]
    name = told["License"]
    stated = [name] if name and "\n" not in name and len(name) <= LONGEST_LICENSE else []
    classified = [
        text.rpartition("::")[2].strip()
        for text in found.metadata.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    return [{"license": {"name": text}} for text in stated or sorted(set(classified))]


def of_python(found: Iterable[Distribution]) -> list[tuple[Component, list[str]]]:
    """Components of distributions, each with the references of what it needs."""
    made = []
    for each in sorted(found, key=lambda one: python_name(one.name)):
        name = python_name(each.name)
        component: Component = {
            "type": "application" if name == PROGRAM else "library",
            "bom-ref": f"pypi:{name}",
            "name": name,
            "version": each.version,
            "purl": f"pkg:pypi/{name}@{quote(each.version, safe='')}",
        }
        if stated := licenses(each):
            component["licenses"] = stated
        needed = [f"pypi:{python_name(match[0])}" for text in each.requires or () if (match := NAME.match(text))]
        made.append((component, needed))
    return made


def of_debian(listed: str, distro: str) -> list[tuple[Component, list[str]]]:
    """Components of what dpkg-query prints, one package a line, its FIELDS separated by tabs."""
    made = []
    for line in sorted(listed.splitlines()):
        name, version, architecture, source, *needs = line.split("\t")
        place = f"{quote(name, safe='')}@{quote(version, safe='')}"
        component: Component = {
            "type": "library",
            "bom-ref": f"deb:{name}",
            "name": name,
            "version": version,
            "purl": f"pkg:deb/debian/{place}?arch={architecture}&distro={distro}",
            "properties": [{"name": "debian:source", "value": source}],
        }
        clauses = re.split(r"[,|]", ",".join(needs))
        needed = [f"deb:{match[0]}" for clause in clauses if (match := NAME.match(clause.strip()))]
        made.append((component, needed))
    return made


def bill(materials: list[tuple[Component, list[str]]], system: Component, at: datetime) -> dict[str, object]:
    """The document. Needs that are no component of it are left out: extras, and Debian's alternatives."""
    known = {component["bom-ref"] for component, _ in materials}
    program = next(component for component, _ in materials if component["bom-ref"] == f"pypi:{PROGRAM}")
    others = [component for component, _ in materials if component is not program]
    content = json.dumps([program, system, others], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {
            "timestamp": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": f"{PROGRAM} deploy/image/sbom.py"}]},
            "component": program,
        },
        "components": [system, *others],
        "dependencies": [
            {"ref": component["bom-ref"], "dependsOn": sorted(set(needed) & known - {component["bom-ref"]})}
            for component, needed in materials
        ],
    }


def main() -> None:
    """Print it."""
    release = platform.freedesktop_os_release()
    wanted = "\\t".join(f"${{{field}}}" for field in FIELDS) + "\\n"
    listed = subprocess.run(["/usr/bin/dpkg-query", "-W", "-f", wanted], capture_output=True, text=True, check=True)
    system: Component = {"type": "operating-system", "name": release["ID"], "version": release.get("VERSION_ID", "")}
    system["bom-ref"] = "operating-system"
    debian = of_debian(listed.stdout, f"{release['ID']}-{release.get('VERSION_ID', '')}")
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    at = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    json.dump(bill(of_python(distributions()) + debian, system, at), sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
