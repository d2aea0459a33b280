"""Another version of the program: a copy of the package with another number and, if asked for, one schema step more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import watchdog

MORE = """

def _tomorrow(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE tomorrow (id INTEGER)")


STEPS = (*STEPS, Step("{step}", _tomorrow))
"""


class Version:
    """The program as version `number`, in a directory of its own. `step` is the name of its additional schema step."""

    def __init__(self, directory: Path, number: str, step: str = "") -> None:
        self.number = number
        self._root = directory / f"version-{number}"
        package = self._root / "watchdog"
        ours = Path(watchdog.__file__).parent
        shutil.copytree(ours, package)  # with its bytecode, which stays good: the times of the files are kept
        top = package / "__init__.py"
        stated = f'__version__ = "{watchdog.__version__}"'
        assert stated in top.read_text()
        top.write_text(top.read_text().replace(stated, f'__version__ = "{number}"'))
        if step:
            with (package / "migrations" / "__init__.py").open("a") as file:
                file.write(MORE.format(step=step))

    def python(self, *arguments: str, within: float = 120) -> subprocess.CompletedProcess[str]:
        """Run Python with this version of the package, away from the repository, to its end."""
        # Coverage is of the package itself: of a copy there is nothing to report once it is gone.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        return subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
            cwd=self._root,
            env={**kept, "PYTHONPATH": str(self._root), "PYTHONWARNINGS": "error::ResourceWarning", "COLUMNS": "200"},
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this version."""
        return self.python("-m", "watchdog", *arguments)
