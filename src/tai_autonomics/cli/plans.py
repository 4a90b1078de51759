"""`plans check`: whether a plans file can be put in force."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tai_autonomics.cli.options import AsJson, Quiet
from tai_autonomics.cli.output import Output, columns, fail
from tai_autonomics.cli.statuses import ExitStatus, epilog
from tai_autonomics.cli.tree import group
from tai_autonomics.domain.actions import type_of
from tai_autonomics.domain.plans import Plan
from tai_autonomics.domain.rules import Rule
from tai_autonomics.errors import InvalidPlans

app = group("Plans files: check.")


@app.callback()
def plans() -> None: ...


@app.command(epilog=epilog("plans check plans.yaml"))
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The plans file; - is standard input.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """
    Check a plans file: every mistake with its line, or what it holds.

    Of a good one, its plans and rules.
    """
    from tai_autonomics.policy.file import FILE_BYTES_MAX, load

    output = Output(json=as_json, quiet=quiet)
    name = "standard input" if str(file) == "-" else str(file)
    if str(file) == "-":
        text = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    else:
        with file.open("rb") as opened:
            text = opened.read(FILE_BYTES_MAX + 1)
    try:
        found = load(text, name=name)
    except InvalidPlans as error:
        if as_json:
            output.show({"file": name, "valid": False, "problems": error.problems})
        for problem in error.problems:
            fail(problem)
        return ExitStatus.WRONG
    names = [str(plan) for plan in found.plans]
    rules = [_shown(plan, rule) for plan in found.plans.values() for rule in plan.governor.rules]
    document = {"file": name, "valid": True, "digest": found.digest, "plans": names, "rules": rules}
    lines = columns([tuple(rules[0]), *(tuple(rule.values()) for rule in rules)]) if rules else []
    output.show(document, f"{name}: good; plans {', '.join(names)}; digest {found.digest}", *lines)
    return ExitStatus.YES


def _shown(plan: Plan, rule: Rule) -> dict[str, str]:
    """What a person looks for in a rule before putting it in force."""
    from tai_autonomics.policy.writing import over_written

    return {
        "plan": plan.name,
        "rule": rule.name,
        "mode": rule.mode,
        "action": type_of(rule.order),
        "signal": rule.signal,
        "over": over_written(rule.over),
        "act_when": " ".join(rule.act_when.text.split()),
        "clear_when": " ".join(rule.clear_when.text.split()),
    }
