"""
POST /pubsub: a push envelope to commands.

    envelope --> payload --> commands and signals --> decided, each with its own answer --> 200
       |            |               +-- not decided by one tenant's fault: quarantined, redriven --> 200
       |            +-- not understood, too large: quarantined, an operator may redrive it --> 200
       +-- not an envelope --> 400

Pub/Sub delivers again whatever is not acknowledged, and slows the whole subscription for it. So for a genuine message
only the state of the whole instance or store is a reason not to acknowledge, and our own error, three times.
"""

import re
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tai_autonomics.application.corridor import Answer
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.errors import Forbidden, IdempotencyKeyReused, Malformed, StoreUnavailable
from tai_autonomics.ingress import parsing, strict_json
from tai_autonomics.ingress.decisions import caller_of, count_more, item_with, seconds_left, tell_of
from tai_autonomics.ingress.delivering import (
    Delivery,
    Outcome,
    Understood,
    decide_items,
    tell_refused,
    undecided,
    understand,
)
from tai_autonomics.ingress.exchange import Exchange, Reply, TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.redriving import redrive_at
from tai_autonomics.ingress.replies import Item, is_ours, json_reply, problem_of
from tai_autonomics.ingress.signals import signal_items
from tai_autonomics.ledger.records import Quarantined

ENVELOPE_BYTES_MAX: Final = 256 * 1024
"""An envelope without its data: attributes are at most 100 of 1,280 bytes each."""
OWN_ERRORS_MAX: Final = 3
"""Deliveries of one message that may end in our own error before it is quarantined."""
REMEMBERED_MESSAGES_MAX: Final = 10_000
LONGEST_INDEX: Final = 99_999
_ID: Final = re.compile(r"[!-~]{1,512}")
PushId = Annotated[str, Meta(extra_json_schema={"pattern": "^[!-~]{1,512}$"})]


class PushMessage(Struct, frozen=True):
    """
    What Pub/Sub pushes (its REST reference, PubsubMessage); members of no use here are let through, and so is a
    publishTime that is none, as it is of use for a metric alone.
    """

    data: Raw | UnsetType = UNSET
    messageId: PushId | UnsetType = UNSET  # noqa: N815
    message_id: PushId | UnsetType = UNSET
    publishTime: Raw | UnsetType = UNSET  # noqa: N815
    publish_time: Raw | UnsetType = UNSET


class PushEnvelope(Struct, frozen=True):
    """`deliveryAttempt` is there where the subscription has a dead-letter policy."""

    message: PushMessage
    subscription: PushId
    deliveryAttempt: int | UnsetType = UNSET  # noqa: N815


class QuarantineShown(Struct, frozen=True):
    """Where the message is now; it can be redriven."""

    id: str
    reason: str
    digest: str


class PushReply(Struct, frozen=True, omit_defaults=True):
    """`items`: each item's own answer, in order. `quarantined`: the message is kept, because not all was decided."""

    items: list[Item] | UnsetType = UNSET
    quarantined: QuarantineShown | UnsetType = UNSET


class Pushed(Struct, frozen=True):
    """What an envelope says. `data` is JSON: base64 in a string, if Pub/Sub wrote it."""

    subscription: str
    message_id: str
    attempt: int | None
    data: bytes
    published: datetime | None = None
    """When Pub/Sub took it in, where the envelope says so."""

    @property
    def id(self) -> str:
        return parsing.command_id("pubsub", self.subscription, self.message_id)

    def age_seconds(self, now: datetime) -> float | None:
        """Since it was published, at least 0: the clocks are two."""
        return None if self.published is None else max((now - self.published).total_seconds(), 0.0)


_envelopes: Final = msgspec.json.Decoder(PushEnvelope)
_strings: Final = msgspec.json.Decoder(str)


class OwnErrors:
    """How often a message met our own error, where Pub/Sub does not count deliveries for us."""

    def __init__(self) -> None:
        self._counts: OrderedDict[str, int] = OrderedDict()

    def count(self, id: str) -> int:
        count = self._counts.pop(id, 0) + 1
        self._counts[id] = count
        if len(self._counts) > REMEMBERED_MESSAGES_MAX:
            self._counts.popitem(last=False)
        return count

    def forget(self, id: str) -> None:
        self._counts.pop(id, None)


