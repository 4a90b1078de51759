"""Long work tells how far it has come: a bar on a terminal, lines elsewhere, nothing for short work."""

import io

import pytest

from tai_autonomics.cli import progress as module
from tai_autonomics.cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, set by the test."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_short_work_shows_nothing(capsys: pytest.CaptureFixture[str], seconds: list[float]) -> None:
    with progress("verifying", total=100, unit="bytes") as tell:
        seconds[0] += 9
        tell(50)
    assert capsys.readouterr().err == ""


def test_long_work_says_a_line_now_and_then(capsys: pytest.CaptureFixture[str], seconds: list[float]) -> None:
    with progress("verifying", total=4000, unit="bytes") as tell:
        seconds[0] += 10
        tell(1000)
        tell(1001)
        seconds[0] += 10
        tell(2000)
    assert capsys.readouterr().err.splitlines() == [
        "verifying: 1,000 bytes in 10 s, 25 %, about 30 s left",
        "verifying: 2,000 bytes in 20 s, 50 %, about 20 s left",
    ]


def test_work_of_unknown_size_says_how_much_is_done(capsys: pytest.CaptureFixture[str], seconds: list[float]) -> None:
    with progress("importing", total=None, unit="receipts") as tell:
        seconds[0] += 10
        tell(7)
    assert capsys.readouterr().err == "importing: 7 receipts in 10 s\n"


def test_quiet_work_shows_nothing_however_long(capsys: pytest.CaptureFixture[str], seconds: list[float]) -> None:
    with progress("verifying", total=1, unit="bytes", shown=False) as tell:
        seconds[0] += 1e9
        tell(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("unit", ["bytes", "receipts"])
@pytest.mark.parametrize("total", [None, 2000])
def test_a_terminal_gets_a_bar(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], unit: module.Unit, total: int | None
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("verifying", total=total, unit=unit) as tell:
        seconds[0] += 1
        tell(1000)
        seconds[0] += 1
        tell(2000)
    assert "verifying" in terminal.getvalue()
