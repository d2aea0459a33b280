"""Write the dashboards as JSON for Grafana, or say whether they are what the code builds.

    .venv/bin/python deploy/grafana/build.py [--check] [--out DIR] [--runbooks ADDRESS]

With `--check` nothing is written; the exit status is 1 when a file is missing, superfluous or not up to date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from boards import flags, fleet, noise, rollout, watchdog

HERE = Path(__file__).parent
BOARDS = (fleet, rollout, flags, noise, watchdog)


def documents(runbooks: str) -> Iterator[tuple[str, str]]:
    """File names and what belongs into them."""
    for module in BOARDS:
        board = module.build()
        document = json.dumps(board.build(runbooks.rstrip("/")), indent=2, sort_keys=True, ensure_ascii=False)
        yield f"{board.uid}.json", document + "\n"


def main() -> int:
    """Write or check; 1 when a check found a difference."""
    parser = argparse.ArgumentParser(description="Write Grafana's dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing, say what is not up to date")
    parser.add_argument("--out", type=Path, default=HERE / "dashboards", help="directory of the JSON files")
    parser.add_argument("--runbooks", default="/runbooks", help="address below which the runbooks are")
    options = parser.parse_args()
    wanted = dict(documents(options.runbooks))
    there = {path.name: path.read_text(encoding="utf-8") for path in options.out.glob("*.json")}
    if options.check:
        wrong = sorted(name for name in wanted | there if wanted.get(name) != there.get(name))
        for name in wrong:
            sys.stderr.write(f"{options.out / name}: not what deploy/grafana/boards builds; run build.py.\n")
        return int(bool(wrong))
    options.out.mkdir(parents=True, exist_ok=True)
    for name, document in wanted.items():
        (options.out / name).write_text(document, encoding="utf-8")
    for name in there.keys() - wanted.keys():
        (options.out / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
