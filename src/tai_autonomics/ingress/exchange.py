"""One request and its reply, as they pass through the front door."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Literal

from msgspec import Struct

from tai_autonomics.application.ports import Caller, ReceivedWebhook, Span
from tai_autonomics.errors import Malformed, TaiError
from tai_autonomics.ingress.rates import NEVER, Rates

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Pairs = tuple[tuple[bytes, bytes], ...]

UNREAD_BYTES_MAX: Final = 16 * 1024 * 1024
"""A body of at most this is taken in and dropped when nobody wants it."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SINGLE: Final = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"traceparent",
        b"transfer-encoding",
        b"webhook-id",
        b"webhook-signature",
        b"webhook-timestamp",
        b"x-cloud-trace-context",
        b"x-request-id",
    }
)
_IDENTITY: Final = frozenset({b"", b"identity"})
_JSON: Final = re.compile(
    rb'application/(?:json|[a-z0-9.+-]+\+json)[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?', re.IGNORECASE
)


class TurnedAway(TaiError):
    """A request that ends at the door, with a reason of `replies.REASONS` and headers that belong to the answer."""

    def __init__(self, reason: str, detail: str, *, headers: Pairs = ()) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.headers = reason, detail, headers


class ClientGone(TaiError):
    """The caller hung up before its request was whole; nobody is left to answer."""


class Reply(Struct, frozen=True, gc=False):
    """A whole response but for the headers that every response has."""

    status: int
    body: bytes
    headers: Pairs = ()
    media: bytes = b"application/json"


class Exchange:
    """A request on its way in, and what the log will say of it. Filled as it becomes known."""

    __slots__ = (
        "bytes_in",
        "caller",
        "command_id",
        "deadline",
        "first_in",
        "headers",
        "id",
        "method",
        "parameters",
        "path",
        "query",
        "rates",
        "reason",
        "receipt",
        "receive",
        "remote",
        "route",
        "span",
        "started",
        "submitted",
        "tenant",
        "trace",
        "webhook",
        "whole",
    )

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Receive, *, started: float, deadline: float, rates: Rates
    ) -> None:
        pairs = scope["headers"]
        self.headers: dict[bytes, bytes] = dict(pairs)
        self.receive = receive
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        client = scope.get("client")
        self.remote: str = client[0] if client else ""
        self.rates = rates
        self.first_in = NEVER
        """The second in which it was the first of the tenant that its path names."""
        self.started = started
        self.deadline = deadline
        """Monotonic seconds at which the request is over."""
        self.id = ""
        self.trace: str | None = None
        self.span: Span | None = None
        """Its own in that trace, where it is recorded."""
        self.route = NO_ROUTE
        self.parameters: dict[str, str] = {}
        self.whole = self.method in _BODILESS and b"content-length" not in self.headers
        """Whether nothing of the body is still to come."""
        self.submitted = False
        """Whether a command is in the corridor's hands, so that only its answer says what became of it."""
        self.bytes_in = 0
        self.caller: Caller | None = None
        self.webhook: ReceivedWebhook | None = None
        """What the caller's signature covers, where it signed the body in place of bringing a token."""
        self.tenant = self.command_id = self.receipt = self.reason = ""

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. Raises TurnedAway(body_too_large), ClientGone."""
        message = await self.receive()
        if message["type"] != "http.request":
            raise ClientGone("the caller hung up")
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            body = await self._rest(body, bytes_max)
        if len(body) > bytes_max:
            raise too_large(bytes_max)
        self.whole = True
        self.bytes_in = len(body)
        return body

    def put_back(self, body: bytes) -> None:
        """A body that was read early is there again, whole, for its room."""

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body}

        self.receive = receive

    async def _rest(self, first: bytes, bytes_max: int) -> bytes:
        chunks, size, more = [first], len(first), True
        while more and size <= bytes_max:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGone("the caller hung up")
            chunk = message.get("body", b"")
            chunks.append(chunk)
            size += len(chunk)
            self.bytes_in = size
            more = message.get("more_body", False)
        return b"".join(chunks)

    def ends_soon(self) -> bool:
        """Whether the body is on its way, and by its Content-Length not too long to be dropped."""
        length = self.headers.get(b"content-length", b"")
        return (
            b"transfer-encoding" not in self.headers
            and b"expect" not in self.headers
            and length.isdigit()
            and len(length) <= 18
            and int(length) <= UNREAD_BYTES_MAX
        )

    async def drop_body(self) -> None:
        """Read the body to its end and keep nothing of it. Raises ClientGone."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGone("the caller hung up")
            more = message.get("more_body", False)
        self.whole = True

    def declared_length(self) -> int | None:
        """Content-Length, or None for a chunked body. Raises Malformed."""
        text = self.headers.get(b"content-length")
        if text is None:
            return None if b"transfer-encoding" in self.headers else 0
        if not text.isdigit() or len(text) > 18:
            raise Malformed("malformed_request", "Content-Length is a number of bytes")
        return int(text)


