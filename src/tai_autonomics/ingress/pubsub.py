"""
POST /pubsub: a push envelope to commands.

    envelope --> payload --> commands and signals --> decided, each with its own answer --> 200
       |            +-- not understood, too large: quarantined --> 200
       +-- not an envelope --> 400

Pub/Sub delivers again whatever is not acknowledged, and slows the whole subscription for it. So for a genuine message
only the state of the whole instance or store is a reason not to acknowledge, and our own error, three times.
"""

import re
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tai_autonomics.application.corridor import Answer, Submission
from tai_autonomics.domain.identifiers import parse_name, parse_tenant_id
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.errors import (
    ConcurrentWrite,
    LedgerNewerThanCode,
    Malformed,
    Overloaded,
    StoreUnavailable,
    Unavailable,
)
from tai_autonomics.ingress import parsing, strict_json
from tai_autonomics.ingress.authentication import require_tenant
from tai_autonomics.ingress.decisions import caller_of, count_more, decide_all, items_with, submission_of, tell_of
from tai_autonomics.ingress.exchange import Exchange, Reply, TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor, Limits
from tai_autonomics.ingress.marketplace import DEFAULTS, Parsed, command_of
from tai_autonomics.ingress.replies import Item, is_ours, json_reply, problem_of
from tai_autonomics.ledger.records import Quarantined

ENVELOPE_BYTES_MAX: Final = 256 * 1024
"""An envelope without its data: attributes are at most 100 of 1,280 bytes each."""
OWN_ERRORS_MAX: Final = 3
"""Deliveries of one message that may end in our own error before it is quarantined."""
REMEMBERED_MESSAGES_MAX: Final = 10_000
LONGEST_INDEX: Final = 99_999
WHITE_SPACE: Final = b" \t\r\n"
_ID: Final = re.compile(r"[!-~]{1,512}")
PushId = Annotated[str, Meta(extra_json_schema={"pattern": "^[!-~]{1,512}$"})]


class PushMessage(Struct, frozen=True):
    """What Pub/Sub pushes (its REST reference, PubsubMessage); members of no use here are let through."""

    data: Raw | UnsetType = UNSET
    messageId: PushId | UnsetType = UNSET  # noqa: N815
    message_id: PushId | UnsetType = UNSET


class PushEnvelope(Struct, frozen=True):
    """`deliveryAttempt` is there where the subscription has a dead-letter policy."""

    message: PushMessage
    subscription: PushId
    deliveryAttempt: int | UnsetType = UNSET  # noqa: N815


