"""What the person at the terminal sees: a live view on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

BAR = 24
STYLES = {"pass": "green", "fail": "bold red", "unknown": "yellow"}
PHASES = {"ramping": "cyan", "soaking": "cyan", "rolling_back": "bold red", "rolled_back": "red", "signed_off": "green"}


class Screen:
    """Lines that stay, and below them (on a terminal) a view of the rollout that moves."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _console()
        self._began = time.monotonic()
        self._live: Live | None = None
        self._told: tuple[object, ...] = ()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began

    def say(self, text: str, style: str = "") -> None:
        """Print a line that stays, with the seconds since the beginning."""
        self._console.print(Text(f"{self.elapsed:6.1f} s  ", "dim") + Text(text, style), soft_wrap=True)

    def heading(self, text: str) -> None:
        """Print the title of what follows."""
        self._console.print()
        self._console.print(Text(text, "bold"))

    def table(self, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        """Print a table; the last column takes what room there is."""
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        self._console.print(table)

    def show(self, status: dict[str, Any]) -> None:
        """Show where a rollout is: its `status --json` object."""
        if self._live is not None:
            self._live.update(view(status))
            return
        told = (status["rollout"], status["phase"], status["exposure"]["actual"], _eighth(status))
        if told != self._told:
            self._told = told
            self.say(line(status))

    def clear(self) -> None:
        """Take the moving view away."""
        if self._live is not None:
            self._live.update(Text(""))


def _console() -> Console:
    """On a terminal as wide as it is; a log or a pipe has no width, and tables need one."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=140)


def _eighth(status: dict[str, Any]) -> int:
    """How many eighths of the window are done: often enough for a line."""
    window = window_of(status)
    return 8 * int(window["current"]) // max(1, int(window["required"]))


def window_of(status: dict[str, Any]) -> dict[str, Any]:
    """Pick the window that matters now: the final one once all users have the feature."""
    window: dict[str, Any] = status["window"]
    if status["phase"] in ("soaking", "signed_off"):
        return {**window, **(window.get("final") or {})}
    return window


def line(status: dict[str, Any]) -> str:
    """Say in one line where a rollout is."""
    window = window_of(status)
    parts = [
        f"{status['rollout']}: {status['phase']}",
        f"exposure {_percent(status['exposure']['actual'])}",
        f"window {window['current']}/{window['required']}",
    ]
    bad = [f"{o['name']} {o['verdict']}" for o in status["objectives"] if o["verdict"] not in ("pass", None)]
    if bad:
        parts.append(", ".join(bad))
    return " | ".join(parts)


def view(status: dict[str, Any]) -> RenderableType:
    """Draw a rollout: phase, exposure, window strip, newest verdicts."""
    window = window_of(status)
    actual = status["exposure"]["actual"] or 0.0
    filled = round(BAR * actual / 100)
    head = Table.grid(padding=(0, 2))
    head.add_row("exposure", Text("█" * filled, "cyan") + Text("░" * (BAR - filled), "dim") + f" {_percent(actual)}")
    current, required = int(window["current"]), int(window["required"])
    strip = Text("■" * current, "green") + Text("·" * (required - current), "dim")
    head.add_row("window", strip + f" {current}/{required}")
    waits = "; ".join(status.get("waiting") or ()) or ((status.get("hold") or {}).get("why") or "")
    head.add_row("waiting for", Text(waits or "nothing", "yellow" if waits else "dim"))
    verdicts = Table.grid(padding=(0, 2))
    for objective in status["objectives"]:
        verdict = objective["verdict"] or "unknown"
        why = (objective.get("why") or "").removeprefix(f"{objective['name']} ")
        verdicts.add_row(objective["name"], Text(verdict, STYLES.get(verdict, "")), Text(why, "dim"))
    phase = Text(status["phase"], PHASES.get(status["phase"], ""))
    title = Text(f"{status['rollout']} {status['version']}: ") + phase
    return Panel(Group(head, Text(""), verdicts), title=title, title_align="left")


def _percent(percent: float | None) -> str:
    return "not read yet" if percent is None else f"{percent:g} %"