NO_ROUTE: Final = "(none)"
"""How the log names the route of a request that has none."""
_BODILESS: Final = frozenset({"GET", "HEAD"})


def too_large(bytes_max: int) -> TurnedAway:
    return TurnedAway("body_too_large", f"a body has at most {bytes_max} bytes")


def check_headers(exchange: Exchange, pairs: list[tuple[bytes, bytes]]) -> None:
    """Refuse what two readers would take differently: a single header given twice, a coding that is not undone here."""
    coding = exchange.headers.get(b"transfer-encoding")
    if coding is not None and coding.strip().lower() != b"chunked":
        raise Malformed("malformed_request", "Transfer-Encoding is chunked, and nothing else")
    if len(pairs) == len(exchange.headers):
        return
    seen: set[bytes] = set()
    for name, _ in pairs:
        if name in seen and name in _SINGLE:
            raise Malformed("malformed_request", f"the header {name.decode('ascii')} is given twice")
        seen.add(name)


def check_body_headers(exchange: Exchange, bytes_max: int) -> None:
    """Refuse a body by what its headers say of it, before a byte of it is read. A missing type is taken for JSON."""
    headers = exchange.headers
    media = headers.get(b"content-type")
    if media is not None and media != b"application/json" and _JSON.fullmatch(media.strip()) is None:
        raise TurnedAway("unsupported_media_type", "a body is application/json in UTF-8")
    if b"content-encoding" in headers and headers[b"content-encoding"].strip().lower() not in _IDENTITY:
        raise TurnedAway("unsupported_media_type", "a body is sent without Content-Encoding")
    length = exchange.declared_length()
    if length is not None and length > bytes_max:
        raise too_large(bytes_max)


def request_id_of(headers: dict[bytes, bytes]) -> str | None:
    """The caller's own id, if it is sane."""
    text = headers.get(b"x-request-id")
    if text is None or _REQUEST_ID.fullmatch(text) is None:
        return None
    return text.decode("ascii")


Credential = Literal["bearer", "google", "webhook"]
Handler = Callable[[Exchange, Any], Awaitable[Reply]]


class Route(Struct, frozen=True, kw_only=True):
    """One line of the route table: how it is found, served and described."""

    method: Literal["GET", "POST"]
    path: str
    serve: Handler
    summary: str
    takes: tuple[Any, ...] = ()
    """The types that parse the body, any of them."""
    answers: tuple[Any, ...] = ()
    """The types of a 200's body."""
    reasons: tuple[str, ...] = ()
    """What it can be refused for, beside what every route of its kind is."""
    queries: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    """What its query's `state` can be."""
    keyed: bool = False
    """Whether it takes an Idempotency-Key."""
    body: Literal["none", "own", "push"] = "none"
    body_optional: bool = False
    credentials: tuple[Credential, ...] = ("bearer",)
    """What says who is calling, any one of them, where the route asks for roles."""
    writes: bool = False
    statuses: tuple[int, ...] = ()
    """Beside 200 and its refusals'."""
    media: str = "application/json"
    never_waits: bool = False
    """Answered even when the instance is full or stopping."""

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"
