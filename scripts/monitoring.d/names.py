"""Compares the names of metrics and alerts in monitoring/, docs/ and the program's sources, both ways.

usage: names.py FILE

Writes each expression of the dashboard and of docs/metrics.md to FILE, as a rules file for `promtool check rules`.
"""

import json
import pathlib
import re
import subprocess
import sys

import yaml

# Exported, and of no use in rules or dashboard, each with the reason.
UNUSED = {}

# Labels that Prometheus adds, or that its rules make.
ADDED = {"job", "instance", "le", "alertname", "alertstate"}
PREFIXED = re.compile(r"\b(?:journey|process)_[a-z_]+\b")
RECORDED = re.compile(r"\bjourney:[a-z_0-9]+\b")
SELECTED = re.compile(r"\b((?:journey|process)_[a-z_]+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
ALERT = re.compile(r"\bJourney[A-Z]\w+")

problems = []


def exported():
    """The names in the sources."""
    return set(re.findall(r'^  case \w+ = "(\w+)"$', pathlib.Path("Sources/Telemetry/Metric.swift").read_text(), re.M))


def documented(page):
    """Kind and labels of each metric in docs/metrics.md."""
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \| [^|]+ \| ([^|]*) \|", page, re.M)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def series(metrics):
    """The metric of each name that a query may use."""
    names = {}
    for name, (kind, _) in metrics.items():
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            names[name + suffix] = name
    return names


def check_expression(where, text, metrics, names, records):
    """Returns the metrics and records that it uses."""
    used = set()
    for name in PREFIXED.findall(text):
        if name in names:
            used.add(names[name])
        else:
            problems.append(f"{where}: the program does not export {name}")
    for name in RECORDED.findall(text):
        used.add(name)
        if name not in records:
            problems.append(f"{where}: no rule records {name}")
    for name, selector in SELECTED.findall(text):
        known = ADDED | metrics.get(names.get(name), (None, set()))[1]
        for label in set(LABEL.findall(re.sub(r'"[^"]*"', '""', selector))) - known:
            problems.append(f"{where}: {name} has no label {label}")
    return used


def expressions_of_dashboard():
    dashboard = json.loads(pathlib.Path("monitoring/grafana.json").read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        problems.append("monitoring/grafana.json: two panels have the same id")
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"monitoring/grafana.json, {panel['title']}", target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield f"monitoring/grafana.json, {annotation['name']}", annotation["expr"]


def check_alerts(alerts):
    page = pathlib.Path("docs/runbook.md").read_text()
    sections = dict(re.findall(r"^## (Journey\w+)\n\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    for name in set(sections) - set(alerts):
        problems.append(f"docs/runbook.md: there is no alert {name}")
    for name, alert in alerts.items():
        severity, annotations = alert["labels"]["severity"], alert["annotations"]
        if severity not in ("page", "ticket"):
            problems.append(f"{name}: its severity is {severity}")
        if set(annotations) != {"summary", "description", "runbook"}:
            problems.append(f"{name}: its annotations are {', '.join(annotations)}")
        if annotations.get("runbook") != f"docs/runbook.md#{name.lower()}":
            problems.append(f"{name}: its runbook is {annotations.get('runbook')}")
        section = sections.get(name, "")
        if not section.startswith(f"**{severity}.** "):
            problems.append(f"docs/runbook.md: there is no section {name} that starts with **{severity}.**")
        elif "**Look.**" not in section or "```sh\n" not in section:
            problems.append(f"docs/runbook.md: {name} does not say what to look at")
    for block in re.findall(r"^```(?:sh)?\n(.*?)^```$", page, re.M | re.S):
        if subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True).returncode:
            problems.append(f"docs/runbook.md: not a command: {block.strip()}")
    # Every alert fires in a test, and nobody speaks of one that there is not.
    tests = "".join(path.read_text() for path in pathlib.Path("monitoring/tests").iterdir())
    for name in set(alerts) - set(re.findall(r'alertname="(\w+)"', tests)):
        problems.append(f"monitoring/tests: {name} fires in no test")
    for path in [*pathlib.Path("monitoring").glob("**/*.*"), *pathlib.Path("scripts").glob("drill.d/*.sh"),
                 *map(pathlib.Path, ("docs/runbook.md", "docs/operations.md", "docs/metrics.md"))]:
        for name in set(ALERT.findall(path.read_text())) - set(alerts):
            problems.append(f"{path}: there is no alert {name}")


def main():
    page = pathlib.Path("docs/metrics.md").read_text()
    metrics, sources = documented(page), exported()
    for name in sources ^ set(metrics):
        problems.append(f"docs/metrics.md: {name} is {'not described' if name in sources else 'not exported'}")
    names = series(metrics)
    groups = yaml.safe_load(pathlib.Path("monitoring/alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    records = {rule["record"] for rule in rules if "record" in rule}
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}

    used = set()
    for rule in rules:
        where = f"monitoring/alerts.yaml, {rule.get('record') or rule['alert']}"
        used |= check_expression(where, rule["expr"], metrics, names, records)
    shown = list(expressions_of_dashboard())
    for where, text in shown:
        used |= check_expression(where, text, metrics, names, records)
    for name in (set(metrics) | records) - used - set(UNUSED):
        problems.append(f"neither rules nor dashboard use {name}")
    for name in set(UNUSED) & used:
        problems.append(f"{name} is used, and listed as unused")

    questions = [("docs/metrics.md", text) for text in re.findall(r"^\| [^|]+ \| `([^`|]+)` \|$", page, re.M)]
    if not questions:
        problems.append("docs/metrics.md has no questions")
    for where, text in questions:
        check_expression(where, text, metrics, names, records)
    check_alerts(alerts)

    checked = [
        {"record": f"checked:number_{number}", "expr": text.replace("$__rate_interval", "5m")}
        for number, (_, text) in enumerate(shown + questions)
    ]
    pathlib.Path(sys.argv[1]).write_text(yaml.safe_dump({"groups": [{"name": "checked", "rules": checked}]}))
    for problem in sorted(problems):
        print(problem, file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
