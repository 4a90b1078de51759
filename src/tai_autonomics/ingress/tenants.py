"""/v1: what a tenant holds, its receipts, checks, usage, quota resets, erasures, and the plans files that decided."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from tai_autonomics.application.corridor import Submission
from tai_autonomics.application.queries import AsOf, Committed, Shown, TenantListed, ThrottleView
from tai_autonomics.domain.gates import Failed, Passed
from tai_autonomics.domain.identifiers import QuotaName, parse_entitlement_id, parse_name
from tai_autonomics.domain.plans import COUNT_MAX
from tai_autonomics.domain.quota import Consume, Release, Reset
from tai_autonomics.domain.tenant import Check, CheckResult, Erase, Limit
from tai_autonomics.errors import Malformed
from tai_autonomics.ingress import parsing, strict_json
from tai_autonomics.ingress.decisions import (
    count_more,
    decide,
    decide_all,
    items_with,
    ledger_of,
    own_command_id,
    reached_of,
    reply_with,
    submission_of,
    tenant_of,
)
from tai_autonomics.ingress.exchange import Exchange, Reply, TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.parsing import Count, IdText, KeyText, ReasonText
from tai_autonomics.ingress.replies import (
    Item,
    ReceiptBody,
    Sealed,
    ShownPart,
    json_reply,
    shown,
    throttle_headers,
)
from tai_autonomics.ledger.records import Erased as ErasedPart
from tai_autonomics.ledger.records import ReceiptType

RECEIPT_TYPES: Final = get_args(ReceiptType)
_NO_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({})


# ---- what is shown


class TenantList(Struct, frozen=True):
    items: tuple[TenantListed, ...]
    next: str | None


class ReceiptList(Struct, frozen=True):
    items: list[Sealed]
    next: str | None


async def tenants(exchange: Exchange, door: FrontDoor) -> Reply:
    """Tenants with a ledger, those that the caller reaches."""
    page = parsing.page_of(parsing.query_of(exchange.query, ("cursor", "limit")), "tenants")
    found = await door.queries.tenants(reached_of(exchange), page.after, page.limit)
    more = parsing.cursor_after("tenants", found[-1].tenant_id) if len(found) == page.limit else None
    return json_reply(TenantList(found, more))


async def tenant(exchange: Exchange, door: FrontDoor) -> Reply:
    """Everything that is in force for a tenant."""
    name = ledger_of(exchange)
    parsing.query_of(exchange.query, ())
    found = await door.queries.tenant(name)
    if found is None:
        raise TurnedAway("not_found", "this tenant has no ledger")
    return json_reply(found)


async def receipts(exchange: Exchange, door: FrontDoor) -> Reply:
    """A tenant's receipts in order."""
    name = ledger_of(exchange)
    query = parsing.query_of(exchange.query, ("cursor", "limit", "after", "type", "subject"))
    page = parsing.page_of(query, f"receipts/{name}")
    found = await door.queries.receipts(
        name, _after(query, page), page.limit, _receipt_type(query.get("type")), _subject(query.get("subject"))
    )
    return _receipt_page(found, page.limit, f"receipts/{name}", door.limits.reply_bytes_max)


async def receipt(exchange: Exchange, door: FrontDoor) -> Reply:
    """One receipt by its seq."""
    name = ledger_of(exchange)
    parsing.query_of(exchange.query, ())
    return _one_receipt(exchange, await door.queries.receipt(name, parsing.seq_in_path(exchange.parameters["seq"])))


async def head(exchange: Exchange, door: FrontDoor) -> Reply:
    """The newest receipt."""
    name = ledger_of(exchange)
    parsing.query_of(exchange.query, ())
    return _one_receipt(exchange, await door.queries.head(name))


async def policy(exchange: Exchange, door: FrontDoor) -> Reply:
    """The plans file of a receipt's `policy`, as it was read."""
    parsing.query_of(exchange.query, ())
    digest = exchange.parameters["digest"]
    text = await door.queries.policy(digest) if len(digest) == 64 and digest.isalnum() else None
    if text is None:
        raise TurnedAway("not_found", "no plans file of this digest has decided anything here")
    return Reply(200, text, media=b"application/yaml")


def _after(query: Mapping[str, str], page: parsing.Page) -> int:
    text = query.get("after")
    if text is not None and page.after:
        raise Malformed("malformed_request", "give cursor or after, not both")
    after = parsing.count(page.after or text or "0")
    if after is None or after > COUNT_MAX:
        raise Malformed("malformed_request", "after is a seq, 0 for the start")
    return after


