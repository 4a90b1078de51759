"""Shells complete command lines: what they read, and what they are answered."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.exports import CommandLine

from tai_autonomics.cli.tree import MODULES


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_what_asks_the_program(cli: CommandLine, shell: str) -> None:
    assert cli("completion", shell) == 0
    assert f"_TAI_AUTONOMICS_COMPLETE=complete_{shell}" in cli.out


def test_a_shell_that_is_not_known_is_misuse(cli: CommandLine) -> None:
    assert cli("completion", "tcsh") == 2
    assert cli.err.startswith("tai-autonomics completion: Invalid value for 'SHELL': 'tcsh' is not one of")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tai-autonomics rec", ["receipts"]),
        ("tai-autonomics backup ", ["drill", "prune"]),
        ("tai-autonomics receipts verify --he", ["--head", "--help"]),
        ("tai-autonomics simulate plans.yaml --outcome s", ["succeeded"]),
        ("tai-autonomics completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_what_may_come_next_is_offered(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, words: str, offered: list[str]
) -> None:
    monkeypatch.setenv("_TAI_AUTONOMICS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert cli() == 0
    assert cli.out.split() == offered


def test_zsh_and_fish_are_answered_in_their_own_way(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "tai-autonomics rec")
    monkeypatch.setenv("_TAI_AUTONOMICS_COMPLETE", "complete_zsh")
    assert cli() == 0
    assert cli.out.startswith("""_arguments '*: :(("receipts":"Receipts""")
    monkeypatch.setenv("_TAI_AUTONOMICS_COMPLETE", "complete_fish")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert cli() == 0
    assert cli.out.startswith("receipts\tReceipts: read")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "is-args")
    assert cli() == 0
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "tai-autonomics receipts verify some")
    assert cli() == 1


@pytest.mark.parametrize("instruction", ["nonsense", "complete_tcsh", "dance_bash"])
def test_an_instruction_that_is_none_ends_in_one_line(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, instruction: str
) -> None:
    monkeypatch.setenv("_TAI_AUTONOMICS_COMPLETE", instruction)
    assert cli() == 1
    assert (cli.out, cli.err.count("\n")) == ("", 1)


@pytest.mark.skipif(shutil.which("bash") is None, reason="this machine has no bash")
def test_bash_itself_completes(tmp_path: Path) -> None:
    program = tmp_path / "tai-autonomics"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tai_autonomics "$@"\n')
    program.chmod(0o755)
    script = """
        source <(tai-autonomics completion bash)
        COMP_WORDS=(tai-autonomics pl); COMP_CWORD=1
        $(complete -p tai-autonomics | sed 's/.*-F \\([^ ]*\\).*/\\1/') tai-autonomics
        echo "${COMPREPLY[*]}"
    """
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "plans" in MODULES
    assert (done.stdout, done.stderr) == ("plans\n", "")