class Push:
    """The endpoint; it remembers which messages met our own error."""

    def __init__(self) -> None:
        self._own_errors = OwnErrors()

    async def serve(self, exchange: Exchange, door: FrontDoor) -> Reply:
        """Acknowledges with 200 whatever redelivery cannot help."""
        outcome, age_seconds = "redelivery_wanted", None
        try:
            pushed = pushed_of(await exchange.body(door.limits.push_body_bytes_max))
            reply = await self._serve(exchange, door, pushed)
            if reply.quarantined is not UNSET:
                outcome = "quarantined"
            else:
                outcome, age_seconds = "decided", pushed.age_seconds(door.clock.now())
        except (Malformed, TurnedAway, Forbidden):
            outcome = "refused"
            raise
        finally:
            door.observer.pushed(outcome, age_seconds)
        return json_reply(reply)

    async def _serve(self, exchange: Exchange, door: FrontDoor, pushed: Pushed) -> PushReply:
        try:
            reply = await _deliver(exchange, door, pushed)
        except Exception as error:
            if not is_ours(error) or self._deliver_again(pushed):
                raise
            tell_of(exchange, door, error)
            reply = await _quarantined(exchange, door, pushed, "internal", curable=True)
        self._own_errors.forget(pushed.id)
        return reply

    def _deliver_again(self, pushed: Pushed) -> bool:
        attempt = pushed.attempt
        return (self._own_errors.count(pushed.id) if attempt is None else attempt) <= OWN_ERRORS_MAX


async def _deliver(exchange: Exchange, door: FrontDoor, pushed: Pushed) -> PushReply:
    try:
        payload = payload_of(pushed.data)
        caller = caller_of(exchange)
        delivery = Delivery(pushed.subscription, pushed.message_id, caller, exchange.trace, payload, exchange.span)
        understood = await understand(delivery, door)
    except (Malformed, TurnedAway) as error:
        return await _quarantined(exchange, door, pushed, error.reason, curable=False)
    exchange.submitted = True
    # The request itself has been counted as one, which is its first item.
    paid = iter((1,))
    outcomes = await decide_items(
        door,
        understood,
        admit=lambda tenant, count: count_more(exchange, tenant, count, paid=next(paid, 0)),
        timeout_seconds=seconds_left(exchange, door),
    )
    cause = undecided(understood, outcomes)
    tell_refused(door, understood, outcomes)
    items = await _items(exchange, door, understood, outcomes)
    if cause is not None:
        reason = problem_of(cause, exchange.id).reason
        return await _quarantined(exchange, door, pushed, reason, curable=True, items=items)
    if any(isinstance(outcome, IdempotencyKeyReused) for outcome in outcomes):
        # Nobody reads the answer to a push: the log is where its sender finds the mistake.
        exchange.reason = "idempotency_key_reused"
    return PushReply(items=items)


async def _items(
    exchange: Exchange, door: FrontDoor, commands: Sequence[Understood], outcomes: Sequence[Outcome]
) -> list[Item]:
    """Each item's own answer, in the payload's order."""
    found: dict[int, Item] = {}
    async for each, outcome in door.turns.of(zip(commands, outcomes, strict=True)):
        count = len(each.items)
        if each.is_signals and isinstance(outcome, Answer):
            found.update(zip(each.items, signal_items(outcome, count, door.clock), strict=True))
            continue
        if each.is_signals and isinstance(outcome, BaseException):
            # They are gone, and nobody reads the answer to a push: the log says so.
            exchange.reason = problem_of(outcome, exchange.id).reason
        found.update(dict.fromkeys(each.items, item_with(exchange, door, outcome)))
    return [found[index] for index in sorted(found)]


