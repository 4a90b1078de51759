"""
Log lines: JSON as Cloud Logging reads it, or text for a terminal; one line a request, never a token or a secret.

Lines are rendered where they are born and written by a thread (lines.py). The request line has a type of its own,
because structlog's chain costs several times as much; everything else, also what libraries tell the standard
library's logging, passes structlog.
"""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from typing import Any, BinaryIO, Final, Literal

import msgspec
import orjson
import structlog
from msgspec import Struct, field
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.typing import FilteringBoundLogger

from tai_autonomics.application.ports import Answered, Clock
from tai_autonomics.ledger.records import Receipt
from tai_autonomics.telemetry.lines import LineWriter

TRACEBACK_CHARACTERS_MAX: Final = 16_384
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
WANTED: Final = frozenset({"succeeded", "cancelled", "lapsed"})
"""Ends of an action that nobody needs to look at."""
_JSON: Final = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS

_Event = MutableMapping[str, Any]


class _HttpRequest(Struct, rename="camel", gc=False):
    """Sizes in bytes."""

    request_method: str
    request_url: str
    request_size: str
    status: int
    response_size: str
    remote_ip: str
    latency: str


class _RequestLine(Struct, omit_defaults=True, gc=False):
    """The line of a request as Cloud Logging reads it; what was not found out is absent."""

    severity: str
    time: datetime
    message: str
    http_request: _HttpRequest = field(name="httpRequest")
    request_id: str
    caller: str = ""
    tenant: str = ""
    command_id: str = ""
    receipt: str = ""
    reason: str = ""
    trace: str = field(name="logging.googleapis.com/trace", default="")
    span: str = field(name="logging.googleapis.com/spanId", default="")
    sampled: bool = field(name="logging.googleapis.com/trace_sampled", default=False)


_encode: Final = msgspec.json.Encoder().encode


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
        severity = "info" if request.status < 500 else "error" if request.status == 500 else "warning"
        level = LEVELS[severity]
        if level < self._level:
            return
        summary = f"{request.method} {request.route} {request.status}"
        if self._form == "console":
            self.log.log(level, summary, ms=round(request.seconds * 1000, 1), **_named(request))
            return
        line = _RequestLine(
            severity.upper(),
            self._clock.now(),
            summary,
            _HttpRequest(
                request.method,
                request.route,
                str(request.bytes_in),
                request.status,
                str(request.bytes_out),
                request.remote,
                f"{request.seconds:.6f}s",
            ),
            request.request_id,
            request.caller,
            request.tenant,
            request.command_id,
            request.receipt,
            request.reason,
            self._trace_prefix + request.trace if request.trace else "",
            request.span,
            bool(request.span),
        )
        self._writer.put(_request_line(line))

    def settled(self, type: str, result: str, receipt: Receipt) -> None:
        """The line of an action's end: one that did not end as somebody wanted it warns."""
        self.log.log(
            LEVELS["info" if result in WANTED else "warning"],
            "an action was settled",
            type=type,
            result=result,
            tenant=receipt.tenant,
            command_id=receipt.command_id,
            receipt=receipt.hash,
        )

    def take_over_stdlib(self) -> None:
        """Lets what libraries log (uvicorn, asyncio, warnings) pass here; uvicorn's own request lines are left out."""
        self._handler = _FromStdlib(self.log)
        logging.basicConfig(handlers=[self._handler], level=self._level, force=True)
        logging.captureWarnings(capture=True)
        logging.getLogger("uvicorn.access").disabled = True
        if self._level > LEVELS["debug"]:
            # Its servers, of which there may be two, each tell of the one process; wiring says when it serves and ends.
            logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

    def close(self) -> None:
        """Writes what is left, and gives the standard library's logging back."""
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            logging.captureWarnings(capture=False)
            logging.getLogger("uvicorn.access").disabled = False
            logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)
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


def _request_line(line: _RequestLine) -> bytes:
    try:
        return _encode(line) + b"\n"
    except UnicodeEncodeError:
        return _dumps(msgspec.to_builtins(line))


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


def _level_of(number: int) -> int:
    """The level of ours that is nearest below one of the standard library's."""
    return max((level for level in LEVELS.values() if level <= number), default=LEVELS["debug"])


def _named(request: Answered) -> dict[str, str]:
    """What the request was about, as far as it was found out."""
    about = {
        "request_id": request.request_id,
        "caller": request.caller,
        "tenant": request.tenant,
        "command_id": request.command_id,
        "receipt": request.receipt,
        "reason": request.reason,
    }
    return {name: value for name, value in about.items() if value}
