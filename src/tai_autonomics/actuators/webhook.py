"""
Signed webhooks: one POST, to an address that was judged, answered within the deadline or not at all.

    URL --parse--> receiver --resolve once--> addresses --judge--> connect --sign, send--> status --> outcome
                                                                   |                |
                                                   nothing was sent: NotDone      sent, no status: Uncertain
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

import httpx
import msgspec
from msgspec import Struct

from tai_autonomics import __version__
from tai_autonomics.actuators.addresses import Address, Network, address_of, is_allowed, is_public
from tai_autonomics.actuators.receivers import Receiver, dialled, receiver, secrets_of
from tai_autonomics.actuators.signing import signed
from tai_autonomics.actuators.telling import EVENT_TYPE, RETRY_AFTER_SECONDS_MAX, facts, within_bounds
from tai_autonomics.application.ports import NO_HEADERS, Clock, Done, NotDone, Target, Uncertain
from tai_autonomics.domain.actions import Action, Webhook, is_idempotent

RESPONSE_BYTES_MAX: Final = 64 * 1024
"""What is read of an answer; nothing of it is used but the status and Retry-After."""
ADDRESSES_MAX: Final = 4
"""Of a name's addresses so many are tried, in the resolver's order."""
LOOKUPS_MAX: Final = 4
"""Names that are looked up at once. A lookup cannot be called off: one that hangs must not take threads from others."""

TEMPORARY: Final = frozenset({408, 425, 429})
"""Of the statuses below 500."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


class Policy(Struct, frozen=True):
    """`secrets` by host ("*" for every other); `allowed` networks may be reached though they are not public."""

    secrets: Mapping[str, tuple[bytes, ...]]
    allowed: tuple[Network, ...] = ()

    def __repr__(self) -> str:
        return f"Policy(secrets for {', '.join(self.secrets)}; allowed {', '.join(map(str, self.allowed))})"


class _Refused(Exception):
    """The order cannot be carried out as it is; its text says why."""


class _Unreachable(Exception):
    """No connection could be made; nothing was sent."""


