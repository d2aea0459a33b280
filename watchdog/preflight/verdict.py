"""The result of a preflight, as plain data and as JUnit XML. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from watchdog.flags.base import Check

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Found:
    """One check in its area. `waived` is the reason of a rollout's author why it need not hold."""

    area: str
    check: Check
    rollout: str | None = None
    waived: str | None = None

    @property
    def holds(self) -> bool:
        """Whether it stands in nobody's way."""
        return self.check.ok or self.waived is not None

    @property
    def name(self) -> str:
        """The check's name, after that of its rollout where it has one."""
        return f"{self.rollout}: {self.check.name}" if self.rollout else self.check.name

    def as_data(self) -> dict[str, Any]:
        """The check as plain data."""
        told = {"area": self.area, "name": self.name, "ok": self.check.ok}
        return {**told, "found": self.check.found, "todo": self.check.todo, "waived": self.waived}


@dataclass(frozen=True, slots=True)
class Preflight:
    """Every check that was made."""

    found: Sequence[Found]

    @property
    def passed(self) -> bool:
        """Whether all of them hold; none at all is not a pass."""
        return bool(self.found) and all(one.holds for one in self.found)

    def as_data(self) -> dict[str, Any]:
        """The object of `preflight --json`."""
        return {"passed": self.passed, "checks": [one.as_data() for one in self.found]}

    def as_junit(self) -> str:
        """The same as JUnit XML: an area is a suite, a check a case, a waived one is skipped."""
        root = ET.Element("testsuites", {"name": "slo-watchdog preflight", **_counts(self.found)})
        for area in dict.fromkeys(one.area for one in self.found):
            checks = [one for one in self.found if one.area == area]
            suite = ET.SubElement(root, "testsuite", {"name": _xml(area), **_counts(checks)})
            for one in checks:
                case = ET.SubElement(
                    suite, "testcase", classname=_xml(f"preflight.{area}"), name=_xml(one.name), time="0"
                )
                _outcome(case, one)
        ET.indent(root)
        return f"{ET.tostring(root, encoding='unicode', xml_declaration=True)}\n"


def _outcome(case: ET.Element, one: Found) -> None:
    if one.check.ok:
        ET.SubElement(case, "system-out").text = _xml(one.check.found)
    elif one.waived is not None:
        ET.SubElement(case, "skipped", message=_xml(f"waived: {one.waived}; {one.check.found}"))
    else:
        failure = ET.SubElement(case, "failure", message=_xml(one.check.found), type="preflight")
        failure.text = _xml(one.check.todo)


def _counts(found: Sequence[Found]) -> dict[str, str]:
    failed = sum(not one.holds for one in found)
    skipped = sum(one.holds and not one.check.ok for one in found)
    return {"tests": str(len(found)), "failures": str(failed), "errors": "0", "skipped": str(skipped), "time": "0"}


def _xml(text: str) -> str:
    """The text without what XML cannot hold; services do send such things."""
    return _NOT_XML.sub("\ufffd", text)
