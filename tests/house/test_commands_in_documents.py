"""Every command line that a document shows is one that the program takes: its command and its options."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tai_autonomics.cli.app import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
CALL = re.compile(r"(?:^|(?<=[\s`]))(?:\.venv/bin/)?tai-autonomics ([a-z][^`\n]*)", re.MULTILINE)
ASIDE = re.compile(r"\s{2,}|\s+(?:#|\||or )")
"""In a block, what comes after the call: a comment, or what it does, some blanks away."""


def calls_in(text: str) -> list[str]:
    """Of blocks each line, with what continues it, of sentences each span of code."""
    text = re.sub(r"\s*\\\n\s*", " ", text)
    lines = [ASIDE.split(call)[0] for block in BLOCK.findall(text) for call in CALL.findall(block)]
    spans = re.findall(r"`(?:\.venv/bin/)?tai-autonomics ([a-z][^`]*)`", BLOCK.sub("", text))
    # A sentence may name an option alone: whatever its value is, it is there.
    return [" ".join(call.split()) for call in (*lines, *(f"{span} …" for span in spans))]


SHOWN = [(document.name, call) for document in DOCUMENTS for call in calls_in(document.read_text())]


def wrong_with(call: str) -> str:
    """What the program would not take of a call; "" where it takes it."""
    command: Any = get_command(app)
    words = shlex.split(call.replace("…", "X").replace("[", "").replace("]", ""))
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        alternatives = words.pop(0).split("|")
        if lacking := [each for each in alternatives if each not in command.commands]:
            if command.name == "backup":
                break
            return f"no command {lacking[0]}"
        command = command.commands[alternatives[0]]
    options = {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            continue
        for each in word.split("|"):
            name, _, value = each.partition("=")
            if name not in options and name != "--help":
                return f"no option {name}"
        if name != "--help" and not options[name].is_flag and not value:
            if not words:
                return f"{name} without its value"
            words.pop(0)
    return ""


def test_calls_are_found() -> None:
    assert len(SHOWN) > 60
    assert {"README.md", "RUNBOOK.md", "TROUBLESHOOTING.md", "SAVING.md"} <= {document for document, _ in SHOWN}


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("receipts verify -t acme", ""),
        ("receipts verfy", "no command verfy"),
        ("doctor --deep", "no option --deep"),
        ("receipts verify -t", "-t without its value"),
    ],
)
def test_a_call_that_is_not_taken_is_found_out(call: str, wrong: str) -> None:
    assert wrong_with(call) == wrong


def test_every_call_that_a_document_shows_is_taken() -> None:
    assert {(document, call, wrong) for document, call in SHOWN if (wrong := wrong_with(call))} == set()
