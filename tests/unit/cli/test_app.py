"""How a command line ends, whatever it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.exports import CommandLine

from tai_autonomics import __version__
from tai_autonomics.__main__ import main
from tai_autonomics.cli.statuses import ExitStatus, status_of
from tai_autonomics.cli.tree import MODULES
from tai_autonomics.errors import (
    BrokenChain,
    InvalidPlans,
    InvalidSetting,
    Malformed,
    NotCanonical,
    StoreUnavailable,
    Unknown,
)
from tai_autonomics.policy.file import shipped


def test_the_version_is_printed(cli: CommandLine) -> None:
    assert cli("--version") == 0
    assert cli.out == f"tai-autonomics {__version__}\n"


def test_as_the_first_process_of_a_container_it_is_ended_by_sigterm_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    monkeypatch.setattr(sys, "argv", ["tai-autonomics", "--version"])
    try:
        with pytest.raises(SystemExit):
            main()
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        with pytest.raises(SystemExit) as ended:
            handler(signal.SIGTERM, None)
        assert ended.value.code == 143
    finally:
        signal.signal(signal.SIGTERM, before)


def test_nothing_is_imported_before_the_first_process_hears_sigterm() -> None:
    looks = "import sys, tai_autonomics.__main__; sys.exit('tai_autonomics.cli.app' in sys.modules)"
    subprocess.run([sys.executable, "-c", looks], timeout=60, check=True)


def test_without_a_command_the_help_is_shown_and_the_status_is_usage(cli: CommandLine) -> None:
    assert cli() == 2
    assert all(name in cli.err for name in MODULES)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("recipts",),
            "tai-autonomics: No such command 'recipts'. Did you mean 'receipts'. See tai-autonomics --help\n",
        ),
        (("receipts", "list"), "tai-autonomics receipts list: Missing option '--tenant' / '-t'. See"),
        (("receipts", "erase", "-t", "a", "--seq", "0", "--part", "x"), "tai-autonomics receipts erase: Invalid value"),
        (("serve", "--port", "70000"), "tai-autonomics serve: Invalid value for '--port'"),
        (("serve", "--port", "x"), "tai-autonomics serve: Invalid value for '--port': 'x' is not a whole number. See"),
    ],
)
def test_a_misused_command_ends_in_one_line_and_2(cli: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    assert cli(*arguments) == 2
    assert cli.err.startswith(said)
    assert cli.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BrokenChain(tenant="a", seq=1, step=2, detail="x"), 1),
        (NotCanonical("x"), 1),
        (Unknown("x"), 1),
        (Malformed("malformed_request", "x"), 2),
        (FileNotFoundError(2, "x"), 2),
        (ValueError("x"), 2),
        (StoreUnavailable("x"), 69),
        (InvalidSetting("x"), 78),
        (InvalidPlans(("x",)), 78),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
    ],
)
def test_each_error_has_its_status(error: BaseException, status: int) -> None:
    assert status_of(error) is ExitStatus(status)


def test_an_error_has_a_traceback_only_at_log_level_debug(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("receipts", "verify", "missing.jsonl") == 2
    assert cli.err == "tai-autonomics: missing.jsonl: No such file or directory\n"
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert cli("receipts", "verify", "missing.jsonl") == 2
    assert cli.err.startswith("Traceback")
    assert cli.err.endswith("tai-autonomics: missing.jsonl: No such file or directory\n")


def test_what_nobody_foresaw_is_one_line_too(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("so it goes")

    monkeypatch.setattr("tai_autonomics.settings.Settings.load", fails)
    assert cli("config") == 2
    assert cli.err == "tai-autonomics: RuntimeError: so it goes (LOG_LEVEL=debug shows where)\n"


def test_an_interrupt_ends_in_130_and_says_nothing(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tai_autonomics.settings.Settings.load", interrupted)
    assert (cli("config"), cli.out, cli.err) == (130, "", "")


def test_a_reader_that_has_had_enough_is_no_error(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "tai_autonomics", "config"],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tai_autonomics", "config"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, b"tai-autonomics: No space left on device\n")


def test_a_terminal_that_lacks_a_character_gets_its_number(tmp_path: Path) -> None:
    (tmp_path / "Zo\u00eb.yaml").write_bytes(shipped())
    done = subprocess.run(
        [sys.executable, "-m", "tai_autonomics", "plans", "check", "Zo\u00eb.yaml"],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.split(b":")[0]) == (0, b"Zo\\xeb.yaml")


def test_no_terminal_library_is_loaded_where_nothing_long_is_shown(tmp_path: Path) -> None:
    code = "import sys; from tai_autonomics.cli.app import run; run(['config', '-q']); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path, timeout=60, check=True)
    assert done.stdout == b"False\n"
