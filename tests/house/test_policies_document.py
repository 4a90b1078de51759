"""What docs/POLICIES.md shows can be put in force, and what it says of conditions is so."""

import re
from pathlib import Path
from typing import get_args

import pytest

from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.plans import Quota
from tai_autonomics.domain.rules import RULES_MAX, Mode
from tai_autonomics.policy import cel, governing, orders
from tai_autonomics.policy.file import load
from tai_autonomics.policy.mistakes import FUNCTIONS, NotACondition

DOCUMENT = Path(__file__).parents[2].joinpath("docs", "POLICIES.md").read_text()
FILES = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
CONDITIONS = DOCUMENT.partition("| condition | |")[2].partition("**Bounds.**")[0]
LANGUAGE = cel.Language({"api_calls": Quota("api_calls", 100, "day", "hard")})


@pytest.mark.parametrize("text", FILES)
def test_a_shown_file_is_good(text: str) -> None:
    assert load(text.encode(), name="docs/POLICIES.md").plans


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
