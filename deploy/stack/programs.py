"""The programs that the stack starts, and which Debian package each is in."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from stage import DemoError


@dataclass(frozen=True)
class Program:
    """A server under the names that Debian and its makers give it."""

    package: str
    names: tuple[str, ...]

    @property
    def path(self) -> str | None:
        """Where it is; the variable PROMETHEUS names another one, as it does for the demo."""
        chosen = os.environ.get("PROMETHEUS") if self.package == "prometheus" else None
        return chosen or next((found for name in self.names if (found := shutil.which(name))), None)


PROMETHEUS = Program("prometheus", ("prometheus",))
ALERTMANAGER = Program("prometheus-alertmanager", ("prometheus-alertmanager", "alertmanager"))
NODE = Program("prometheus-node-exporter", ("prometheus-node-exporter", "node_exporter"))
BLACKBOX = Program("prometheus-blackbox-exporter", ("prometheus-blackbox-exporter", "blackbox_exporter"))
GRAFANA = Program("grafana", ("grafana-server", "grafana"))
"""Not in Debian, and not required: the stack starts it where it is."""
REQUIRED = (PROMETHEUS, ALERTMANAGER, NODE, BLACKBOX)


def located() -> dict[Program, str]:
    """Where the required programs are; DemoError names all that are missing and how to get them."""
    missing = [program for program in REQUIRED if program.path is None]
    if missing:
        names = ", ".join(f"`{program.names[0]}`" for program in missing)
        packages = " ".join(program.package for program in missing)
        raise DemoError(
            f"not on PATH: {names}. Install what is missing (Debian and Ubuntu: apt-get install {packages}),"
            " or put it on PATH another way."
        )
    return {program: path for program in REQUIRED if (path := program.path) is not None}
