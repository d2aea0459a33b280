"""The standard objectives: `rules/objectives/*.yaml`, in the wheel as in a checkout, where thresholds are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from watchdog.rolloutfile.yamltext import load_mapping, read_text

_HERE = Path(__file__).resolve().parent.parent
RULES = "rules"
"""What an objective's file says to the generator of Prometheus rules (`rulebook`)."""
LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def rules_directory() -> Path:
    """Where `objectives/`, `rollouts/` and `prometheus/` are: inside the installed package, else in the checkout."""
    installed = _HERE / "_rules"
    return installed if installed.is_dir() else _HERE.parent / "rules"


def standard_names() -> list[str]:
    """The names that `use:` knows."""
    return sorted(path.stem for path in (rules_directory() / "objectives").glob("*.yaml"))


def standard_objective(name: str) -> dict[str, Any]:
    """The keys of a standard objective, `$labels` where the matchers of a service's series belong.

    The file must exist (`standard_names` says which do); ConfigError when it cannot be read. Its `rules:` belong to
    the generator of Prometheus rules and are left out.
    """
    path = rules_directory() / "objectives" / f"{name}.yaml"
    objective = load_mapping(read_text(path), str(path))[0]
    return {key: value for key, value in objective.items() if key != RULES}


def with_labels(objective: dict[str, Any], labels: dict[str, str]) -> dict[str, Any]:
    """The objective with `$labels` replaced by matchers such as `job="checkout",namespace="shop"`."""
    matchers = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
    return {
        key: value.replace("$labels", matchers) if isinstance(value, str) else value for key, value in objective.items()
    }


def needs_labels(objective: dict[str, Any]) -> bool:
    """Whether the objective asks Prometheus, and so must be told whose series to count."""
    return any(isinstance(value, str) and "$labels" in value for value in objective.values())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