def _receipt_type(text: str | None) -> str | None:
    if text is not None and text not in RECEIPT_TYPES:
        raise Malformed("malformed_request", f"type is one of {', '.join(RECEIPT_TYPES)}")
    return text


def _subject(text: str | None) -> str | None:
    if text is not None and (not 1 <= len(text) <= 160 or not text.isprintable()):
        raise Malformed("malformed_request", "subject is kind/id or an id")
    return text


def _receipt_page(found: tuple[Shown, ...], limit: int, of: str, bytes_max: int) -> Reply:
    items: list[Sealed] = []
    size = 0
    for each in found:
        size += len(each.receipt.body) + sum(len(part.text) for part in each.parts)
        if items and size > bytes_max:
            break
        items.append(shown(each.receipt, each.parts))
    whole = len(items) == len(found) < limit
    more = None if whole or not items else parsing.cursor_after(of, str(found[len(items) - 1].receipt.seq))
    return json_reply(ReceiptList(items, more))


def _one_receipt(exchange: Exchange, found: Shown | None) -> Reply:
    if found is None:
        raise TurnedAway("not_found", "there is no such receipt")
    exchange.receipt = found.receipt.hash
    headers = ((b"receipt-hash", found.receipt.hash.encode("ascii")),)
    return json_reply(shown(found.receipt, found.parts), headers=headers)


# ---- check


