"""
`--help` is the manual: every command has a page that a person can use, on a terminal of 80 columns.

A call in it is never wrapped, so that it can be pasted, and has 100.
"""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.cli.exports import CommandLine
from typer.main import get_command

from tai_autonomics.cli.app import app
from tai_autonomics.cli.statuses import ExitStatus

COLUMNS, COLUMNS_OF_A_CALL = 80, 100


def pages() -> Iterator[tuple[str, Any]]:
    """Each command of the program by its words, the program itself by none."""
    waiting: list[tuple[str, Any]] = [("", get_command(app))]
    while waiting:
        words, command = waiting.pop()
        yield words, command
        for name, below in getattr(command, "commands", {}).items():
            waiting.append((f"{words} {name}".strip(), below))


PAGES = dict(pages())
every_page = pytest.mark.parametrize("words", sorted(PAGES))


def page_of(cli: CommandLine, words: str) -> list[str]:
    assert cli(*words.split(), "--help") == 0
    return cli.out.splitlines()


def examples_in(page: list[str]) -> list[str]:
    return [line.strip() for line in page if is_call(line)]


def is_call(line: str) -> bool:
    return line.startswith("    tai-autonomics ")


def parse(example: str) -> None:
    """As the program would, without doing it. Raises what a misused command ends in."""
    command: Any = get_command(app)
    name, *words = shlex.split(example.partition(" > ")[0].partition(" | ")[0])
    context = command.make_context(name, words)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        name, *words = words
        command = command.commands[name]
        context = command.make_context(name, list(words), parent=context)


def test_every_command_is_walked() -> None:
    assert len(PAGES) > 50
    assert {"", "serve", "receipts verify", "backup", "backup drill", "completion"} <= PAGES.keys()


@every_page
def test_a_page_says_what_the_command_does_and_how_it_ends_within_80_columns(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    page = page_of(cli, words)
    assert page[0].startswith(f"Usage: tai-autonomics {words}".rstrip())
    assert page[2].startswith("  ")
    assert page[2].strip()[0].isupper()
    ending = page[page.index("  Exit status:") + 1 :]
    told = {int(text) for line in ending for text in line.replace(";", " ").split() if text.isdecimal()}
    assert told == {int(status) for status in ExitStatus}
    assert [line for line in page if len(line) > (COLUMNS_OF_A_CALL if is_call(line) else COLUMNS)] == []
    assert [line for line in page[1:] if line.endswith("...")] == []


@every_page
def test_every_option_and_argument_says_what_it_is(words: str) -> None:
    assert [each.name for each in PAGES[words].params if not each.help and each.name != "help"] == []


@every_page
def test_a_command_shows_calls_and_the_program_takes_them(cli: CommandLine, words: str) -> None:
    is_group = hasattr(PAGES[words], "commands") and words != "backup"
    examples = examples_in(page_of(cli, words))
    assert is_group or examples
    for example in examples:
        assert example.startswith(f"tai-autonomics {words}")
        parse(example)


def test_a_call_that_the_program_does_not_take_is_found_out() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse("tai-autonomics receipts verify --deep")
    with pytest.raises(Exception, match="Missing parameter: tenant"):
        parse("tai-autonomics receipts show acme")


@every_page
def test_a_misused_command_ends_in_one_line_and_2(cli: CommandLine, words: str) -> None:
    assert cli(*words.split(), "--no-such-option") == 2
    assert cli.err.startswith(f"tai-autonomics {words}".rstrip() + ": No such option")
    assert (cli.err.count("\n"), cli.out) == (1, "")
