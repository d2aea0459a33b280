"""A preflight as JUnit XML: an area is a suite, a check a case, a waived one is skipped, a warning is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from watchdog.preflight.verdict import Found, Preflight

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(verdict: Preflight) -> str:
    """The document."""
    root = ET.Element("testsuites", {"name": "slo-watchdog preflight", **_counts(verdict.found)})
    for area in verdict.areas:
        checks = verdict.of(area)
        suite = ET.SubElement(root, "testsuite", {"name": _xml(area), **_counts(checks)})
        for one in checks:
            where = f"preflight.{area}"
            case = ET.SubElement(suite, "testcase", classname=_xml(where), name=_xml(one.name), time="0")
            _outcome(case, one)
    ET.indent(root)
    return f"{ET.tostring(root, encoding='unicode', xml_declaration=True)}\n"


def _outcome(case: ET.Element, one: Found) -> None:
    if one.outcome == "failed":
        failure = ET.SubElement(case, "failure", message=_xml(one.check.found), type="preflight")
        failure.text = _xml(one.check.todo)
    elif one.outcome == "waived":
        ET.SubElement(case, "skipped", message=_xml(f"waived: {one.waived}; {one.check.found}"))
    elif one.outcome == "warning":
        ET.SubElement(case, "system-err").text = _xml(f"warning: {one.check.found}; {one.check.todo}")
    else:
        ET.SubElement(case, "system-out").text = _xml(one.check.found)


def _counts(found: Sequence[Found]) -> dict[str, str]:
    failed = sum(one.outcome == "failed" for one in found)
    skipped = sum(one.outcome == "waived" for one in found)
    return {"tests": str(len(found)), "failures": str(failed), "errors": "0", "skipped": str(skipped), "time": "0"}


def _xml(text: str) -> str:
    """The text without what XML cannot hold; services do send such things."""
    return _NOT_XML.sub("\ufffd", text)