class CheckAsked(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """May the tenant do this? `amount` is what it would consume of the quota."""

    entitlement_id: IdText | UnsetType = UNSET
    feature: IdText | UnsetType = UNSET
    quota: IdText | UnsetType = UNSET
    amount: Count = 1


class BareCheck(CheckAsked, frozen=True, gc=False):
    """One check, and whether every gate's evidence is wanted."""

    explain: bool = False


class CheckList(Struct, frozen=True, forbid_unknown_fields=True):
    """Several checks of one tenant, answered as of one moment."""

    checks: Annotated[list[CheckAsked], Meta(extra_json_schema={"minItems": 1})]
    explain: bool = False


class LimitShown(Struct, frozen=True, gc=False):
    """`limit` and `remaining` null: unlimited. `resets_at` absent: never."""

    limit: int | None
    used: int
    remaining: int | None
    resets_at: str | UnsetType = UNSET


class GateShown(Struct, frozen=True, omit_defaults=True):
    gate: str
    passed: bool
    evidence: dict[str, Any]
    reason: str | None = None
    detail: str | None = None
    next_step: str | None = None


class CheckShown(Struct, frozen=True):
    allowed: bool
    limits: dict[str, LimitShown]
    reason: str | UnsetType = UNSET
    gates: list[GateShown] | UnsetType = UNSET


class CheckReply(Struct, frozen=True):
    """`allowed`: all of them are. `stale` is there, and true, where the store could not be asked for a newer state."""

    allowed: bool
    as_of: AsOf
    results: list[CheckShown]
    throttle: ThrottleView | UnsetType = UNSET
    """There while an action throttles the tenant: what is left after these checks, as this instance counts."""
    stale: Literal[True] | UnsetType = UNSET


class _Peek(Struct, frozen=True):
    """Whether a body is one or several. Asked first, because it costs little, however hostile the rest is."""

    checks: Raw | UnsetType = UNSET
    items: Raw | UnsetType = UNSET


_peek: Final = msgspec.json.Decoder(_Peek)
_bare_checks: Final = msgspec.json.Decoder(BareCheck)
_check_lists: Final = msgspec.json.Decoder(CheckList)
_encode: Final = msgspec.json.Encoder().encode


async def check(exchange: Exchange, door: FrontDoor) -> Reply:
    """Decides and writes nothing; never a 403 for a decision."""
    name = tenant_of(exchange)
    raw = await exchange.body(door.limits.body_bytes_max)
    if _has(raw, b'"checks"') and strict_json.decode(_peek, raw).checks is not UNSET:
        several = strict_json.decode(_check_lists, raw)
        _bounded(several.checks, door.limits.items_max, "/checks")
        count_more(exchange, name, len(several.checks) - 1)
        checks = tuple(_check_of(each, f"/checks/{index}") for index, each in enumerate(several.checks))
        explain = several.explain
    else:
        one = strict_json.decode(_bare_checks, raw)
        checks, explain = (_check_of(one, ""),), one.explain
    strict_json.parse(raw)
    answer = await door.queries.check(name, checks)
    results = [_check_shown(result, explain) for result in answer.results]
    allowed = all([result.allowed for result in results])  # noqa: C419  # a list is faster, and this is the hot path
    throttle = answer.throttle
    headers = () if throttle is None else throttle_headers(throttle, door.clock)
    as_of = AsOf(answer.seq, answer.time)
    return Reply(200, _encode(CheckReply(allowed, as_of, results, throttle or UNSET, answer.stale or UNSET)), headers)


def _has(raw: bytes, quoted: bytes) -> bool:
    """Whether a body can have the member: written as it is, or in a way that only a parser can tell."""
    return quoted in raw or b"\\" in raw


def _check_of(asked: CheckAsked, pointer: str) -> Check:
    entitlement, feature, quota = asked.entitlement_id, asked.feature, asked.quota
    return Check(
        None if entitlement is UNSET else parsing.at(f"{pointer}/entitlement_id", parse_entitlement_id, entitlement),
        None if feature is UNSET else parsing.at(f"{pointer}/feature", parse_name, feature),  # type: ignore[arg-type]
        None if quota is UNSET else parsing.at(f"{pointer}/quota", parse_name, quota),  # type: ignore[arg-type]
        parsing.amount(asked.amount, f"{pointer}/amount"),
    )


def _check_shown(result: CheckResult, explain: bool) -> CheckShown:
    return CheckShown(
        result.allowed,
        {name: _limit_shown(limit) for name, limit in result.limits.items()},
        UNSET if result.reason is None else result.reason,
        [_gate_shown(gate) for gate in result.gates] if explain else UNSET,
    )


def _limit_shown(limit: Limit) -> LimitShown:
    resets_at = UNSET if limit.resets_at is None else limit.resets_at
    return LimitShown(limit.limit, limit.used, limit.remaining, resets_at)


def _gate_shown(gate: Passed | Failed) -> GateShown:
    match gate:
        case Passed(name, evidence):
            return GateShown(name, True, evidence)
        case Failed(name, evidence, reason, detail, next_step):
            return GateShown(name, False, evidence, reason, detail, next_step)


def _bounded(items: list[Any], items_max: int, pointer: str) -> None:
    if not 1 <= len(items) <= items_max:
        raise Malformed("malformed_request", f"1 to {items_max} items", pointer=pointer)


# ---- usage


class UsageItem(Struct, frozen=True, forbid_unknown_fields=True):
    """Consume or release some of a quota. `request_id` is its idempotency key."""

    operation: Literal["consume", "release"]
    quota: IdText
    amount: Count
    entitlement_id: IdText | UnsetType = UNSET
    request_id: KeyText | UnsetType = UNSET


class UsageListed(UsageItem, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several: its key cannot be the header."""

    request_id: KeyText


class UsageList(Struct, frozen=True, forbid_unknown_fields=True):
    items: Annotated[list[UsageListed], Meta(extra_json_schema={"minItems": 1})]


class DecidedList(Struct, frozen=True):
    """Each item's own answer, in order."""

    items: list[Item]


_usage_items: Final = msgspec.json.Decoder(UsageItem)
_usage_lists: Final = msgspec.json.Decoder(UsageList)


async def usage(exchange: Exchange, door: FrontDoor) -> Reply:
    """Counts usage against the tenant's quotas, each item on its own."""
    name = tenant_of(exchange)
    raw = await exchange.body(door.limits.body_bytes_max)
    header = parsing.idempotency_key(exchange.headers)
    if _has(raw, b'"items"') and strict_json.decode(_peek, raw).items is not UNSET:
        return await _several(exchange, door, name, raw, header)
    item = strict_json.decode(_usage_items, raw)
    given = None if item.request_id is UNSET else item.request_id
    key = parsing.one_key(header, given)
    submission = _usage_of(exchange, door, name, item, strict_json.parse(raw), key, "")
    return await reply_with(exchange, door, await decide(exchange, door, submission))


async def _several(exchange: Exchange, door: FrontDoor, name: str, raw: bytes, header: str | None) -> Reply:
    if header is not None:
        raise Malformed("malformed_request", "several items have a request_id each, and no Idempotency-Key")
    items = strict_json.decode(_usage_lists, raw).items
    _bounded(items, door.limits.items_max, "/items")
    count_more(exchange, name, len(items) - 1)
    members = strict_json.parse(raw)["items"]
    submissions = [
        _usage_of(
            exchange,
            door,
            name,
            item,
            members[index],
            item.request_id,
            f"/items/{index}",
        )
        for index, item in enumerate(items)
    ]
    outcomes = await decide_all(exchange, door, submissions)
    return json_reply(DecidedList(await items_with(exchange, door, outcomes)))


def _usage_of(
    exchange: Exchange,
    door: FrontDoor,
    name: str,
    item: UsageItem,
    members: dict[str, Any],
    key: str | None,
    pointer: str,
) -> Submission:
    if key is None:
        needed = "usage needs a request_id" if pointer else "usage needs a request_id or an Idempotency-Key"
        raise Malformed("missing_field", needed, pointer=f"{pointer}/request_id")
    return submission_of(
        exchange,
        tenant=name,
        command=_usage_command(item, pointer),
        id=own_command_id(exchange, door, parsing.request_id(key, f"{pointer}/request_id")),
        source="usage",
        asked=parsing.asked(members, _NO_DEFAULTS),
    )


def _usage_command(item: UsageItem, pointer: str) -> Consume | Release:
    quota = parsing.at(f"{pointer}/quota", parse_name, item.quota)
    amount = parsing.amount(item.amount, f"{pointer}/amount")
    if item.operation == "consume":
        entitlement = None
        if item.entitlement_id is not UNSET:
            entitlement = parsing.at(f"{pointer}/entitlement_id", parse_entitlement_id, item.entitlement_id)
        return Consume(QuotaName(quota), amount, entitlement)
    if item.entitlement_id is not UNSET:
        detail = "entitlement_id does not apply to release"
        raise Malformed("malformed_request", detail, pointer=f"{pointer}/entitlement_id")
    return Release(QuotaName(quota), amount)


# ---- what operators and admins do


class QuotaResetAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """The body may be left out."""

    reason: ReasonText | UnsetType = UNSET
    request_id: KeyText | UnsetType = UNSET


class ErasureAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """Take the erasable part away from the receipt `seq`."""

    seq: Count
    part: str
    reason: ReasonText | UnsetType = UNSET
    request_id: KeyText | UnsetType = UNSET


class Erased(Struct, frozen=True):
    """`journal`: whether the part is gone from the store's journal too."""

    receipt: ReceiptBody
    hash: str
    journal: Literal["pending", "clean"]
    parts: dict[str, ShownPart] | UnsetType = UNSET


_resets: Final = msgspec.json.Decoder(QuotaResetAsked)
_erasures: Final = msgspec.json.Decoder(ErasureAsked)


async def reset(exchange: Exchange, door: FrontDoor) -> Reply:
    """Sets what is used of a quota in its current window to 0."""
    name = tenant_of(exchange)
    quota = QuotaName(parse_name(exchange.parameters["quota"]))
    raw = await exchange.body(door.limits.body_bytes_max) or b"{}"
    body = strict_json.decode(_resets, raw)
    parts = parsing.parts_of(body, ("reason",), door.limits.metadata_bytes_max)
    strict_json.parse(raw)
    submission = submission_of(
        exchange,
        tenant=name,
        command=Reset(quota),
        id=own_command_id(exchange, door, parsing.key_of(exchange.headers, body.request_id)),
        source="api",
        asked={"operation": "reset", "quota": quota},
        parts=parts,
    )
    return await reply_with(exchange, door, await decide(exchange, door, submission))


async def erase(exchange: Exchange, door: FrontDoor) -> Reply:
    """Erases a part; the receipt that committed to it stays, and still verifies."""
    name = tenant_of(exchange)
    raw = await exchange.body(door.limits.body_bytes_max)
    body = strict_json.decode(_erasures, raw)
    parts = parsing.parts_of(body, ("reason",), door.limits.metadata_bytes_max)
    strict_json.parse(raw)
    committed = await _require_committed(door, name, body)
    submission = submission_of(
        exchange,
        tenant=name,
        command=Erase(body.seq, body.part, made_at=committed.made_at),
        id=own_command_id(exchange, door, parsing.key_of(exchange.headers, body.request_id)),
        source="api",
        asked={"operation": "erase", "seq": body.seq, "part": body.part},
        parts=parts,
    )
    reply = await reply_with(exchange, door, await decide(exchange, door, submission))
    if reply.status != HTTPStatus.OK:
        return reply
    await door.note_erased(ErasedPart(name, body.seq, committed.hash, body.part))
    journal = b',"journal":"clean"}' if await door.journal_clean() else b',"journal":"pending"}'
    return Reply(200, reply.body[:-1] + journal, reply.headers)


async def _require_committed(door: FrontDoor, name: str, body: ErasureAsked) -> Committed:
    if not 1 <= body.seq <= COUNT_MAX:
        raise Malformed("malformed_request", "a seq is an integer from 1 to 2^53-1", pointer="/seq")
    found = await door.queries.committed(name, body.seq)
    if found is None:
        raise TurnedAway("not_found", f"there is no receipt {body.seq}, or it is archived and had no part")
    if body.part not in found.parts:
        raise TurnedAway("not_found", f"receipt {body.seq} commits to no such part")
    return found
