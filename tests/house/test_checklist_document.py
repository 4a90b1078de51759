"""
docs/CHECKLIST.md has every line of the production checklist, and what it names as proof is there.

A line is proven by files that exist, by lines of the sign-off, or by a command and the test or script that runs it; one
that needs a person begins with "Operator:", and "the lines below" have lines below them.
"""

import re
from pathlib import Path
from typing import Final

import pytest
import yaml
from msgspec import Struct

from tai_autonomics.cli.checklist import since
from tai_autonomics.cli.checklist.sections import SECTIONS

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = ROOT / "docs" / "CHECKLIST.md"
LIST: Final = Path(__file__).with_name("production_checklist.txt")
SIGNED: Final = {row.id for section in (*SECTIONS, *since.SECTIONS) for row in section.rows}
ALERTS: Final = {
    rule["alert"]
    for group in yaml.safe_load((ROOT / "observability" / "prometheus" / "alerting.yaml").read_text())["groups"]
    for rule in group["rules"]
}
BELOW: Final = "the lines below"
OPERATOR: Final = "Operator: "
PROGRAMS: Final = frozenset({"docker", "gcloud", "locust", "make", "python", "tai-autonomics", "terraform"})
OWN: Final = {"idempotency", "receipts", "security-headers"}
"""Lines of the sign-off that the production checklist does not have."""
NOT_RUN: Final = re.compile(r"\(minutes long, by hand\)|is the documented command|does not exist")
"""What a cell says of a command that nothing here runs."""
ROW: Final = re.compile(r"\| (?P<line>.+?) \| (?P<proof>.+) \|")
SPAN: Final = re.compile(r"(?P<before>[^\s`]* ?)`(?P<text>[^`]+)`")
PATH: Final = re.compile(r"[\w./-]*[/.][\w./-]+(?:#[\w-]+)?")


class Line(Struct, frozen=True):
    heading: str
    line: str
    is_below: bool
    proof: str = ""


class Proof(Struct, frozen=True):
    """The code spans of a cell, by what they are."""

    paths: list[str]
    signed: list[str]
    alerts: list[str]
    commands: list[str]
    runners: list[str]


def listed() -> list[Line]:
    heading, lines = "", []
    for text in LIST.read_text().splitlines():
        if text.startswith("#"):
            heading = text
        else:
            lines.append(Line(heading, text.strip().removeprefix("- "), text.startswith(" ")))
    return lines


def documented(text: str) -> list[Line]:
    heading, lines = "", []
    for each in text.splitlines():
        if each.startswith("##"):
            heading = each
        elif (row := ROW.fullmatch(each)) and row["line"] not in ("line", "---"):
            lines.append(Line(heading, row["line"].removeprefix("· "), row["line"].startswith("· "), row["proof"]))
    return lines


def proof_in(cell: str) -> Proof:
    proof = Proof([], [], [], [], [])
    for span in SPAN.finditer(cell):
        text = span["text"]
        if span["before"] == "checklist ":
            proof.signed.append(text)
        elif text.split()[0] in PROGRAMS and " " in text:
            proof.commands.append(text)
        elif text.startswith("Tai"):
            proof.alerts.append(text)
        elif PATH.fullmatch(text):
            (proof.runners if cell[: span.start("text")].endswith("run by `") else proof.paths).append(text)
    return proof


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def wrong_with(line: Line) -> list[str]:
    """What a row's proof names and is not so."""
    proof = proof_in(line.proof)
    wrong = [f"no line {each} of the sign-off" for each in proof.signed if each not in SIGNED]
    wrong += [f"no alert {each}" for each in proof.alerts if each not in ALERTS]
    for each in (*proof.paths, *proof.runners):
        path, _, anchor = each.partition("#")
        if not (ROOT / path).exists():
            wrong.append(f"no file {path}")
        elif anchor and anchor not in anchors_of(ROOT / path):
            wrong.append(f"no section {each}")
    if not line.proof.startswith(OPERATOR) and not NOT_RUN.search(line.proof):
        present = [ROOT / each for each in proof.runners if (ROOT / each).exists()]
        if present or not proof.runners:
            unrun = [each for each in proof.commands if not any(runs(file, each) for file in present)]
            wrong += [f"nothing named there runs {each}" for each in unrun]
    if not (line.proof == BELOW or line.proof.startswith(OPERATOR) or any(map(len, _parts(proof)))):
        wrong.append("no proof")
    return wrong


def _parts(proof: Proof) -> tuple[list[str], ...]:
    return proof.paths, proof.signed, proof.commands


def runs(file: Path, command: str) -> bool:
    """Whether the words that say which command it is are in the file: its program's, or of ours the subcommand's."""
    program, *words = command.split()
    named = [word for word in words if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")][:2]
    if program != "tai-autonomics":
        named = [program, *named[:1]]
    text = file.read_text()
    return all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text) for word in named or words[:1])


LINES: Final = documented(DOCUMENT.read_text())


def test_every_line_of_the_production_checklist_is_there_in_its_order() -> None:
    assert [(each.heading, each.line, each.is_below) for each in LINES] == [
        (each.heading, each.line, each.is_below) for each in listed()
    ]
    assert len(LINES) == 295


def test_what_is_proven_by_the_lines_below_has_lines_below() -> None:
    following = [*LINES[1:], None]
    assert [
        each.line
        for each, then in zip(LINES, following, strict=True)
        if each.proof == BELOW and not (then and then.is_below)
    ] == []


def test_every_proof_is_there() -> None:
    assert {each.line: wrong for each in LINES if (wrong := wrong_with(each))} == {}


@pytest.mark.parametrize(
    ("proof", "wrong"),
    [
        ("checklist `health-status`", []),
        ("checklist `health`", ["no line health of the sign-off"]),
        ("`tests/nothing.py`", ["no file tests/nothing.py"]),
        ("`README.md#end`", ["no section README.md#end"]),
        ("`TaiNothing`: `README.md`", ["no alert TaiNothing"]),
        ("`make check`", ["nothing named there runs make check"]),
        ("`make check`, run by `README.md`", []),
        ("`make tea`, run by `.ci/run`", ["nothing named there runs make tea"]),
        ("`tai-autonomics doctor`, run by `tests/unit/cli/test_configuration.py`", []),
        ("it is so", ["no proof"]),
        ("Operator: `gcloud run services list`", []),
    ],
)
def test_a_proof_that_does_not_hold_is_found_out(proof: str, wrong: list[str]) -> None:
    assert wrong_with(Line("", "a line", False, proof)) == wrong


def test_every_line_of_the_sign_off_proves_one_of_the_checklist() -> None:
    named = {each for line in LINES for each in proof_in(line.proof).signed}
    assert SIGNED - named == OWN
