"""The verdict as JUnit XML: a test case for each objective, one for whether the run can be believed, and one for the
search for capacity, if there was one."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from tfs_locust.report import units
from tfs_locust.report.capacity import capacity_of
from tfs_locust.report.report import Result

_OF_OBJECTIVES = ("objective-failed:", "undecided:")


def junit_xml(result: Result) -> str:
    """A broken objective is a failure; an undecided one, or a run not to be believed, an error. A search without a
    number is a failure if no load passed, else an error."""
    seconds = f"{result['load_s']:.3f}"
    doubts = [reason for reason in result["verdict"]["reasons"] if not reason.startswith(_OF_OBJECTIVES)]
    states = [objective["state"] for objective in result["objectives"]]
    capacity = capacity_of(result)
    if capacity is not None:
        states.append("UNDECIDED" if capacity["state"] == "INVALID" else capacity["state"])
    suite = ET.Element(
        "testsuite",
        name="tfs_locust",
        tests=str(len(states) + 1),
        failures=str(states.count("FAIL")),
        errors=str(states.count("UNDECIDED") + bool(doubts)),
        skipped="0",
        time=seconds,
    )
    valid = ET.SubElement(
        suite, "testcase", classname="tfs_locust.validity", name="the run can be believed", time=seconds
    )
    if doubts:
        ET.SubElement(valid, "error", message=doubts[0]).text = "\n".join(doubts)
    for objective in result["objectives"]:
        case = ET.SubElement(
            suite, "testcase", classname="tfs_locust.objective", name=objective["expression"], time=seconds
        )
        text = f"measured {units.measured(objective['metric'], objective['measured'])}"
        if objective["note"]:
            text += f"; {objective['note']}"
        if objective["state"] != "PASS":
            ET.SubElement(case, "failure" if objective["state"] == "FAIL" else "error", message=text)
        else:
            ET.SubElement(case, "system-out").text = text
    if capacity is not None:
        case = ET.SubElement(
            suite, "testcase", classname="tfs_locust.capacity", name="the capacity is found", time=seconds
        )
        if states[-1] != "PASS":
            ET.SubElement(case, "failure" if states[-1] == "FAIL" else "error", message=capacity["sentence"])
        else:
            ET.SubElement(case, "system-out").text = capacity["sentence"]
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"
