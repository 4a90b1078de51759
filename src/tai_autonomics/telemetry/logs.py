"""
Log lines: JSON as Cloud Logging reads it, or text for a terminal; one line a request, never a token or a secret.

Lines are rendered where they are born and written by a thread (lines.py). The request line is put together by hand,
because structlog's chain costs several times as much; everything else, also what libraries tell the standard
library's logging, passes structlog.
"""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any, BinaryIO, Final, Literal

import orjson
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.typing import FilteringBoundLogger

from tai_autonomics.application.ports import Answered, Clock
from tai_autonomics.telemetry.lines import LineWriter

TRACEBACK_CHARACTERS_MAX: Final = 16_384
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_JSON: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS

_Event = MutableMapping[str, Any]


class Logs:
    """The log of one process. `log` takes a message and fields, at debug, info, warning or error."""

    log: FilteringBoundLogger

    def __init__(
        self,
        stream: BinaryIO,
        clock: Clock,
        *,
        level: str,
        form: Literal["json", "console"],
        colors: bool = False,
        project_id: str | None = None,
    ) -> None:
        self._clock = clock
        self._level = LEVELS[level]
        self._form = form
        self._trace_prefix = f"projects/{project_id}/traces/" if project_id else ""
        self._writer = LineWriter(stream, dropped_line=self._dropped_line)
        self._render = _json_line if form == "json" else _Console(colors=colors)
        self.log = structlog.wrap_logger(
            _Sink(self._writer),
            processors=[self._stamp, self._render],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
            context_class=dict,
        )
        self._handler: logging.Handler | None = None

    @property
    def dropped(self) -> int:
        """Lines lost since the start."""
        return self._writer.dropped

    def answered(self, request: Answered) -> None:
        """The line of a request: 500 is an error, other 5xx warn."""
        severity = _severity(request.status)
        if LEVELS[severity] < self._level:
            return
        if self._form == "console":
            self.log.log(LEVELS[severity], _summary(request), ms=round(request.seconds * 1000, 1), **_named(request))
            return
        line: dict[str, object] = {
            "severity": severity.upper(),
            "time": self._clock.now(),
            "message": _summary(request),
            "httpRequest": {
                "requestMethod": request.method,
                "requestUrl": request.route,
                "requestSize": str(request.bytes_in),
                "status": request.status,
                "responseSize": str(request.bytes_out),
                "remoteIp": request.remote,
                "latency": f"{request.seconds:.6f}s",
            },
            **_named(request),
        }
        if request.trace:
            line["logging.googleapis.com/trace"] = self._trace_prefix + request.trace
        self._writer.put(_dumps(line))

    def take_over_stdlib(self) -> None:
        """Lets what libraries log (uvicorn, asyncio, warnings) pass here; uvicorn's own request lines are left out."""
        self._handler = _FromStdlib(self.log)
        logging.basicConfig(handlers=[self._handler], level=self._level, force=True)
        logging.captureWarnings(capture=True)
        logging.getLogger("uvicorn.access").disabled = True

    def close(self) -> None:
        """Writes what is left, and gives the standard library's logging back."""
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            logging.captureWarnings(capture=False)
            logging.getLogger("uvicorn.access").disabled = False
        self._writer.close()

    def _stamp(self, _: object, method: str, event: _Event) -> _Event:
        if event.pop("exc_info", False):
            event["error"] = sys.exception()
        return {"severity": method, "time": self._clock.now(), "message": event.pop("event"), **event}

    def _dropped_line(self, count: int) -> bytes:
        event = self._stamp(None, "warning", {"event": "log lines were dropped", "count": count})
        return self._render(None, "warning", event)


class _Sink:
    """What structlog calls with a finished line, one method a level."""

    def __init__(self, writer: LineWriter) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = writer.put


class _FromStdlib(logging.Handler):
    """Hands the standard library's records to structlog."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            error = record.exc_info[1] if record.exc_info else None
            named = {"logger": record.name} | ({"error": error} if error is not None else {})
            self._log.log(_level_of(record.levelno), record.getMessage(), **named)
        except Exception:  # noqa: BLE001 (the contract of logging.Handler: report, never raise)
            self.handleError(record)


class _Console:
    """Lines for a person at a terminal."""

    def __init__(self, *, colors: bool) -> None:
        # structlog's own choice of formatter would print the locals of every frame, secrets among them.
        self._render = ConsoleRenderer(colors=colors, exception_formatter=plain_traceback)

    def __call__(self, logger: object, method: str, event: _Event) -> bytes:
        at, error = event.pop("time"), event.pop("error", None)
        shown = {name: _printable(value) for name, value in event.items() if name not in ("severity", "message")}
        line = {"timestamp": f"{at:%H:%M:%S}.{at.microsecond // 1000:03}", "level": event["severity"], **shown}
        line["event"] = _printable(event["message"])
        if error is not None:
            line["exception"] = _traceback(error).rstrip()
        return f"{self._render(logger, method, line)}\n".encode(errors="backslashreplace")


def _json_line(_: object, __: str, event: _Event) -> bytes:
    event["severity"] = event["severity"].upper()
    if "error" in event:
        event["stack_trace"] = _traceback(event.pop("error"))
    return _dumps(event)


def _dumps(line: Mapping[str, object]) -> bytes:
    try:
        return orjson.dumps(line, default=str, option=_JSON)
    except TypeError:
        # A lone surrogate, or a value that cannot be said: the line is worth more than its form.
        return orjson.dumps({name: ascii(value) for name, value in line.items()}, option=_JSON)


def _traceback(error: object) -> str:
    """The traceback without any frame's locals; of a long one, the end."""
    if not isinstance(error, BaseException):
        return str(error)
    return "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS_MAX:]


def _printable(value: object) -> object:
    """What came from outside cannot move the cursor."""
    return ascii(value) if isinstance(value, str) and not value.isprintable() else value


def _severity(status: int) -> str:
    if status < 500:
        return "info"
    return "error" if status == 500 else "warning"


def _level_of(number: int) -> int:
    """The level of ours that is nearest below one of the standard library's."""
    return max((level for level in LEVELS.values() if level <= number), default=LEVELS["debug"])


def _summary(request: Answered) -> str:
    return f"{request.method} {request.route} {request.status}"


def _named(request: Answered) -> dict[str, object]:
    """What the request was about, as far as it was found out."""
    named: dict[str, object] = {"request_id": request.request_id}
    if request.caller:
        named["caller"] = request.caller
    if request.tenant:
        named["tenant"] = request.tenant
    if request.command_id:
        named["command_id"] = request.command_id
    if request.receipt:
        named["receipt"] = request.receipt
    if request.reason:
        named["reason"] = request.reason
    return named
