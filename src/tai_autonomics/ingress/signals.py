"""
Measurements of a tenant: how a caller writes them, how they become one command, and what became of each.

    signals --> Observe, one command and one receipt --> its events, in the signals' order --> an answer for each
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from tai_autonomics.application.codec import events_of
from tai_autonomics.application.corridor import Answer
from tai_autonomics.application.ports import Clock
from tai_autonomics.domain import governor
from tai_autonomics.domain.governor import Observe, SignalObserved, SignalRefused
from tai_autonomics.domain.identifiers import MetricName, parse_name, parse_tenant_id
from tai_autonomics.domain.moments import Moment
from tai_autonomics.errors import Malformed
from tai_autonomics.ingress import parsing, strict_json
from tai_autonomics.ingress.decisions import (
    count_more,
    decide,
    own_command_id,
    reply_with,
    submission_of,
    tenant_of,
)
from tai_autonomics.ingress.exchange import Exchange, Reply
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.parsing import IdText, KeyText, TimeText
from tai_autonomics.ingress.replies import REASONS, Problem, ReceiptBody, item_of
from tai_autonomics.ledger.records import Receipt

NumberText = Annotated[Raw, Meta(extra_json_schema={"type": "number"})]
"""Kept as it was written: a measurement never passes through a float."""


class SignalAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement; without `observed_at` it is as new as can be."""

    metric: IdText
    value: NumberText
    observed_at: TimeText | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET


