"""`plans check`: whether a plans file can be put in force."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tai_autonomics.cli.options import AsJson, Quiet
from tai_autonomics.cli.output import Output, fail
from tai_autonomics.cli.statuses import EPILOG, ExitStatus
from tai_autonomics.cli.tree import group
from tai_autonomics.errors import InvalidPlans

app = group("Plans files.")


@app.callback()
def plans() -> None: ...


@app.command(epilog=EPILOG)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The plans file; - is standard input.")],
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Check a plans file: every mistake, each with its line."""
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
    document = {"file": name, "valid": True, "digest": found.digest, "plans": names}
    output.show(document, f"{name}: good; plans {', '.join(names)}; digest {found.digest}")
    return ExitStatus.YES
