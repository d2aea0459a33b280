"""Prints made-up reports with a headless Chromium and counts the A4 pages: `python -m bench.report_pages [DIR]`.

Needs `chromium` on the PATH. Exits 1 when a report of a standard watch takes more than four pages.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.report_evidence import SCENES, scene
from watchdog.report import build, render_html

MOST = 4
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-pdf-header-footer",
)


def pages(html: Path, pdf: Path, profile: Path) -> int:
    """Print a page to `pdf` and count its sheets."""
    command = ["chromium", *FLAGS, f"--user-data-dir={profile}", f"--print-to-pdf={pdf}", html.absolute().as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))


def main(directory: Path) -> int:
    """Print every scene; the exit status."""
    directory.mkdir(parents=True, exist_ok=True)
    worst = 0
    with tempfile.TemporaryDirectory() as profile:
        for name in SCENES:
            html = directory / f"{name}.html"
            html.write_text(render_html(build(scene(name))), encoding="utf-8")
            count = pages(html, html.with_suffix(".pdf"), Path(profile))
            print(f"{name:12} {count} pages, {html.stat().st_size / 1000:.0f} kB of HTML")
            worst = max(worst, count)
    return 0 if worst <= MOST else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/reports")))
