#!/usr/bin/env python3
"""junit_check.py FILE [FAILURES|+] - is FILE what servers of continuous integration read?

The rules are those of two schemas, written anew: Jenkins' xunit plugin (junit-10.xsd) and Apache Ant's reports (JUnit.xsd), of which the second is
stricter. The counts in a suite's attributes must be those of its cases. Standard library only.
"""
import re
import sys
import xml.etree.ElementTree as ET

NUMBER = r"\d+(\.\d+)?"
SUITE = {"name": r".+", "package": r".*", "id": r"\d+", "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", "hostname": r".+",
         "tests": r"\d+", "failures": r"\d+", "errors": r"\d+", "skipped": r"\d+", "time": NUMBER}
CASE = {"name": r".+", "classname": r".+", "time": NUMBER}


def need(true, what):
    if not true:
        sys.exit(f"{sys.argv[1]}: {what}")


def attributes(e, rules):
    need(set(e.attrib) == set(rules), f"<{e.tag}> has {sorted(e.attrib)}, want {sorted(rules)}")
    for key, rule in rules.items():
        need(re.fullmatch(rule, e.get(key)), f"<{e.tag} {key}={e.get(key)!r}>")


def check_case(case):
    attributes(case, CASE)
    need(len(case) <= 1, "a case has more than one outcome")
    for x in case:
        need(x.tag in ("failure", "error", "skipped"), f"<{x.tag}> in a case")
        need("type" in x.attrib and set(x.attrib) <= {"type", "message"} and len(x) == 0, f"<{x.tag}>: {x.attrib}")
    return case[0].tag if len(case) else "passed"


def check_suite(suite, at):
    attributes(suite, SUITE)
    need(int(suite.get("id")) == at, "suites are not numbered from 0")
    tags = [x.tag for x in suite]
    need(tags[0] == "properties" and tags[-2:] == ["system-out", "system-err"], f"a suite's parts are {tags[:1]} .. {tags[-2:]}")
    need(set(tags[1:-2]) <= {"testcase"}, "something else stands among the cases")
    ends = [check_case(x) for x in suite[1:-2]]
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        need(int(suite.get(key)) == ends.count(tag), f"{key}={suite.get(key)}, but there are {ends.count(tag)}")
    need(int(suite.get("tests")) == len(ends), f"tests={suite.get('tests')}, but there are {len(ends)}")
    names = [(x.get("classname"), x.get("name")) for x in suite[1:-2]]
    need(len(set(names)) == len(names), f"two cases have one name: {[x for x in names if names.count(x) > 1][:1]}")
    return ends.count("failure")


root = ET.parse(sys.argv[1]).getroot()
need(root.tag == "testsuites" and not root.attrib and len(root) > 0, "not <testsuites> with a suite")
need(all(x.tag == "testsuite" for x in root), "something else than suites")
failures = sum(check_suite(x, i) for i, x in enumerate(root))
want = sys.argv[2] if len(sys.argv) > 2 else None
need(want is None or (failures > 0 if want == "+" else failures == int(want)), f"{failures} failures, want {want}")
