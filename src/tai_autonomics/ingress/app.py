"""
What every request passes, in order, and what every response has.

    request id --> route --> bound on what is in flight --> caller, rate, role --> body's headers --> its room --> reply

One plain ASGI application: a request costs no more layers than it has rooms.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from math import ceil
from typing import Any, Final

from tai_autonomics.application.newcomers import POLICY as NEW_LEDGERS
from tai_autonomics.application.ports import Answered, Span, SpanContext, Tracer, Verifier
from tai_autonomics.errors import Draining, OutcomeUnknown, Overloaded, StoreUnavailable, TaiError, Unauthenticated
from tai_autonomics.ingress.authentication import brings_webhook, receive_webhook, require_role, roles_of, token_of
from tai_autonomics.ingress.deadlines import Deadlines
from tai_autonomics.ingress.decisions import tell_of
from tai_autonomics.ingress.exchange import (
    ClientGone,
    Exchange,
    Receive,
    Reply,
    Route,
    TurnedAway,
    check_body_headers,
    check_headers,
    request_id_of,
)
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.rates import CallerRates, Rates, TenantRates
from tai_autonomics.ingress.replies import error_reply, is_ours
from tai_autonomics.ingress.routes import Router, routes
from tai_autonomics.ingress.trace_context import context_of

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CLIENT_GONE: Final = 499
"""How the log names a request whose caller hung up; no response has this status."""
NO_WEBHOOKS: Final = "no source of signed webhooks is set up here; this needs an Authorization: Bearer token"
_NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
_NO_STORE: Final = (b"cache-control", b"no-store")
_CLOSE: Final = (b"connection", b"close")


def build(door: FrontDoor) -> "Entrance":
    """The ASGI application."""
    return Entrance(door)


class Entrance:
    """The outermost part of the house."""

    def __init__(self, door: FrontDoor) -> None:
        table = routes()
        self._door = door
        self._router = Router(table)
        self._callers = {route.name: (roles_of(route.name), _verifier_of(route, door)) for route in table}
        self._bodies = {
            "own": door.limits.body_bytes_max,
            "push": door.limits.push_body_bytes_max,
            "none": 0,
        }
        limits = door.limits
        self._policies = {
            "caller": f"q={limits.caller_burst};w={ceil(limits.caller_burst / limits.caller_rate_per_second)}",
            "tenant": f"q={limits.tenant_rate_per_second};w=1",
            NEW_LEDGERS: f"q={limits.new_ledgers_per_minute_max};w=60",
            "instance": f'q={limits.requests_at_once_max};qu="concurrent-requests"',
        }
        self._deadlines = Deadlines(limits.request_seconds)
        self._rates = Rates(
            TenantRates(limits.tenant_rate_per_second),
            CallerRates(per_second=limits.caller_rate_per_second, burst=limits.caller_burst),
            door.clock,
        )
        self._at_once = 0
        self._ids_from = door.entropy.bytes(6).hex()
        self._ids = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await _decline(scope, receive, send)
        door = self._door
        started = door.clock.monotonic()
        deadline = started + door.limits.request_seconds
        exchange = Exchange(scope, receive, started=started, deadline=deadline, rates=self._rates)
        exchange.id = request_id_of(exchange.headers) or self._next_id()
        self._at_once += 1
        try:
            reply: Reply | None = await self._reply(exchange, scope["headers"])
        finally:
            self._at_once -= 1
        if reply is not None:
            if not exchange.whole:
                await self._drop_body(exchange)
            await _send(exchange, reply, send)
        status, size = (CLIENT_GONE, 0) if reply is None else (reply.status, len(reply.body))
        if exchange.span is not None:
            _end_span(exchange.span, exchange, status)
        door.observer.answered(
            Answered(
                exchange.method,
                exchange.route,
                status,
                door.clock.monotonic() - started,
                exchange.bytes_in,
                size,
                exchange.id,
                exchange.remote,
                exchange.trace or "",
                "" if exchange.caller is None else exchange.caller.subject,
                exchange.tenant,
                exchange.command_id,
                exchange.receipt,
                exchange.reason,
                "" if exchange.span is None else exchange.span.context.span,
            )
        )
        return None

    async def _reply(self, exchange: Exchange, pairs: list[tuple[bytes, bytes]]) -> Reply | None:
        task = self._deadlines.begin()
        late = False
        try:
            try:
                return await self._serve(exchange, pairs)
            finally:
                late = self._deadlines.end(task)
        except ClientGone:
            return None
        except TimeoutError:
            return self._failed(exchange, _late(exchange))
        except asyncio.CancelledError:
            return self._failed(exchange, _late(exchange) if late else _stopped(exchange))
        except Exception as error:  # noqa: BLE001  # the rim: whatever else goes wrong becomes a 500
            return self._failed(exchange, error)

    async def _serve(self, exchange: Exchange, pairs: list[tuple[bytes, bytes]]) -> Reply:
        door = self._door
        check_headers(exchange, pairs)
        context = context_of(exchange.headers, pairs)
        exchange.trace = None if context is None else context.trace
        route = self._router.find(exchange)
        exchange.route = route.path
        if not route.never_waits:
            self._admit(exchange)
        roles, verifier = self._callers[route.name]
        if roles is not None:
            if "webhook" in route.credentials and brings_webhook(exchange):
                if door.webhooks is None:
                    raise Unauthenticated("unauthenticated", NO_WEBHOOKS)
                most = self._bodies[route.body]
                exchange.caller = caller = await receive_webhook(exchange, door.webhooks, body_bytes_max=most)
            else:
                exchange.caller = caller = await verifier.verify(token_of(exchange))
            if caller.rated:
                # Now, not when it began: a body or keys that came slowly have let the caller's bucket fill meanwhile.
                self._rates.callers.admit(caller.subject, door.clock.monotonic())
            require_role(caller, roles)
            if door.tracer is not None and not route.never_waits:
                self._begin_span(door.tracer, exchange, route, context)
        if route.body != "none":
            check_body_headers(exchange, self._bodies[route.body])
        return await route.serve(exchange, door)

    def _begin_span(self, tracer: Tracer, exchange: Exchange, route: Route, context: SpanContext | None) -> None:
        """Not before the caller is known: whoever may not call must not have anything recorded."""
        exchange.span = span = tracer.request(route.name, context, self._door.clock.monotonic() - exchange.started)
        if span is not None:
            exchange.trace = span.context.trace

    def _admit(self, exchange: Exchange) -> None:
        if self._at_once > self._door.limits.requests_at_once_max:
            raise Overloaded("overloaded", "too many requests are in flight")
        if self._door.drain.begun:
            raise Draining("the service is stopping")

    def _failed(self, exchange: Exchange, error: BaseException) -> Reply:
        if is_ours(error):
            tell_of(exchange, self._door, error)
        reply, exchange.reason = error_reply(error, exchange.id, self._policies)
        return reply

    async def _drop_body(self, exchange: Exchange) -> None:
        """
        Take in what is left of a body that nobody wants, if it is not too much and comes in time.

        Hanging up on a caller that is still sending would reset the connection, and it would lose the answer.
        """
        if not exchange.ends_soon():
            return
        with suppress(TimeoutError, ClientGone, asyncio.CancelledError):
            async with asyncio.timeout(exchange.deadline - self._door.clock.monotonic()):
                await exchange.drop_body()

    def _next_id(self) -> str:
        self._ids += 1
        return f"{self._ids_from}-{self._ids:x}"


def _end_span(span: Span, exchange: Exchange, status: int) -> None:
    span.end(
        exchange.reason if status >= 500 else "",
        method=exchange.method,
        route=exchange.route,
        status=status,
        request_id=exchange.id,
        tenant=exchange.tenant,
        command_id=exchange.command_id,
        receipt=exchange.receipt,
        reason=exchange.reason,
    )


def _verifier_of(route: Route, door: FrontDoor) -> Verifier:
    """What verifies a bearer token there."""
    return door.push_verifier if "google" in route.credentials and door.push_verifier else door.verifier


def _stopped(exchange: Exchange) -> TaiError:
    """What is said at the end of the process, which alone cancels a request; a command that was decided stands."""
    said = "the process stopped before the answer was known"
    return OutcomeUnknown(said) if exchange.submitted else Draining(said)


def _late(exchange: Exchange) -> TaiError:
    """What is said when the request's time is over."""
    if exchange.submitted:
        return OutcomeUnknown("the time was over before the answer was known")
    if exchange.whole:
        return StoreUnavailable("the time was over before the store had answered")
    return TurnedAway("request_timeout", "the body took too long to arrive")


async def _send(exchange: Exchange, reply: Reply, send: Send) -> None:
    body = reply.body
    headers = [
        (b"content-type", reply.media),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", exchange.id.encode("ascii")),
        _NOSNIFF,
        _NO_STORE,
        *reply.headers,
    ]
    if not exchange.whole:
        headers.append(_CLOSE)
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if exchange.method == "HEAD" else body})


async def _decline(scope: Scope, receive: Receive, send: Send) -> None:
    """Lifespan is answered, as wiring opens and closes the parts; WebSockets are refused."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