def pushed_of(raw: bytes) -> Pushed:
    """The push envelope. Raises Malformed(malformed_envelope) for what Pub/Sub would never send."""
    try:
        envelope = strict_json.decode(_envelopes, raw)
        data = b'""' if envelope.message.data is UNSET else bytes(envelope.message.data)
        # The data is cut out before the strict pass: it is by far the longest, and a string without escapes.
        rest = raw.replace(data, b'""', 1) if len(data) > 1_024 else raw
        if len(rest) <= ENVELOPE_BYTES_MAX:
            strict_json.parse(rest)
    except Malformed as error:
        raise Malformed("malformed_envelope", error.detail, pointer=error.pointer) from error
    if len(rest) > ENVELOPE_BYTES_MAX:
        raise Malformed("malformed_envelope", "an envelope without its data is at most 256 KiB", pointer="/message")
    message_id = _id_of(_either(envelope.message.messageId, envelope.message.message_id), "/message/messageId")
    subscription = _id_of(envelope.subscription, "/subscription")
    attempt = None if envelope.deliveryAttempt is UNSET else envelope.deliveryAttempt
    published = _published(envelope.message.publishTime, envelope.message.publish_time)
    pushed = Pushed(subscription, message_id, attempt, data, published)
    try:
        # Whether its longest command id can be written is settled here, before anything is decided.
        parsing.command_id("pubsub", subscription, f"{message_id}/{LONGEST_INDEX}")
    except Malformed as error:
        raise Malformed("malformed_envelope", error.detail, pointer="/subscription") from error
    return pushed


def _published(camel: Raw | UnsetType, snake: Raw | UnsetType) -> datetime | None:
    """RFC 3339 in a string (PubsubMessage.publishTime), under either name; what is no such time delays no message."""
    said = camel if camel is not UNSET else snake
    if said is UNSET:
        return None
    try:
        published = datetime.fromisoformat(_strings.decode(said))
    except (msgspec.DecodeError, ValueError):
        return None
    return None if published.utcoffset() is None else published


def _either(camel: str | UnsetType, snake: str | UnsetType) -> str:
    """Pub/Sub sends both names, with one value."""
    text = camel if camel is not UNSET else snake
    if text is UNSET:
        raise Malformed("malformed_envelope", "a push message has a messageId", pointer="/message/messageId")
    if snake is not UNSET and snake != text:
        raise Malformed("malformed_envelope", "message_id is another than messageId", pointer="/message/message_id")
    return text


def _id_of(text: str, pointer: str) -> str:
    if _ID.fullmatch(text) is None:
        raise Malformed("malformed_envelope", "an id is 1 to 512 visible ASCII characters", pointer=pointer)
    return text


def payload_of(data: bytes) -> bytes:
    """The bytes that were published. Raises Malformed."""
    text = strict_json.decode(_strings, data)
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed("malformed_request", "data is not base64", pointer="/message/data") from error


async def _quarantined(
    exchange: Exchange,
    door: FrontDoor,
    pushed: Pushed,
    reason: str,
    *,
    curable: bool,
    items: "list[Item] | UnsetType" = UNSET,
) -> PushReply:
    """
    Acknowledge the message: it is kept, durably. Raises StoreUnavailable when there is no room.

    `curable`: whether time alone can help it, so that it is redriven without anyone's word.
    """
    try:
        payload = payload_of(pushed.data)
    except Malformed:
        payload = pushed.data
    digest = sha256(payload).hexdigest()
    exchange.reason = reason
    caller = caller_of(exchange)
    message = Quarantined(
        id=pushed.id,
        time=moment_of(door.clock.now()),
        reason=reason,
        digest=digest,
        subscription=pushed.subscription,
        message_id=pushed.message_id,
        by=caller.subject,
        tenants=None if caller.tenants is None else tuple(sorted(caller.tenants)),
        trace=exchange.trace,
        redrive_at=redrive_at(door, redrives=0) if curable else None,
        payload=payload,
    )
    if not await door.quarantine(message):
        raise StoreUnavailable("the quarantine is full")
    return PushReply(items=items, quarantined=QuarantineShown(pushed.id, reason, digest))
