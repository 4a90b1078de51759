"""
What a message says, and what becomes of it, whoever brings it: Pub/Sub, or the quarantine.

    payload --> items: commands and signals --> each decided, or why it is not
      +-- not understood: nothing is decided

The command ids come from the message, so what an earlier delivery decided is a duplicate.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tai_autonomics.application.codec import request_digest
from tai_autonomics.application.corridor import Answer, Submission
from tai_autonomics.application.ports import Caller, Span
from tai_autonomics.domain.governor import Observe, Signal, split
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
from tai_autonomics.ingress.replies import is_ours, problem_of
from tai_autonomics.ingress.signals import Pushed, asked_of, pushed_signal

WHITE_SPACE: Final = b" \t\r\n"

Outcome = Answer | BaseException


class Delivery(Struct, frozen=True):
    """One message: where it was published, who brought it, and what it carries."""

    subscription: str
    message_id: str
    caller: Caller
    trace: str | None
    payload: bytes
    span: Span | None = None
    """Of the request that brings it, where it is recorded."""


class CloudEvent(Struct, frozen=True):
    """The structured JSON form (CloudEvents 1.0); `data` is a command or a signal."""

    specversion: str
    id: str
    source: str
    type: str
    data: Raw


class Draft(Struct, frozen=True):
    """One item of a payload as it reads. With an id of its own a signal is a command of its own."""

    item: Parsed | Pushed
    command_id: str
    has_own_id: bool
    is_event: bool


class Understood(Struct, frozen=True):
    """One command of a payload, and which of its items, in order, it answers."""

    submission: Submission
    items: tuple[int, ...]

    @property
    def is_signals(self) -> bool:
        return isinstance(self.submission.command, Observe)


class _Peek(Struct, frozen=True):
    """What kind of item it is."""

    specversion: Raw | UnsetType = UNSET
    metric: Raw | UnsetType = UNSET


_peek: Final = msgspec.json.Decoder(_Peek)
_arrays: Final = msgspec.json.Decoder(list[Raw])
_events: Final = msgspec.json.Decoder(CloudEvent)


async def understand(delivery: Delivery, door: FrontDoor) -> list[Understood]:
    """
    The commands of the payload, in the order of their first items. Raises Malformed and TurnedAway when it is not
    understood, Forbidden when its caller does not reach one of its tenants.
    """
    commands = await _commands_of(delivery, door)
    for each in commands:
        require_tenant(delivery.caller, each.submission.tenant)
    return commands


async def decide_items(
    door: FrontDoor, commands: Sequence[Understood], *, admit: Callable[[str, int], None], timeout_seconds: float
) -> list[Outcome]:
    """Each command's decision, or why it has none. `admit` may refuse a tenant so many items: raises Overloaded."""
    refused = [_refused_before(each, admit) for each in commands]
    wanted = [each.submission for each, error in zip(commands, refused, strict=True) if error is None]
    decided = iter(await submit_all(door, wanted, timeout_seconds=timeout_seconds))
    return [next(decided) if error is None else error for error in refused]


def undecided(commands: Sequence[Understood], outcomes: Sequence[Outcome]) -> BaseException | None:
    """
    One tenant's own limit or fault that left a command undecided, or None when every item has its answer.

    Signals that it met are refused and gone: newer ones follow. A key that belongs to other content is an answer too,
    as no delivery will change it. Raises the first error that is our own, or that the whole instance or store is in.
    """
    errors = [(each, outcome) for each, outcome in zip(commands, outcomes, strict=True) if not _is_answer(outcome)]
    left: list[BaseException] = []
    for each, error in errors:
        assert isinstance(error, BaseException)
        if is_ours(error) or _is_of_all(error):
            raise error
        if not each.is_signals and not isinstance(error, IdempotencyKeyReused):
            left.append(error)
    return next(iter(left), None)


def tell_refused(door: FrontDoor, commands: Sequence[Understood], outcomes: Sequence[Outcome]) -> None:
    """Tell the observer of signals that are gone without a receipt, once `undecided` has raised nothing."""
    for each, outcome in zip(commands, outcomes, strict=True):
        if each.is_signals and isinstance(outcome, BaseException):
            door.observer.signals_refused(problem_of(outcome, "").reason, len(each.items))


