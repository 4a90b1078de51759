"""What a log line holds, what it never holds, and that nothing in it can break it."""

import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from tests.recorded import CALLER, TRACE

from tai_autonomics.application.ports import Answered
from tai_autonomics.telemetry import logs as module
from tai_autonomics.telemetry.logs import Logs

ANSWERED = Answered("POST", "/marketplace", 200, 0.00125, 210, 900, "req-1", "192.0.2.7")


class StoppedClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 24, 2, 1, 33, 123456, UTC)

    def monotonic(self) -> float:
        return 0.0


class Written:
    """A log and the lines that it has written."""

    def __init__(self, **changed: Any) -> None:
        self.stream = io.BytesIO()
        self.logs = Logs(self.stream, StoppedClock(), **{"level": "debug", "form": "json", **changed})

    def text(self) -> str:
        self.logs.close()
        return self.stream.getvalue().decode()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def stdlib() -> Iterator[None]:
    """Gives the standard library's logging back as pytest had it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers[:] = []
    yield
    root.handlers[:], root.level = handlers, level


def test_a_request_is_one_line_as_cloud_logging_reads_it() -> None:
    written = Written(project_id="acme-prod")
    written.logs.answered(
        Answered(
            "POST",
            "/marketplace",
            403,
            0.00125,
            210,
            900,
            "req-1",
            "192.0.2.7",
            trace="4bf92f3577b34da6a3ce929d0e0e4736",
            caller="robot",
            tenant="acme",
            command_id="http:robot:k1",
            receipt="9f2c",
            reason="entitlement_inactive",
        )
    )
    assert written.lines() == [
        {
            "severity": "INFO",
            "time": "2026-11-24T02:01:33.123456Z",
            "message": "POST /marketplace 403",
            "httpRequest": {
                "requestMethod": "POST",
                "requestUrl": "/marketplace",
                "requestSize": "210",
                "status": 403,
                "responseSize": "900",
                "remoteIp": "192.0.2.7",
                "latency": "0.001250s",
            },
            "request_id": "req-1",
            "caller": "robot",
            "tenant": "acme",
            "command_id": "http:robot:k1",
            "receipt": "9f2c",
            "reason": "entitlement_inactive",
            "logging.googleapis.com/trace": "projects/acme-prod/traces/4bf92f3577b34da6a3ce929d0e0e4736",
        }
    ]


def test_a_request_that_is_recorded_in_its_trace_says_where() -> None:
    written = Written()
    written.logs.answered(replace(ANSWERED, trace=TRACE, span=CALLER))
    written.logs.answered(replace(ANSWERED, trace=TRACE))
    recorded, told_on = written.lines()
    assert (recorded["logging.googleapis.com/spanId"], recorded["logging.googleapis.com/trace_sampled"]) == (
        CALLER,
        True,
    )
    assert [name for name in told_on if name.startswith("logging.")] == ["logging.googleapis.com/trace"]


def test_what_was_not_found_out_is_not_in_the_line() -> None:
    written = Written()
    written.logs.answered(ANSWERED)
    (line,) = written.lines()
    assert list(line) == ["severity", "time", "message", "httpRequest", "request_id"]


@pytest.mark.parametrize(("status", "severity"), [(200, "INFO"), (404, "INFO"), (500, "ERROR"), (503, "WARNING")])
def test_a_request_is_as_severe_as_its_status(status: int, severity: str) -> None:
    written = Written()
    written.logs.answered(Answered("GET", "/health", status, 0.1, 0, 0, "r", ""))
    assert [line["severity"] for line in written.lines()] == [severity]


def test_lines_below_the_level_are_not_written() -> None:
    written = Written(level="warning")
    written.logs.answered(ANSWERED)
    written.logs.log.info("quiet")
    written.logs.log.warning("loud", path="data")
    assert written.lines() == [
        {"severity": "WARNING", "time": "2026-11-24T02:01:33.123456Z", "message": "loud", "path": "data"}
    ]


@pytest.mark.parametrize("hostile", ["a\nb", '"}\n{"severity":"ERROR"}', "\x1b[2J", "\u2028", "\ud800", "\0"])
def test_nothing_from_outside_makes_a_second_line(hostile: str) -> None:
    written = Written()
    written.logs.answered(Answered("GET", hostile, 200, 0.1, 0, 0, hostile, hostile, caller=hostile))
    written.logs.log.info(hostile, field=hostile, number=2**70, other=object)
    text = written.text()
    assert text.count("\n") == 2
    assert [isinstance(json.loads(line), dict) for line in text.split("\n")[:2]] == [True, True]


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_error_has_its_traceback_and_no_locals(form: str) -> None:
    written = Written(form=form)
    try:
        fail_holding("s3" + "cr3t")
    except ValueError as error:
        written.logs.log.error("broken", error=error)
    text = written.text()
    assert "Traceback (most recent call last):" in text
    assert "ValueError: deep" in text
    assert "s3cr3t" not in text


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_error_at_hand_is_found_by_itself_and_without_locals_too(form: str) -> None:
    written = Written(form=form)
    try:
        fail_holding("s3" + "cr3t")
    except ValueError:
        written.logs.log.exception("broken")
    text = written.text()
    assert "ValueError: deep" in text
    assert "s3cr3t" not in text


def test_a_log_does_not_load_rich_and_leaves_it_to_others() -> None:
    program = (
        "import sys, tai_autonomics.telemetry.logs\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'rich']\n"
        "import rich.console"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def fail_holding(secret: str) -> None:
    raise ValueError("deep")


def test_a_long_traceback_keeps_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRACEBACK_CHARACTERS_MAX", 20)
    written = Written()
    written.logs.log.error("broken", error=ValueError("x" * 100 + " the end"))
    assert [line["stack_trace"] for line in written.lines()] == ["xxxxxxxxxxx the end\n"]


@pytest.mark.usefixtures("stdlib")
def test_what_libraries_log_goes_the_same_way() -> None:
    written = Written(level="info")
    written.logs.take_over_stdlib()
    logging.getLogger("uvicorn.error").warning("ASGI app is late on %s", "127.0.0.1")
    logging.getLogger("uvicorn.error").info("Started server process, as each of its servers says")
    logging.getLogger("uvicorn.access").info("nor this")
    logging.getLogger("odd").log(35, "between warning and error")
    logging.getLogger("low").log(21, "just above info")
    lines = written.lines()
    assert [(line["severity"], line["message"], line["logger"]) for line in lines] == [
        ("WARNING", "ASGI app is late on 127.0.0.1", "uvicorn.error"),
        ("WARNING", "between warning and error", "odd"),
        ("INFO", "just above info", "low"),
    ]


@pytest.mark.usefixtures("stdlib")
def test_a_library_error_and_a_warning_go_the_same_way() -> None:
    written = Written()
    written.logs.take_over_stdlib()
    try:
        raise ValueError("deep")
    except ValueError:
        logging.getLogger("lib").exception("it failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("old", DeprecationWarning, "lib.py", 7)
    failed, warned = written.lines()
    assert (failed["severity"], failed["message"]) == ("ERROR", "it failed")
    assert failed["stack_trace"].endswith("ValueError: deep\n")
    assert (warned["severity"], warned["logger"]) == ("WARNING", "py.warnings")


@pytest.mark.usefixtures("stdlib")
def test_a_library_line_that_cannot_be_put_together_raises_nowhere(capsys: pytest.CaptureFixture[str]) -> None:
    written = Written()
    written.logs.take_over_stdlib()
    logging.getLogger("lib").info("%d apples", "no")
    assert written.lines() == []
    assert "Logging error" in capsys.readouterr().err


@pytest.mark.usefixtures("stdlib")
def test_closing_gives_the_standard_logging_back() -> None:
    written = Written()
    written.logs.take_over_stdlib()
    written.logs.close()
    assert logging.getLogger().handlers == []
    assert not logging.getLogger("uvicorn.access").disabled


def test_a_terminal_gets_text() -> None:
    written = Written(form="console")
    written.logs.answered(Answered("GET", "/health", 200, 0.00125, 0, 2, "req-1", "", caller="robot"))
    written.logs.log.error("broken", error=ValueError("deep"), tenant="acme")
    first, second, *rest = written.text().splitlines()
    assert first.split() == [
        "02:01:33.123",
        "[info",
        "]",
        "GET",
        "/health",
        "200",
        "caller=robot",
        "ms=1.2",
        "request_id=req-1",
    ]
    assert second.split() == ["02:01:33.123", "[error", "]", "broken", "tenant=acme"]
    assert rest == ["ValueError: deep"]


def test_what_came_from_outside_cannot_move_the_cursor_of_a_terminal() -> None:
    written = Written(form="console", colors=False)
    written.logs.log.info("\x1b[2J", caller="\x1b]0;x\x07")
    assert "\x1b" not in written.text()


def test_dropped_lines_are_told_in_the_form_of_the_log() -> None:
    written = Written()
    line = json.loads(written.logs._dropped_line(3))
    assert (line["severity"], line["message"], line["count"]) == ("WARNING", "log lines were dropped", 3)
    assert written.logs.dropped == 0
    written.logs.close()