class BareSignal(SignalAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measurement, with its idempotency key."""

    request_id: KeyText | UnsetType = UNSET


class PushedSignal(BareSignal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One measurement of a message, which names its tenant."""

    tenant_id: IdText


class SignalList(Struct, frozen=True, forbid_unknown_fields=True):
    """Measurements of one tenant in order; one key for all of them."""

    signals: Annotated[list[SignalAsked], Meta(extra_json_schema={"minItems": 1})]
    request_id: KeyText | UnsetType = UNSET


class SignalTaken(Struct, frozen=True):
    """A signal that was observed. `instance` and `hash` name the receipt that says so."""

    status: Literal[200]
    instance: str
    hash: str


SignalItem = Annotated[
    Any,
    Meta(
        extra_json_schema={
            "anyOf": [{"$ref": "#/components/schemas/SignalTaken"}, {"$ref": "#/components/schemas/Problem"}]
        }
    ),
]
"""One signal's own answer: a SignalTaken, or a Problem without the receipt, which `instance` and `hash` name."""


class Observed(Struct, frozen=True):
    """One receipt of all signals, and each signal's own answer, in order."""

    receipt: ReceiptBody
    hash: str
    items: list[SignalItem]


class _Peek(Struct, frozen=True):
    signals: Raw | UnsetType = UNSET


_peek: Final = msgspec.json.Decoder(_Peek)
_bare: Final = msgspec.json.Decoder(BareSignal)
_lists: Final = msgspec.json.Decoder(SignalList)
_pushed: Final = msgspec.json.Decoder(PushedSignal)
_encode: Final = msgspec.json.Encoder().encode


class Pushed(Struct, frozen=True):
    """A message's signal; `key` is its own request_id, if it has one."""

    tenant: str
    signal: governor.Signal
    key: str | None


def pushed_signal(raw: bytes) -> Pushed:
    """A message's signal; whether its JSON is strict is for the caller to ask. Raises Malformed."""
    body = strict_json.decode(_pushed, raw)
    tenant = parsing.at("/tenant_id", parse_tenant_id, body.tenant_id)
    key = parsing.key_in(body.request_id)
    return Pushed(tenant, signal_of(body, ""), key)


def signal_of(asked: SignalAsked, pointer: str) -> governor.Signal:
    """Raises Malformed."""
    labels: dict[str, str] = {}
    if asked.labels is not UNSET:
        try:
            labels = governor.parse_labels(asked.labels)
        except Malformed as error:
            raise Malformed(error.reason, error.detail, pointer=f"{pointer}/labels") from error
    return governor.Signal(
        MetricName(parsing.at(f"{pointer}/metric", parse_name, asked.metric)),
        parsing.at(f"{pointer}/value", governor.parse_value, bytes(asked.value).decode(errors="replace")),
        None if asked.observed_at is UNSET else parsing.moment(asked.observed_at, f"{pointer}/observed_at"),
        labels,
    )


def asked_of(signals: Sequence[governor.Signal]) -> dict[str, Any]:
    """What the digest of signals covers. 1.0 and 1 are one value, and so is a time in two offsets."""
    return {"signals": [_members(signal) for signal in signals]}


def _members(signal: governor.Signal) -> dict[str, Any]:
    members: dict[str, Any] = {"metric": signal.metric, "value": governor.text_of(signal.value)}
    if signal.observed_at is not None:
        members["observed_at"] = signal.observed_at
    if signal.labels:
        members["labels"] = signal.labels
    return members


def signal_items(answer: Answer, count: int, clock: Clock) -> list[SignalItem]:
    """What became of each of the `count` signals of a receipt. Raises LedgerNewerThanCode."""
    receipt = answer.receipt
    if receipt.type == "refusal":
        refused = replace(cast("Problem", item_of(answer, clock)), gates=UNSET, receipt=UNSET)
        return [refused] * count
    said = [event for event in events_of(receipt) if isinstance(event, SignalObserved | SignalRefused)]
    return [_item(event, receipt) for event in said]


def _item(event: SignalObserved | SignalRefused, receipt: Receipt) -> SignalItem:
    instance = f"/v1/tenants/{receipt.tenant}/receipts/{receipt.seq}"
    if isinstance(event, SignalObserved):
        return SignalTaken(200, instance, receipt.hash)
    kind = REASONS[event.reason]
    return Problem(
        type=f"/problems/{event.reason}",
        title=kind.title,
        status=kind.status,
        detail=governor.signal_refusal(event, Moment(receipt.time)).detail,
        instance=instance,
        reason=event.reason,
        next_step=kind.next_step,
        hash=receipt.hash,
    )


async def serve(exchange: Exchange, door: FrontDoor) -> Reply:
    """One command, one key, one receipt."""
    tenant = tenant_of(exchange)
    raw = await exchange.body(door.limits.body_bytes_max)
    signals, given = _asked(raw, door.limits.items_max)
    strict_json.parse(raw)
    key = parsing.one_key(parsing.idempotency_key(exchange.headers), given)
    count_more(exchange, tenant, len(signals) - 1)
    submission = submission_of(
        exchange,
        tenant=tenant,
        command=Observe(signals),
        id=own_command_id(exchange, door, key),
        source="signals",
        asked=asked_of(signals),
    )
    answer = await decide(exchange, door, submission)
    reply = await reply_with(exchange, door, answer)
    items = _encode(signal_items(answer, len(signals), door.clock))
    return replace(reply, body=reply.body[:-1] + b',"items":' + items + b"}") if reply.status == 200 else reply


def _asked(raw: bytes, items_max: int) -> tuple[tuple[governor.Signal, ...], str | None]:
    """The signals and the body's own key. Raises Malformed."""
    if strict_json.decode(_peek, raw).signals is UNSET:
        one = strict_json.decode(_bare, raw)
        return (signal_of(one, ""),), parsing.key_in(one.request_id)
    several = strict_json.decode(_lists, raw)
    if not 1 <= len(several.signals) <= items_max:
        raise Malformed("malformed_request", f"1 to {items_max} signals", pointer="/signals")
    signals = tuple(signal_of(each, f"/signals/{index}") for index, each in enumerate(several.signals))
    commands = governor.split(signals)
    if len(commands) > 1:
        # One key can only be one receipt's, so the caller splits, and knows which part an answer is for.
        detail = f"one receipt holds {len(commands[0])} of these {len(signals)} signals: send the rest after them"
        raise Malformed("malformed_request", detail, pointer=f"/signals/{len(commands[0])}")
    return signals, parsing.key_in(several.request_id)
