"""
One connection: bytes to ASGI requests, whole responses back, and no more of anything than its bounds.

    silent --first byte--> arriving --header--> answering --response--> silent, or closed
       |                      |                     |
    idle: closed          late: 408          for as long as the application takes

uvicorn accepts connections and drains them. Its own protocol costs three times as much a request, and bounds neither
the size of a header, nor the time that it may take, nor readers that do not read (docs/adr/0006).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from functools import partial
from http import HTTPStatus
from math import inf
from typing import Any, Final, NoReturn
from urllib.parse import unquote

import httptools
import msgspec
from msgspec import Struct
from uvicorn.config import Config
from uvicorn.server import ServerState

from tai_autonomics.application.ports import Answered
from tai_autonomics.ingress.exchange import NO_ROUTE
from tai_autonomics.ingress.replies import REASONS, Problem
from tai_autonomics.ingress.turns import Turns

Message = MutableMapping[str, Any]

STALLED_BYTES: Final = 16 * 1024
BODY_BYTES_WAITING_MAX: Final = 64 * 1024
"""So much of a body waits for the application; past it the connection is not read."""
NO_METHOD: Final = "(none)"
"""Of what never became a request."""
PROBES: Final = frozenset({b"/health", b"/health/live"})
"""They begin at once: a platform that does not hear within seconds that an instance lives replaces it."""
_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_CLOSE: Final = (b"connection", b"close")
_EXPECTING: Final = (b"expect", b"100-continue")
_STATUS_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}".encode("ascii") for each in HTTPStatus}


class ServerBounds(Struct, frozen=True, kw_only=True):
    """What one connection, and the end of the process, may take."""

    header_bytes_max: int = 16 * 1024
    header_seconds: float = 10.0
    """From a connection's or a request's first byte to the end of its header; and for a body that nobody reads."""
    idle_seconds: int = 75
    """A connection without a request is closed after this; longer than the idle time of most load balancers."""
    stalled_seconds: float = 10.0
    """A reader that takes less than STALLED_BYTES in this time is cut."""
    pipelined_max: int = 16
    connections_max: int = 8_192
    drain_seconds: float = 5.0
    """What is in flight at the first signal has this long."""


class Turn:
    """One request and its response, as the application has them."""

    __slots__ = (
        "_body_taken",
        "_connection",
        "_pieces",
        "_start",
        "_waiting",
        "answered",
        "bytes_waiting",
        "encouraged",
        "gone",
        "keeps",
        "scope",
        "whole",
    )

    def __init__(self, connection: "Connection", scope: Message, *, keeps: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.keeps = keeps
        """Whether the connection may go on after it."""
        self.whole = False
        """Nothing of the request is still to come."""
        self.answered = False
        self.gone = False
        """The caller has hung up."""
        self.encouraged = False
        """The caller has been told to go on and send the body (RFC 9110 section 10.1.1)."""
        self.bytes_waiting = 0
        self._pieces: list[bytes] = []
        self._body_taken = False
        self._start: Message = {}
        self._waiting: asyncio.Future[None] | None = None

    def add(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self._pieces.append(piece)
        self.bytes_waiting += len(piece)
        self.wake()

    def wake(self) -> None:
        """Lets `receive` look again."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def receive(self) -> Message:
        """ASGI: what has come of the body; after its end, the end of the response or of the connection."""
        if not self._pieces and (self._body_taken or not self.whole) and not (self.gone or self.answered):
            self._waiting = self._connection.more_of(self)
            await self._waiting
        if self.gone or self.answered:
            return {"type": "http.disconnect"}
        body = b"".join(self._pieces)
        self._pieces = []
        self.bytes_waiting = 0
        self._body_taken = self.whole
        return {"type": "http.request", "body": body, "more_body": not self.whole}

    async def send(self, message: Message) -> None:
        """ASGI, but that the body comes in one message, as long as its Content-Length says (and empty for HEAD)."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self.answered or message.get("more_body", False):
            raise RuntimeError("a response is sent whole, and once")
        if self._connection.blocked is not None:
            await self._connection.blocked
        if not self.gone:
            self._connection.answer(self, self._start["status"], self._start["headers"], message["body"])

    def ended(self, task: "asyncio.Task[None]") -> None:
        """The application has returned."""
        self._connection.ended(self, task)


class Connection(asyncio.Protocol):
    """What uvicorn makes for each connection that it accepts."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        bounds: ServerBounds,
        refusals: Iterator[int],
        refused: Callable[[Answered], None],
        turns: Turns,
    ) -> None:
        self._app = config.loaded_app
        self._server = server_state
        self._bounds = bounds
        self._refusals = refusals
        self._refused = refused
        self._turns = turns
        self._loop = _loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # What follows a request that asked to close is dropped with the connection, and does not cost its answer.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._transport: asyncio.Transport
        self._addresses: tuple[Any, Any] = (None, None)
        self._until = inf
        """Loop seconds at which it has taken too long over what it is at."""
        self._silent = False
        """Nothing has come since the last response."""
        self._arriving = False
        """A request has begun and has not come in whole."""
        self._in_header = True
        """No whole header has come since the last request."""
        self._framing_bytes = 0
        """What has come since the last end of a header, piece of a body or end of a request."""
        self._refusal = "malformed_request"
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._newest: Turn | None = None
        self._begun: Turn | None = None
        """The application has it; requests that came after it wait in the pipeline."""
        self._pipeline: deque[Turn] = deque()
        self._reading = True
        self._draining = False
        self.blocked: asyncio.Future[None] | None = None
        """While the caller does not read: done when it has."""
        self._blocked_since = inf
        self._blocked_bytes = 0
        self._standing: list[tuple[bytes, bytes]] = []
        self._standing_lines: list[bytes] = []

    # ---- asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._server.connections.add(self)  # type: ignore[arg-type]
        if len(self._server.connections) > self._bounds.connections_max:
            transport.abort()
            return
        self._addresses = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._expect(self._bounds.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._begun is not None:
            for turn in (self._begun, *self._pipeline):
                turn.gone = True
                turn.wake()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        self._framing_bytes += len(data)
        if self._silent:
            self._silent = False
            self._expect(self._bounds.header_seconds)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal)
        except httptools.HttpParserUpgrade:
            # No upgrade is taken up: the request is answered as it stands (RFC 9110 section 7.8), and that is the end.
            self._last_turn().keeps = False
        else:
            # Header, trailers and chunk extensions that do not end.
            if self._arriving and self._framing_bytes > self._bounds.header_bytes_max:
                self._refuse("headers_too_large")

    def pause_writing(self) -> None:
        self.blocked = self._loop.create_future()
        self._watch()

    def resume_writing(self) -> None:
        self._blocked_since = inf
        if self.blocked is not None and not self.blocked.done():
            self.blocked.set_result(None)
        self.blocked = None

    # ---- httptools

    def on_message_begin(self) -> None:
        self._arriving = self._in_header = True
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers are dropped.
        if self._in_header:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        # The pieces that a header came in hold other things too, so it is counted only where they are large.
        if self._framing_bytes > self._bounds.header_bytes_max and self._header_bytes() > self._bounds.header_bytes_max:
            self._fail("headers_too_large")
        self._in_header = False
        self._framing_bytes = 0
        waits = self._answering()
        self._newest = turn = self._new_turn()
        if not waits:
            self._begin(turn)
            return
        self._pipeline.append(turn)
        self._read_no_further()
        if len(self._pipeline) > self._bounds.pipelined_max:
            self._fail("overloaded")

    def on_body(self, body: bytes) -> None:
        self._framing_bytes = 0
        turn = self._last_turn()
        if turn.answered:
            return
        turn.add(body)
        if turn.bytes_waiting > BODY_BYTES_WAITING_MAX:
            self._read_no_further()

    def on_message_complete(self) -> None:
        self._arriving = False
        self._in_header = True
        self._framing_bytes = 0
        turn = self._last_turn()
        turn.whole = True
        turn.wake()

    # ---- requests

    def _new_turn(self) -> Turn:
        parser, url = self._parser, self._url
        path, query = _split(url)
        version = parser.get_http_version()
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": unquote(path.decode("ascii")) if b"%" in path else path.decode("ascii"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": self._addresses[0],
            "server": self._addresses[1],
        }
        keeps = version != "1.0" and parser.should_keep_alive() and not self._draining
        return Turn(self, scope, keeps=keeps)

    def _begin(self, turn: Turn) -> None:
        # The application bounds how long it takes, the body's arrival included.
        self._until = inf
        self._begun = turn
        if turn.scope["raw_path"] in PROBES or self._turns.take():
            self._start(turn)
        else:
            self._turns.wait(partial(self._start, turn))

    def _start(self, turn: Turn) -> None:
        task = self._loop.create_task(self._app(turn.scope, turn.receive, turn.send))
        self._server.tasks.add(task)
        task.add_done_callback(turn.ended)

    def more_of(self, turn: Turn) -> "asyncio.Future[None]":
        """Done when more of the request has come, or the end of its connection."""
        if not turn.whole and _EXPECTING in turn.scope["headers"] and not turn.encouraged:
            turn.encouraged = True
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._read_on()
        return self._loop.create_future()

    def _read_no_further(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _read_on(self) -> None:
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()

    # ---- responses

    def answer(self, turn: Turn, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """The whole response in one write, and whatever comes after it."""
        said = _CLOSE in headers
        closing = said or not turn.keeps
        lines = [_STATUS_LINES[status], *self._lines_of_all(), *map(b": ".join, headers)]
        if closing and not said:
            lines.append(b"connection: close")
        lines.append(b"\r\n")
        head = b"\r\n".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("a header holds a line break")
        self._transport.write(head + body)
        turn.answered = True
        turn.wake()
        if closing:
            self._expect(self._bounds.header_seconds)
            self._transport.close()
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._transport.is_closing():
            return
        self._read_on()
        if self._pipeline:
            self._begin(self._pipeline.popleft())
        elif self._arriving:
            self._expect(self._bounds.header_seconds)
        else:
            self._silent = True
            self._expect(self._bounds.idle_seconds)

    def ended(self, turn: Turn, task: "asyncio.Task[None]") -> None:
        """The application has returned. One that did not answer is at fault; it is told, and so is the caller."""
        self._server.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._loop.call_exception_handler({"message": "the application failed", "exception": error, "task": task})
        if not (turn.answered or self._transport.is_closing()):
            self._hang_up("internal")

    def _lines_of_all(self) -> list[bytes]:
        """What every response has: the date, which uvicorn makes anew every second."""
        if self._standing is not self._server.default_headers:
            self._standing = self._server.default_headers
            self._standing_lines = [b": ".join(pair) for pair in self._standing]
        return self._standing_lines

    # ---- what takes too long or too much

    def check(self, now: float) -> None:
        """Ends what has taken too long. Called every tenth of a second."""
        if now >= self._until:
            self._until = inf
            self._expire()
        if now >= self._blocked_since + self._bounds.stalled_seconds:
            if self._blocked_bytes - self._transport.get_write_buffer_size() < STALLED_BYTES:
                self._transport.abort()
            else:
                self._watch()

    def shutdown(self) -> None:
        """uvicorn drains: what is being answered is the last."""
        self._draining = True
        if self._answering():
            self._last_turn().keeps = False
        else:
            self._transport.close()

    def abort(self) -> None:
        """Cut, whatever is under way."""
        self._transport.abort()

    def _expect(self, seconds: float) -> None:
        self._until = self._loop.time() + seconds

    def _expire(self) -> None:
        if self._arriving and self._in_header and not self._transport.is_closing():
            self._refuse("request_timeout")
        elif self._silent and not self._transport.get_write_buffer_size():
            self._transport.close()
        else:
            self._transport.abort()

    def _watch(self) -> None:
        self._blocked_since = self._loop.time()
        self._blocked_bytes = self._transport.get_write_buffer_size()

    def _answering(self) -> bool:
        return self._newest is not None and not self._newest.answered

    def _last_turn(self) -> Turn:
        assert self._newest is not None
        return self._newest

    def _header_bytes(self) -> int:
        return len(self._url) + sum([len(name) + len(value) + 4 for name, value in self._headers])

    def _fail(self, reason: str) -> NoReturn:
        """Ends the parsing of what is no request for this house."""
        self._refusal = reason
        raise ValueError(reason)

    def _refuse(self, reason: str) -> None:
        """
        Answer what never became a request, or never a whole one, and hang up.

        Nothing is said where an answer to an earlier request is under way, nor after the answer to this one: nobody
        could tell whose it is.
        """
        if self._transport.is_closing():
            return
        turn = self._newest
        if turn is None or (turn.answered and turn.whole):
            self._hang_up(reason)
        elif turn.answered or turn.whole or self._pipeline:
            self._transport.close()
        else:
            self._hang_up(reason)
            turn.gone = True
            turn.wake()

    def _hang_up(self, reason: str) -> None:
        request_id = f"refused-{next(self._refusals):x}"
        refusal = _refusal(reason, request_id)
        self._transport.write(refusal)
        self._refused(
            Answered(
                method=NO_METHOD,
                route=NO_ROUTE,
                status=REASONS[reason].status,
                seconds=0.0,
                bytes_in=0,
                bytes_out=len(refusal),
                request_id=request_id,
                remote=self._addresses[0][0] if self._addresses[0] else "",
                reason=reason,
            )
        )
        self._expect(self._bounds.header_seconds)
        self._transport.close()


def _split(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request's target. Raises HttpParserInvalidURLError."""
    if target.startswith(b"/") and b"#" not in target:
        path, _, query = target.partition(b"?")
        return path, query
    url = httptools.parse_url(target)
    return url.path or b"/", url.query or b""


def _refusal(reason: str, request_id: str) -> bytes:
    kind = REASONS[reason]
    problem = Problem(
        type=f"/problems/{reason}",
        title=kind.title,
        status=kind.status,
        detail=kind.title,
        instance=f"urn:request:{request_id}",
        reason=reason,
        next_step=kind.next_step,
    )
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {kind.status} {reason}\r\ncontent-type: application/problem+json\r\n"
        f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nx-content-type-options: nosniff\r\n"
        "cache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
