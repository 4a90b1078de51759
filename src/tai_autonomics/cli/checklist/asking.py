"""Calls of the service that is judged, each kept with the answer that it got."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import typer
from msgspec import Struct

from tai_autonomics.cli.checklist.lines import Wrong
from tai_autonomics.cli.served import Served, is_loopback
from tai_autonomics.errors import StoreUnavailable

TIMEOUT_SECONDS: Final = 15.0
READING_SECONDS: Final = 30.0
"""For a page of receipts."""
CONNECTIONS_MAX: Final = 500
TRIES_MAX: Final = 3
"""Of a call that is told to come again."""
PAUSE_SECONDS: Final = 0.2
STALE_PAUSES_MAX: Final = 15
"""Together longer than TAI_STATE_AGE_SECONDS_MAX is by default."""
PROBES: Final = frozenset({"/health", "/health/live", "/metrics"})
NO_FORM: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding raises for a body that is not JSON, not UTF-8, or too deep."""

T = TypeVar("T")


class Sealed(Struct, frozen=True):
    """A receipt that the service said it has sealed."""

    tenant: str
    hash: str


class Answer(Struct, frozen=True):
    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    content: bytes
    seconds: float
    good: bool
    """Whether the call was one that ought to succeed."""

    @property
    def call(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def members(self) -> dict[str, Any]:
        """Of the JSON object that it is; none where it is no such thing."""
        try:
            return msgspec.json.decode(self.content, type=dict[str, Any])
        except NO_FORM:
            return {}

    @property
    def reason(self) -> str | None:
        """Of a problem; None where it is not one, which the line error-format sees."""
        reason = self.members.get("reason")
        return reason if isinstance(reason, str) else None

    def expect(self, status: int, reason: str | None = None) -> "Answer":
        """Itself. Raises Wrong where it is another status, or a problem with another reason."""
        if self.status != status:
            said = f" ({self.reason})" if self.reason else ""
            raise Wrong(f"{self.call} answered {self.status}{said}, not {status}", status=self.status)
        if reason is not None and self.reason not in (None, reason):
            raise Wrong(f"{self.call} answered {status} with the reason {self.reason}, not {reason}")
        return self

    def read(self, type: type[T]) -> T:
        """Raises Wrong where the body is not of that form."""
        try:
            return msgspec.json.decode(self.content, type=type)
        except NO_FORM as error:
            raise Wrong(f"{self.call} answered {self.status} with a body of another form: {error}") from error


class Asking:
    """Calls with the given token. `answers` has all but those of a load, `sealed` the receipts that they name."""

    def __init__(self, client: httpx.AsyncClient, token: str, ledgers: Served) -> None:
        self.client = client
        self.token = token
        self.ledgers = ledgers
        self.answers: list[Answer] = []
        self.sealed: list[Sealed] = []

    async def get(self, path: str, *, token: str | None = None, good: bool = True) -> Answer:
        return await self.call("GET", path, token=token, good=good)

    async def post(
        self,
        path: str,
        body: Any,
        *,
        key: str | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        good: bool = True,
    ) -> Answer:
        named = {"content-type": "application/json"} | ({} if key is None else {"idempotency-key": key})
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.call("POST", path, content, token=token, headers={**named, **(headers or {})}, good=good)

    async def call(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        good: bool = True,
    ) -> Answer:
        """
        With our own token, or with `token`; "" is none. Raises StoreUnavailable where there is no answer at all.

        A call that is turned away for a while is repeated: it has a key, or only asks.
        """
        given = dict(headers or {})
        if credential := self.token if token is None else token:
            given.setdefault("authorization", f"Bearer {credential}")
        for left in reversed(range(TRIES_MAX)):
            answer = await self._called(method, path, content, given, good=good)
            turned_away = answer.status == 503 or (good and answer.status == 429)
            if not turned_away or not left or path in PROBES:
                break
            await asyncio.sleep(PAUSE_SECONDS)
        return answer

    async def _called(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str], *, good: bool
    ) -> Answer:
        started = time.monotonic()
        try:
            response = await self.client.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            why = str(error) or error.__class__.__name__
            raise StoreUnavailable(f"{method} {path} has no answer: {why}") from error
        seconds = time.monotonic() - started
        answer = Answer(method, path, response.status_code, dict(response.headers), response.content, seconds, good)
        self.answers.append(answer)
        if method == "POST":
            self._keep_sealed(answer.members)
        return answer

    async def until(self, call: Callable[[], Awaitable[Answer]], holds: Callable[[Answer], bool]) -> Answer:
        """The answer for which it holds, or the last: another instance may know less for as long as it may be stale."""
        for _ in range(STALE_PAUSES_MAX):
            if holds(answer := await call()):
                break
            await asyncio.sleep(PAUSE_SECONDS)
        return answer

    def _keep_sealed(self, members: dict[str, Any]) -> None:
        items = members.get("items")
        for each in (members, *(items if isinstance(items, list) else ())):
            match each:
                case {"receipt": {"tenant": str(tenant)}, "hash": str(hash_)}:
                    self.sealed.append(Sealed(tenant, hash_))
                case _:
                    pass


@asynccontextmanager
async def asking(url: str, token: str) -> AsyncIterator[Asking]:
    """Raises BadParameter for an address or a token that is none."""
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise typer.BadParameter(f"{url!r} is not http(s)://host:port")
    if place.username or place.password or place.query or place.fragment:
        raise typer.BadParameter("the URL names a user, a query or a fragment: give http(s)://host:port alone")
    async with (
        _client(url, TIMEOUT_SECONDS, {}) as client,
        _client(url, READING_SECONDS, {"authorization": f"Bearer {token}"}) as reading,
    ):
        yield Asking(client, token, Served(reading))


def _client(url: str, timeout: float, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        headers=headers,
        timeout=timeout,
        verify=tls(),
        limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
        # A proxy cannot reach this machine's own loopback.
        trust_env=not is_loopback(urlsplit(url).hostname or ""),
    )


@cache
def tls() -> ssl.SSLContext:
    """The certificates that this machine trusts: read once, as that takes longer than a call."""
    return httpx.create_ssl_context()


async def connect_seconds(url: str, *, times: int = 5) -> float:
    """The shortest time that a TCP connection took: what the network has its share of every answer."""
    place = urlsplit(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    shortest = float("inf")
    for _ in range(times):
        started = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                _, writer = await asyncio.open_connection(place.hostname, port)
        except OSError as error:
            raise StoreUnavailable(f"{url} cannot be connected to: {error}") from error
        shortest = min(shortest, time.monotonic() - started)
        writer.close()
        await writer.wait_closed()
    return shortest
