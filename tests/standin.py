"""What the stand-ins for `docker` and `kubectl` have in common: a world in a file, refusal of what they do not know."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn


def stop(message: str) -> NoReturn:
    """As a program that does not understand its words, or is refused."""
    sys.stderr.write(f"{message}\n")
    sys.exit(1)


def answer(run: Callable[[dict[str, Any], list[str]], None]) -> None:
    """Carry out the words of the command line on the world in the file that STANDIN names; what was asked is kept."""
    file = Path(os.environ["STANDIN"])
    world = json.loads(file.read_text())
    world["asked"].append(sys.argv[1:])
    file.write_text(json.dumps(world))
    run(world, sys.argv[1:])
    file.write_text(json.dumps(world))