class Signal(Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement about a tenant."""

    tenant_id: str
    metric: str
    value: Raw
    observed_at: str | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    request_id: str | UnsetType = UNSET


class CloudEvent(Struct, frozen=True):
    """The structured JSON form (CloudEvents 1.0); `data` is a command or a signal."""

    specversion: str
    id: str
    source: str
    type: str
    data: Raw


class QuarantineShown(Struct, frozen=True):
    """Where the message is now; it can be redriven."""

    id: str
    reason: str
    digest: str


class PushReply(Struct, frozen=True, omit_defaults=True):
    """`items`: each command's own answer, in order. `quarantined`: the message is kept, because not all was decided."""

    items: list[Item] | UnsetType = UNSET
    quarantined: QuarantineShown | UnsetType = UNSET


class Delivery(Struct, frozen=True):
    """One genuine push: who sent it, and what it carries."""

    subscription: str
    message_id: str
    attempt: int | None
    payload: bytes

    @property
    def id(self) -> str:
        return parsing.command_id("pubsub", self.subscription, self.message_id)


class Draft(Struct, frozen=True):
    """One item of a payload as it reads. `parsed` is None for a signal, which nothing decides yet."""

    tenant: str
    parsed: Parsed | None = None
    command_id: str = ""
    is_event: bool = False


class Understood(Struct, frozen=True):
    """One item of a payload. `submission` is None for a signal."""

    tenant: str
    submission: Submission | None


class _Peek(Struct, frozen=True):
    """What kind of item it is."""

    specversion: Raw | UnsetType = UNSET
    metric: Raw | UnsetType = UNSET


_peek: Final = msgspec.json.Decoder(_Peek)
_envelopes: Final = msgspec.json.Decoder(PushEnvelope)
_strings: Final = msgspec.json.Decoder(str)
_arrays: Final = msgspec.json.Decoder(list[Raw])
_signals: Final = msgspec.json.Decoder(Signal)
_events: Final = msgspec.json.Decoder(CloudEvent)


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
        delivery = delivery_of(await exchange.body(door.limits.push_body_bytes_max))
        try:
            reply = await _deliver(exchange, door, delivery)
        except Exception as error:
            if not is_ours(error) or self._deliver_again(delivery):
                raise
            tell_of(exchange, door, error)
            reply = await _quarantined(exchange, door, delivery, "internal")
        self._own_errors.forget(delivery.id)
        return reply

    def _deliver_again(self, delivery: Delivery) -> bool:
        attempt = delivery.attempt
        return (self._own_errors.count(delivery.id) if attempt is None else attempt) <= OWN_ERRORS_MAX


async def _deliver(exchange: Exchange, door: FrontDoor, delivery: Delivery) -> Reply:
    try:
        understood = _understand(exchange, door, delivery)
    except (Malformed, TurnedAway) as error:
        return await _quarantined(exchange, door, delivery, error.reason)
    for item in understood:
        require_tenant(caller_of(exchange), item.tenant)
    refused = [_refused_before(exchange, item) for item in understood]
    submissions = [item.submission for item, error in zip(understood, refused, strict=True) if error is None]
    decided = iter(await decide_all(exchange, door, [each for each in submissions if each is not None]))
    return await _answer(exchange, door, delivery, [next(decided) if error is None else error for error in refused])


async def _answer(
    exchange: Exchange, door: FrontDoor, delivery: Delivery, outcomes: Sequence["Answer | BaseException"]
) -> Reply:
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for error in errors:
        if is_ours(error) or _is_of_all(error):
            raise error
    items = items_with(exchange, door, outcomes)
    # A signal is refused and gone; a command that one tenant's own fault left undecided is kept.
    undecided = next((error for error in errors if not isinstance(error, TurnedAway)), None)
    if undecided is None:
        return json_reply(PushReply(items=items))
    reason = problem_of(undecided, exchange.id).reason
    return await _quarantined(exchange, door, delivery, reason, items=items)


def delivery_of(raw: bytes) -> Delivery:
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
    delivery = Delivery(subscription, message_id, attempt, data)
    try:
        # Whether its longest command id can be written is settled here, before anything is decided.
        parsing.command_id("pubsub", subscription, f"{message_id}/{LONGEST_INDEX}")
    except Malformed as error:
        raise Malformed("malformed_envelope", error.detail, pointer="/subscription") from error
    return delivery


def _either(camel: str | UnsetType, snake: str | UnsetType) -> str:
    text = camel if camel is not UNSET else snake
    if text is UNSET:
        raise Malformed("malformed_envelope", "a push message has a messageId", pointer="/message/messageId")
    return text


def _id_of(text: str, pointer: str) -> str:
    if _ID.fullmatch(text) is None:
        raise Malformed("malformed_envelope", "an id is 1 to 512 visible ASCII characters", pointer=pointer)
    return text


def _refused_before(exchange: Exchange, item: Understood) -> TurnedAway | Overloaded | None:
    """What is wrong with an item before the corridor sees it: nothing decides signals, its tenant has no rate left."""
    if item.submission is None:
        return TurnedAway("unknown_metric", "no rule names this metric")
    try:
        count_more(exchange, item.tenant, 1)
    except Overloaded as error:
        return error
    return None


def _is_of_all(error: BaseException) -> bool:
    """Whether the whole instance or store is in this state, so that only a redelivery can help."""
    if isinstance(error, Overloaded):
        return error.reason == "overloaded"
    return isinstance(error, Unavailable) and not isinstance(error, LedgerNewerThanCode | ConcurrentWrite)


def _understand(exchange: Exchange, door: FrontDoor, delivery: Delivery) -> list[Understood]:
    """What the payload says. Typed reading comes first: it refuses a hostile shape before the whole is built."""
    payload = payload_of(delivery.payload)
    if len(payload) > door.limits.push_payload_bytes_max:
        raise TurnedAway("body_too_large", "the payload is too large")
    if not payload.lstrip(WHITE_SPACE).startswith(b"["):
        item = _read(payload, delivery, "", door.limits)
        return [_with_submission(exchange, item, strict_json.parse(payload))]
    raws = strict_json.decode(_arrays, payload)
    if not 1 <= len(raws) <= door.limits.items_max:
        raise Malformed("malformed_request", f"an array of 1 to {door.limits.items_max} items")
    items = [_read(bytes(raw), delivery, f"/{index}", door.limits) for index, raw in enumerate(raws)]
    every = strict_json.parse(payload)
    return [_with_submission(exchange, item, members) for item, members in zip(items, every, strict=True)]


def payload_of(data: bytes) -> bytes:
    """The bytes that were published. Raises Malformed."""
    text = strict_json.decode(_strings, data)
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed("malformed_request", "data is not base64", pointer="/message/data") from error


def _read(raw: bytes, delivery: Delivery, index: str, limits: Limits) -> Draft:
    """`index` is "" or "/<index>"."""
    source, of, key = "pubsub", delivery.subscription, delivery.message_id + index
    peek = strict_json.decode(_peek, raw)
    is_event = peek.specversion is not UNSET
    if is_event:
        event = strict_json.decode(_events, raw)
        source, of, key = "event", event.source, event.id
        if not of or not key:
            raise Malformed("malformed_request", "an event has a source and an id", pointer=index)
        raw = bytes(event.data)
        peek = strict_json.decode(_peek, raw)
    if peek.metric is not UNSET:
        return Draft(_signal_tenant(raw))
    parsed = command_of(raw, metadata_bytes_max=limits.metadata_bytes_max)
    return Draft(parsed.tenant, parsed, parsing.command_id(source, of, parsed.key or key), is_event)


def _with_submission(exchange: Exchange, draft: Draft, members: dict[str, Any]) -> Understood:
    """`members` are the item's own, strictly parsed."""
    if draft.parsed is None:
        return Understood(draft.tenant, None)
    submission = submission_of(
        exchange,
        tenant=draft.tenant,
        command=draft.parsed.command,
        id=draft.command_id,
        source="pubsub",
        asked=parsing.asked(members["data"] if draft.is_event else members, DEFAULTS),
        parts=draft.parsed.parts,
    )
    return Understood(draft.tenant, submission)


def _signal_tenant(raw: bytes) -> str:
    signal = strict_json.decode(_signals, raw)
    parse_name(signal.metric)
    if signal.observed_at is not UNSET:
        parsing.moment(signal.observed_at, "/observed_at")
    if re.fullmatch(rb"-?[0-9].*", bytes(signal.value), re.DOTALL) is None:
        raise Malformed("malformed_request", "a value is a number", pointer="/value")
    return parse_tenant_id(signal.tenant_id)


async def _quarantined(
    exchange: Exchange,
    door: FrontDoor,
    delivery: Delivery,
    reason: str,
    *,
    items: "list[Item] | UnsetType" = UNSET,
) -> Reply:
    """Acknowledge the message: it is kept, durably. Raises StoreUnavailable when there is no room."""
    try:
        payload = payload_of(delivery.payload)
    except Malformed:
        payload = delivery.payload
    digest = sha256(payload).hexdigest()
    exchange.reason = reason
    message = Quarantined(
        id=delivery.id,
        time=moment_of(door.clock.now()),
        reason=reason,
        digest=digest,
        subscription=delivery.subscription,
        payload=payload,
    )
    if not await door.quarantine(message):
        raise StoreUnavailable("the quarantine is full")
    return json_reply(PushReply(items=items, quarantined=QuarantineShown(delivery.id, reason, digest)))
