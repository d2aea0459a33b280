"""Runs the configured commands: argument lists, never a shell, each within a time limit, a kill before all others."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from typing import Any

SHOWN = 400
"""Bytes of a command's complaint that are passed on."""


class Failed(Exception):
    """A command did not end well. `known` is False when nobody can say whether it took effect."""

    def __init__(self, message: str, *, known: bool = True) -> None:
        self.known = known
        super().__init__(message)


class Commands:
    """The commands of the configured flags; each ends within `timeout` seconds, or is ended with its children."""

    def __init__(self, flags: dict[str, dict[str, Any]], timeout: float) -> None:
        for flag, entry in flags.items():
            for action in ("set", "kill", "read"):
                args = entry.get(action)
                if args == "last" and action == "read":
                    continue
                if args is not None and not (isinstance(args, list) and args and all(isinstance(a, str) for a in args)):
                    raise ValueError(f"flags.{flag}.{action}: expected a list of strings, the program first")
        self._flags = flags
        self._timeout = timeout
        self._steps: dict[str, subprocess.Popen[bytes]] = {}
        self._overtaken: set[int] = set()
        self._lock = threading.Lock()

    def ready(self, flag: str) -> list[str]:
        """The actions of a flag that have a command. Raises Failed when a program is not there."""
        actions = [action for action in ("set", "kill", "read") if self._flags[flag].get(action)]
        for action in actions:
            args = self._flags[flag][action]
            if args != "last" and shutil.which(args[0]) is None:
                raise Failed(f"the program {args[0]} of flags.{flag}.{action} is not on this machine")
        return actions

    def of(self, flag: str, action: str, document: dict[str, Any]) -> list[str] | None:
        """The command of a change. Without one for `set`, nobody at all is the same as a kill."""
        nobody = not document.get("percent") and not document.get("cohort") and not document.get("audiences")
        args = self._flags[flag].get(action) or (self._flags[flag].get("kill") if nobody else None)
        if args is None:
            return None
        percent = f"{document.get('percent', 0):.10g}"
        return [arg.replace("{flag}", flag).replace("{percent}", percent) for arg in args]

    def percent(self, flag: str) -> float:
        """What the flag's `read` command prints."""
        args = [arg.replace("{flag}", flag) for arg in self._flags[flag]["read"]]
        printed = self.run(flag, "read", args, {"flag": flag, "action": "read"})
        try:
            percent = float(printed)
        except ValueError:
            percent = -1.0
        if not 0 <= percent <= 100:
            raise Failed(f"{args[0]} printed {printed[:40]!r}; expected a number from 0 to 100")
        return percent

    def overtake(self, flag: str) -> None:
        """End a step of this flag that is under way: a kill does not wait for it."""
        with self._lock:
            step = self._steps.get(flag)
            if step is not None:
                self._overtaken.add(step.pid)
                _end(step)

    def run(self, flag: str, action: str, args: list[str], document: dict[str, Any]) -> str:
        """Run one command, the document on its standard input; returns what it printed. Raises Failed."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(json.dumps(document).encode())
            given.seek(0)
            try:
                process = subprocess.Popen(args, stdin=given, stdout=out, stderr=err, start_new_session=True)
            except OSError as error:
                raise Failed(f"{args[0]} could not be started: {error.strerror}") from error
            with self._lock:
                if action == "set":
                    self._steps[flag] = process
            try:
                status = process.wait(self._timeout)
            except subprocess.TimeoutExpired as error:
                raise Failed(f"{args[0]} did not end within {self._timeout:g} s", known=False) from error
            finally:
                with self._lock:
                    self._steps.pop(flag, None)
                    overtaken = process.pid in self._overtaken
                    self._overtaken.discard(process.pid)
                _end(process)
            if overtaken:
                raise Failed(f"{args[0]} was ended, because the flag is being killed", known=False)
            if status != 0:
                err.seek(0)
                said = err.read(SHOWN).decode(errors="replace").strip() or "nothing"
                raise Failed(f"{args[0]} ended with status {status} and said: {said}")
            out.seek(0)
            return out.read(4096).decode(errors="replace").strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and all that it has started; harmless when it has ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