def _is_answer(outcome: Outcome) -> bool:
    return not isinstance(outcome, BaseException)


def _refused_before(each: Understood, admit: Callable[[str, int], None]) -> Overloaded | None:
    """What is wrong before the corridor sees it: its tenant has no rate left."""
    try:
        admit(each.submission.tenant, len(each.items))
    except Overloaded as error:
        return error
    return None


def _is_of_all(error: BaseException) -> bool:
    """Whether the whole instance or store is in this state, so that only a later delivery can help."""
    if isinstance(error, Overloaded):
        return error.reason == "overloaded"
    return isinstance(error, Unavailable) and not isinstance(error, LedgerNewerThanCode | ConcurrentWrite)


async def _commands_of(delivery: Delivery, door: FrontDoor) -> list[Understood]:
    """Typed reading comes first: it refuses a hostile shape before the whole is built."""
    payload, limits = delivery.payload, door.limits
    if len(payload) > limits.push_payload_bytes_max:
        raise TurnedAway("body_too_large", "the payload is too large")
    if not payload.lstrip(WHITE_SPACE).startswith(b"["):
        draft = _read(payload, delivery, "", limits)
        return await _together(delivery, door, [draft], [strict_json.parse(payload)])
    raws = strict_json.decode(_arrays, payload)
    if not 1 <= len(raws) <= limits.items_max:
        raise Malformed("malformed_request", f"an array of 1 to {limits.items_max} items")
    drafts = [_read(bytes(raw), delivery, f"/{index}", limits) async for index, raw in door.turns.of(enumerate(raws))]
    return await _together(delivery, door, drafts, strict_json.parse(payload))


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
    item: Parsed | Pushed
    if peek.metric is not UNSET:
        item = pushed_signal(raw)
    else:
        item = command_of(raw, metadata_bytes_max=limits.metadata_bytes_max)
    command_id = parsing.command_id(source, of, item.key or key)
    return Draft(item, command_id, is_event or item.key is not None, is_event)


async def _together(
    delivery: Delivery, door: FrontDoor, drafts: Sequence[Draft], members: Sequence[dict[str, Any]]
) -> list[Understood]:
    """The signals of one tenant are one command, as far as a receipt holds them. `members` are strictly parsed."""
    found: list[Understood] = []
    plain: dict[str, list[tuple[int, Signal]]] = {}
    async for index, draft in door.turns.of(enumerate(drafts)):
        match draft.item:
            case Pushed(tenant, signal) if not draft.has_own_id:
                plain.setdefault(tenant, []).append((index, signal))
            case Pushed(tenant, signal):
                found.append(_observe(delivery, tenant, draft.command_id, (signal,), (index,)))
            case Parsed() as parsed:
                found.append(_command(delivery, draft, parsed, members[index], index))
    async for tenant, signals in door.turns.of(plain.items()):
        indexes = iter([index for index, _ in signals])
        for some in split(signal for _, signal in signals):
            items = tuple(islice(indexes, len(some)))
            found.append(_observe(delivery, tenant, drafts[items[0]].command_id, some, items))
    return sorted(found, key=lambda each: each.items[0])


def _observe(
    delivery: Delivery, tenant: str, command_id: str, signals: tuple[Signal, ...], items: tuple[int, ...]
) -> Understood:
    submission = Submission(
        tenant=tenant,
        command=Observe(signals),
        command_id=command_id,
        source="pubsub",
        by=delivery.caller.subject,
        request=request_digest(asked_of(signals)),
        trace=delivery.trace,
        span=delivery.span,
    )
    return Understood(submission, items)


def _command(delivery: Delivery, draft: Draft, parsed: Parsed, members: dict[str, Any], index: int) -> Understood:
    submission = Submission(
        tenant=parsed.tenant,
        command=parsed.command,
        command_id=draft.command_id,
        source="pubsub",
        by=delivery.caller.subject,
        request=request_digest(parsing.asked(members["data"] if draft.is_event else members, DEFAULTS)),
        trace=delivery.trace,
        parts=parsed.parts,
        span=delivery.span,
    )
    return Understood(submission, (index,))