class _Exchange:
    """How far an attempt has come: what can be said of it wherever it ends."""

    def __init__(self) -> None:
        self.is_sent = False
        self.answer: httpx.Response | None = None

    async def trace(self, event: str, _: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            self.is_sent = True


class WebhookActuator:
    """Does `webhook` actions. Close it with `aclose`. `lookup` and `tls` are the machine's own unless given."""

    def __init__(
        self, policy: Policy, clock: Clock, *, lookup: Lookup | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy, self._clock = policy, clock
        self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="lookup")
        self._lookup = lookup or self._look_up
        self._tls = tls or httpx.create_ssl_context()

    def replace_secrets(self, secrets: Mapping[str, tuple[bytes, ...]]) -> None:
        """From the next attempt on."""
        self._policy = Policy(secrets, self._policy.allowed)

    async def resolve(self, action: Action) -> Target | NotDone:
        order = action.order
        assert isinstance(order, Webhook), f"action {action.id} is no webhook"
        try:
            secrets_for(order, self._policy.secrets)
        except ValueError as error:
            return NotDone(str(error), temporary=False)
        body = {"type": EVENT_TYPE, "timestamp": action.requested_at, "data": facts(action)}
        return within_bounds({"url": order.url, "body": msgspec.json.encode(body).decode()})

    async def attempt(
        self, action: Action, target: Target, seconds: float, trace: Mapping[str, str] = NO_HEADERS
    ) -> Done | NotDone | Uncertain:
        exchange = _Exchange()
        why = f"within {seconds:g} s"
        try:
            async with asyncio.timeout(seconds):
                await self._post(action, target, seconds, trace, exchange)
        except _Refused as refused:
            return NotDone(str(refused), temporary=False)
        except _Unreachable as unreachable:
            return NotDone(str(unreachable), temporary=True)
        except (TimeoutError, httpx.TimeoutException):
            pass
        except (httpx.TransportError, OSError):
            why = "before the connection broke"
        if exchange.answer is not None:
            return self._outcome(exchange.answer, idempotent=is_idempotent(action.order))
        if exchange.is_sent:
            return Uncertain(f"the receiver did not answer {why}")
        return NotDone(f"the receiver was not reached {why}", temporary=True)

    async def aclose(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _post(
        self, action: Action, target: Target, seconds: float, trace: Mapping[str, str], exchange: _Exchange
    ) -> None:
        try:
            to = receiver(str(target["url"]))
            secrets = secrets_of(to, self._policy.secrets)
        except ValueError as error:
            raise _Refused(str(error)) from error
        addresses = await self._judged_addresses(to)
        body = str(target["body"]).encode()
        signatures = signed(secrets, id=action.id, at=self._clock.now(), body=body)
        headers = {**_headers(to, body), **trace, **signatures}
        extensions = {
            "sni_hostname": to.certified_name,
            "timeout": {"connect": seconds / len(addresses)},
            "trace": exchange.trace,
        }
        requests = [
            httpx.Request("POST", dialled(to, address), headers=headers, content=body, extensions=extensions)
            for address in addresses
        ]
        # A connection of its own, which nobody uses again: pools tell hosts apart by address, not by certificate.
        # The transport and not the client above it: that one knows redirects, cookies and the environment's proxies.
        async with httpx.AsyncHTTPTransport(verify=self._tls) as transport:
            exchange.answer = await _first_answer(transport, requests)
            await _drain(exchange.answer)

    async def _judged_addresses(self, to: Receiver) -> list[Address]:
        """What the name means now, if it may all be reached."""
        try:
            found = [address_of(each) for each in await self._lookup(to.host, to.port)]
        except OSError as error:
            raise _Unreachable("the receiver's name cannot be resolved") from error
        except ValueError as error:
            raise _Refused("the receiver's name is none") from error
        addresses = list(dict.fromkeys(found))[:ADDRESSES_MAX]
        if not addresses:
            raise _Unreachable("the receiver's name has no address")
        for address in found:
            allowed = is_allowed(address, self._policy.allowed)
            if not allowed and not is_public(address):
                raise _Refused(
                    "the receiver's address is not public, and TAI_WEBHOOK_ADDRESSES_ALLOWED does not name it"
                )
            if not allowed and to.scheme != "https":
                raise _Refused("the receiver is reached by http://, and TAI_WEBHOOK_ADDRESSES_ALLOWED does not name it")
        return addresses

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        def lookup() -> list[str]:
            return [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]

        return await asyncio.get_running_loop().run_in_executor(self._threads, lookup)

    def _outcome(self, answer: httpx.Response, *, idempotent: bool) -> Done | NotDone | Uncertain:
        status = answer.status_code
        said = f"the receiver answered {status}"
        if 200 <= status < 300:
            return Done(said)
        if status >= 500 and status != 503 and not idempotent:
            # A gateway in front, or a half of the work behind, may have done it.
            return Uncertain(said)
        if status >= 500 or status in TEMPORARY:
            return NotDone(
                said,
                temporary=True,
                retry_after_seconds=retry_after_seconds(answer.headers.get("retry-after"), self._clock.now()),
            )
        if 300 <= status < 400:
            return NotDone(f"{said}: redirects are not followed", temporary=False)
        return NotDone(f"{said}: it wants no more of these" if status == 410 else said, temporary=False)


def secrets_for(order: Webhook, secrets: Mapping[str, tuple[bytes, ...]]) -> tuple[bytes, ...]:
    """Those that sign what is sent to the order's URL. Raises ValueError where it is no good URL, or has none."""
    return secrets_of(receiver(order.url), secrets)


def retry_after_seconds(text: str | None, now: datetime) -> float | None:
    """Retry-After (RFC 9110 section 10.2.3), seconds or a date, at most an hour; None where it says nothing."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), RETRY_AFTER_SECONDS_MAX)
    try:
        seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a date without an offset
        return None
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


def _headers(to: Receiver, body: bytes) -> dict[str, str]:
    return {
        "host": to.authority,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "user-agent": f"tai-autonomics/{__version__}",
        "accept-encoding": "identity",
        "connection": "close",
    }


async def _first_answer(transport: httpx.AsyncHTTPTransport, requests: Sequence[httpx.Request]) -> httpx.Response:
    """Of the first address that can be connected to. Raises _Unreachable where none can."""
    failed: httpx.TransportError | None = None
    for request in requests:
        try:
            return await transport.handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            _check_certificate(error)
            failed = error
    raise _Unreachable("the receiver cannot be connected to") from failed


def _check_certificate(error: BaseException) -> None:
    """A receiver that proves to be another is not tried again."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise _Refused("the receiver's certificate is not good") from error
        cause = cause.__cause__ or cause.__context__


async def _drain(answer: httpx.Response) -> None:
    """Read the answer to its end or bound, raw, so that an honest receiver does not see us break off."""
    size = 0
    # What goes wrong from here on changes nothing: the status has been read.
    with suppress(httpx.TransportError):
        async with aclosing(answer.stream) as stream:  # type: ignore[type-var]
            async for some in cast(AsyncIterator[bytes], stream):
                size += len(some)
                if size >= RESPONSE_BYTES_MAX:
                    return
