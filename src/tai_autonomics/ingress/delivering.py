"""
What a message says, and what becomes of it, whoever brings it: Pub/Sub, or the quarantine.

    payload --> items: commands and signals --> each decided, or why it is not
      +-- not understood: nothing is decided

The command ids come from the message, so what an earlier delivery decided is a duplicate.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tai_autonomics.application.codec import request_digest
from tai_autonomics.application.corridor import Answer, Submission
from tai_autonomics.application.ports import Caller
from tai_autonomics.domain.identifiers import parse_name, parse_tenant_id
from tai_autonomics.errors import (
    ConcurrentWrite,
    IdempotencyKeyReused,
    LedgerNewerThanCode,
    Malformed,
    Overloaded,
    Unavailable,
)
from tai_autonomics.ingress import parsing, strict_json
from tai_autonomics.ingress.authentication import require_tenant
from tai_autonomics.ingress.decisions import submit_all
from tai_autonomics.ingress.exchange import TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor, Limits
from tai_autonomics.ingress.marketplace import DEFAULTS, Parsed, command_of
from tai_autonomics.ingress.replies import is_ours

WHITE_SPACE: Final = b" \t\r\n"

Outcome = Answer | BaseException


class Delivery(Struct, frozen=True):
    """One message: where it was published, who brought it, and what it carries."""

    subscription: str
    message_id: str
    caller: Caller
    trace: str | None
    payload: bytes


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
_arrays: Final = msgspec.json.Decoder(list[Raw])
_signals: Final = msgspec.json.Decoder(Signal)
_events: Final = msgspec.json.Decoder(CloudEvent)


def understand(delivery: Delivery, limits: Limits) -> list[Understood]:
    """
    What the payload says. Raises Malformed and TurnedAway when it is not understood, Forbidden when its caller does
    not reach one of its tenants.
    """
    items = _items_of(delivery, limits)
    for item in items:
        require_tenant(delivery.caller, item.tenant)
    return items


async def decide_items(
    door: FrontDoor, items: Sequence[Understood], *, admit: Callable[[str], None], timeout_seconds: float
) -> list[Outcome]:
    """Each item's decision, or why it has none, in order. `admit` may refuse a tenant: raises Overloaded."""
    refused = [_refused_before(item, admit) for item in items]
    submissions = [item.submission for item, error in zip(items, refused, strict=True) if error is None]
    wanted = [submission for submission in submissions if submission is not None]
    decided = iter(await submit_all(door, wanted, timeout_seconds=timeout_seconds))
    return [next(decided) if error is None else error for error in refused]


def undecided(outcomes: Sequence[Outcome]) -> BaseException | None:
    """
    One tenant's own limit or fault that left a command undecided, or None when every item has its answer.

    A signal is refused and gone. A key that belongs to other content is an answer too, as no delivery will change it.
    Raises the first error that is our own, or that the whole instance or store is in.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for error in errors:
        if is_ours(error) or _is_of_all(error):
            raise error
    return next((error for error in errors if not isinstance(error, TurnedAway | IdempotencyKeyReused)), None)


def _refused_before(item: Understood, admit: Callable[[str], None]) -> TurnedAway | Overloaded | None:
    """What is wrong with an item before the corridor sees it: nothing decides signals, its tenant has no rate left."""
    if item.submission is None:
        return TurnedAway("unknown_metric", "no rule names this metric")
    try:
        admit(item.tenant)
    except Overloaded as error:
        return error
    return None


def _is_of_all(error: BaseException) -> bool:
    """Whether the whole instance or store is in this state, so that only a later delivery can help."""
    if isinstance(error, Overloaded):
        return error.reason == "overloaded"
    return isinstance(error, Unavailable) and not isinstance(error, LedgerNewerThanCode | ConcurrentWrite)


def _items_of(delivery: Delivery, limits: Limits) -> list[Understood]:
    """Typed reading comes first: it refuses a hostile shape before the whole is built."""
    payload = delivery.payload
    if len(payload) > limits.push_payload_bytes_max:
        raise TurnedAway("body_too_large", "the payload is too large")
    if not payload.lstrip(WHITE_SPACE).startswith(b"["):
        item = _read(payload, delivery, "", limits)
        return [_with_submission(delivery, item, strict_json.parse(payload))]
    raws = strict_json.decode(_arrays, payload)
    if not 1 <= len(raws) <= limits.items_max:
        raise Malformed("malformed_request", f"an array of 1 to {limits.items_max} items")
    items = [_read(bytes(raw), delivery, f"/{index}", limits) for index, raw in enumerate(raws)]
    every = strict_json.parse(payload)
    return [_with_submission(delivery, item, members) for item, members in zip(items, every, strict=True)]


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


def _with_submission(delivery: Delivery, draft: Draft, members: dict[str, Any]) -> Understood:
    """`members` are the item's own, strictly parsed."""
    if draft.parsed is None:
        return Understood(draft.tenant, None)
    submission = Submission(
        tenant=draft.tenant,
        command=draft.parsed.command,
        command_id=draft.command_id,
        source="pubsub",
        by=delivery.caller.subject,
        request=request_digest(parsing.asked(members["data"] if draft.is_event else members, DEFAULTS)),
        trace=delivery.trace,
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
