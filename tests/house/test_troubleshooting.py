"""docs/TROUBLESHOOTING.md knows every reason of a problem, and quotes messages that the code has."""

import re
from functools import cache
from pathlib import Path

import pytest

from tai_autonomics.ingress.replies import REASONS
from tai_autonomics.settings import TABLE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "TROUBLESHOOTING.md").read_text()
RUNBOOK = (ROOT / "docs" / "RUNBOOK.md").read_text()
OTHERS = {
    "Address already in use",
    "connection failed",
    "database or disk is full",
    "file is not a database",
    "The query requires an index",
    "webhook",
    "does not take (double, int",
}
"""What the system and the libraries of the stores say, and the type of an action."""
NAMES = {name for setting in TABLE.values() for name in (setting.name, f"{setting.name}_FILE")}
_ADJACENT = re.compile(r'"\s*\n\s*f?"')


@cache
def code() -> str:
    """Every text that the program or make can say, with what is written in pieces joined."""
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests" / "engines").glob("*.py")]
    return "\n".join([_ADJACENT.sub("", path.read_text()) for path in sources] + [(ROOT / "Makefile").read_text()])


def between_markers() -> str:
    found = re.search(r"<!-- reasons -->\n(.*?)<!-- /reasons -->", TEXT, re.DOTALL)
    assert found is not None
    return found[1]


def messages() -> list[str]:
    """What the first column of the tables of messages quotes."""
    tables = TEXT.partition("## `make`")[2].partition("## An answer")[0]
    return [
        quoted for row in re.findall(r"^\| (`.*?) \|", tables, re.MULTILINE) for quoted in re.findall("`(.*?)`", row)
    ]


def test_it_has_every_reason_of_a_problem_and_no_other_in_the_order_of_the_code() -> None:
    assert re.findall(r"^\| `(\w+)` \|", between_markers(), re.MULTILINE) == [*REASONS]


def test_there_are_messages() -> None:
    assert len(messages()) > 40


@pytest.mark.parametrize("message", messages())
def test_a_quoted_message_is_one_of_the_code(message: str) -> None:
    said = code()
    pieces = {piece.strip(" :;,()") for piece in re.split("…|: |; ", message)}
    assert {piece for piece in pieces if piece not in said} - NAMES - OTHERS == set()


def test_every_section_of_the_runbook_that_it_names_is_there() -> None:
    named = {" ".join(each.split()) for each in re.findall(r'`RUNBOOK`,\s"(.*?)"', TEXT)}
    assert len(named) > 8
    assert named - set(re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE)) == set()


def test_every_setting_that_it_names_is_read() -> None:
    assert set(re.findall(r"\bTAI_[A-Z_]+\b", TEXT)) - NAMES == set()
