"""What docs/POLICIES.md shows can be put in force, does what it shows, and what it says of conditions is so."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest

from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.budgets import spent
from tai_autonomics.domain.budgets import use_at as budget_use_at
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Per, Quota
from tai_autonomics.domain.quota import QuotaUse, use_at
from tai_autonomics.domain.rules import RULES_MAX, Budget, Mode
from tai_autonomics.policy import cel, governing, orders
from tai_autonomics.policy.file import load
from tai_autonomics.policy.mistakes import FUNCTIONS, NotACondition

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = DOCS.joinpath("POLICIES.md").read_text()
FILES = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
CONDITIONS = DOCUMENT.partition("| condition | |")[2].partition("**Bounds.**")[0]
LANGUAGE = cel.Language({"api_calls": Quota("api_calls", 100, "day", "hard")})


@pytest.mark.parametrize("text", FILES)
def test_a_shown_file_is_good(text: str) -> None:
    assert load(text.encode(), name="docs/POLICIES.md").plans


def test_what_is_said_of_another_per_is_so() -> None:
    assert "the window begins anew with each turn" in DOCUMENT
    now, other = Moment("2026-11-24T12:30:15.000000Z"), Budget(2, 7_200)
    spent_once = spent(budget_use_at(now, Budget(1, 3_600), None))
    assert budget_use_at(now, Budget(2, 3_600), spent_once).used == 1
    in_turn = spent(budget_use_at(now, other, spent_once))
    assert [budget_use_at(now, other, spent_once).used, budget_use_at(now, Budget(1, 3_600), in_turn).used] == [0, 0]
    consumed = QuotaUse(90, "day", Moment("2026-11-24T00:00:00.000000Z"), Moment("2026-11-25T00:00:00.000000Z"))
    pers: tuple[Per, ...] = ("day", "month")
    assert [use_at(now, per, consumed).used for per in pers] == [90, 0]


def test_every_mode_has_an_example() -> None:
    shown = {
        rule.mode
        for text in FILES
        for plan in load(text.encode(), name="x").plans.values()
        for rule in plan.governor.rules
    }
    assert shown == set(get_args(Mode))


@pytest.mark.parametrize("text", re.findall(r"^\| `(.*?)` \|", CONDITIONS, re.MULTILINE))
def test_a_shown_condition_is_good(text: str) -> None:
    assert LANGUAGE.read(text)[0].text == text


def test_a_whole_number_is_refused_with_the_words_of_the_document() -> None:
    assert 'with "write 80.0"' in CONDITIONS
    with pytest.raises(NotACondition, match=r"write 80\.0"):
        LANGUAGE.read("window.avg > 80")


def test_every_name_function_and_action_is_there() -> None:
    for name in cel.FACTS:
        assert f"`{name}`" in DOCUMENT or f"`.{name.partition('.')[2]}`" in DOCUMENT
    for action in get_args(ActionType):
        members = (*orders.TAKES[action], *orders.MAY_TAKE.get(action, ()))
        (row,) = re.findall(rf"^\| `{re.escape(action)}` \|.*$", DOCUMENT, re.MULTILINE)
        assert [member for member in members if f"`{member}`" not in row] == []
    assert all(f"`{function}`" in DOCUMENT for function in ("has", *FUNCTIONS))
    for member in governing.REQUIRED + governing.OPTIONAL:
        assert f"`{member}`" in DOCUMENT


def test_the_bounds_are_those_of_the_code() -> None:
    for bound in (cel.TEXT_CHARACTERS_MAX, cel.LABELS_CHARACTERS_MAX, cel.PATTERN_PLACES_MAX, RULES_MAX):
        assert f"{bound:,}" in DOCUMENT


EXAMPLE = re.compile(
    r"(<!-- example: .*? -->\n```\ntai-autonomics (simulate (\w+)\.yaml .*?)\n```\n\n```\n)(.*?)```\n", re.DOTALL
)
WRITE_ANEW = "write it anew: python -m tests.house.test_policies_document"


def carried_out(command: str, mode: str) -> tuple[str, bytes]:
    """What an example of the document prints, and its picture; it is given the file that the document shows for it."""
    (file,) = (text for text in FILES if f"mode: {mode}\n" in text and text.startswith("plans:\n  basic:"))
    with TemporaryDirectory() as directory:
        place = Path(directory)
        place.joinpath(f"{mode}.yaml").write_text(file)
        place.joinpath("examples").mkdir()
        place.joinpath("examples", f"{mode}.csv").write_bytes(DOCS.joinpath("examples", f"{mode}.csv").read_bytes())
        call = [sys.executable, "-m", "tai_autonomics", *shlex.split(command)]
        done = subprocess.run(call, cwd=place, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout, place.joinpath("examples", f"{mode}.svg").read_bytes()


def examples() -> dict[str, tuple[str, str]]:
    """The commands that the document shows, by mode, and what it says that they print."""
    return {mode: (command, said) for _, command, mode, said in EXAMPLE.findall(DOCUMENT)}


@pytest.mark.parametrize("mode", get_args(Mode))
def test_a_shown_example_prints_and_draws_what_is_shown(mode: str) -> None:
    command, said = examples()[mode]
    printed, picture = carried_out(command, mode)
    assert printed == said, WRITE_ANEW
    assert picture == DOCS.joinpath("examples", f"{mode}.svg").read_bytes(), WRITE_ANEW
    assert f"](examples/{mode}.svg)" in DOCUMENT


def test_every_example_is_shown() -> None:
    assert {file.stem for file in DOCS.joinpath("examples").iterdir()} == set(examples())


def written_anew(found: "re.Match[str]") -> str:
    printed, picture = carried_out(found[2], found[3])
    DOCS.joinpath("examples", f"{found[3]}.svg").write_bytes(picture)
    return f"{found[1]}{printed}```\n"


if __name__ == "__main__":
    DOCS.joinpath("POLICIES.md").write_text(EXAMPLE.sub(written_anew, DOCUMENT))
