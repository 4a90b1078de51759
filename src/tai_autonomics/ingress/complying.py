"""What operators and auditors say of a tenant's compliance: holds, their release, attestations, exports."""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tai_autonomics.domain.compliance import Attest, PlaceHold, ReleaseHold, Scope, Verdict, parse_evidence
from tai_autonomics.domain.identifiers import IDENTIFIER, ControlName, HoldId, parse_name
from tai_autonomics.domain.plans import COUNT_MAX
from tai_autonomics.domain.tenant import NoteExport
from tai_autonomics.errors import Malformed
from tai_autonomics.ingress import parsing, strict_json
from tai_autonomics.ingress.decisions import (
    caller_of,
    decide,
    own_command_id,
    reply_with,
    submission_of,
    tenant_of,
)
from tai_autonomics.ingress.exchange import Exchange, Reply, TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.governing import tell
from tai_autonomics.ingress.parsing import Count, IdText, KeyText, ReasonText, TimeText

EvidenceText = Annotated[
    str, Meta(extra_json_schema={"pattern": "^([A-Za-z][A-Za-z0-9+.-]{0,31}:[!-~]{1,480}|[0-9a-f]{40,128})$"})
]


DigestText = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{64}$"})]
DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class HoldAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """Refuse what is in the scope from now on, until it is released or expires. `evidence` is a URI or a digest."""

    scope: Scope
    evidence: EvidenceText
    expires_at: TimeText | UnsetType = UNSET
    reason: ReasonText | UnsetType = UNSET
    request_id: KeyText | UnsetType = UNSET


class AttestationAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict on a control, which counts until `valid_until`. `evidence` is a URI or a digest."""

    control: IdText
    status: Verdict
    evidence: EvidenceText
    valid_until: TimeText
    reason: ReasonText | UnsetType = UNSET
    request_id: KeyText | UnsetType = UNSET


class ExportAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """An audit bundle that the caller took: so many receipts of a period, the head that it ends with, its manifest."""

    since: TimeText
    until: TimeText
    receipts: Annotated[int, Meta(extra_json_schema={"minimum": 0, "maximum": COUNT_MAX})]
    head_seq: Count
    head_hash: DigestText
    manifest_digest: DigestText
    reason: ReasonText | UnsetType = UNSET
    request_id: KeyText | UnsetType = UNSET


_holds: Final = msgspec.json.Decoder(HoldAsked)
_attestations: Final = msgspec.json.Decoder(AttestationAsked)
_exports: Final = msgspec.json.Decoder(ExportAsked)


async def place(exchange: Exchange, door: FrontDoor) -> Reply:
    """Places a hold; its id is the subject of the receipt."""
    tenant = tenant_of(exchange)
    raw = await exchange.body(door.limits.body_bytes_max)
    body = strict_json.decode(_holds, raw)
    expires_at = None if body.expires_at is UNSET else parsing.moment(body.expires_at, "/expires_at")
    evidence = parsing.at("/evidence", parse_evidence, body.evidence)
    command = PlaceHold(body.scope, evidence, caller_of(exchange).subject, expires_at)
    return await _say(exchange, door, tenant, command, body, raw, "hold.place")


async def release(exchange: Exchange, door: FrontDoor) -> Reply:
    """Ends a hold before its time."""
    hold = exchange.parameters["hold"]
    if IDENTIFIER.fullmatch(hold) is None:
        raise Malformed("malformed_request", "this is not the id of a hold")
    command = ReleaseHold(HoldId(hold), caller_of(exchange).subject)
    return await tell(exchange, door, command, {"operation": "hold.release", "hold": hold})


async def attest(exchange: Exchange, door: FrontDoor) -> Reply:
    """An auditor's verdict on a control; it takes the place of an earlier one."""
    tenant = tenant_of(exchange)
    raw = await exchange.body(door.limits.body_bytes_max)
    body = strict_json.decode(_attestations, raw)
    command = Attest(
        ControlName(parsing.at("/control", parse_name, body.control)),
        body.status,
        parsing.at("/evidence", parse_evidence, body.evidence),
        caller_of(exchange).subject,
        parsing.moment(body.valid_until, "/valid_until"),
    )
    return await _say(exchange, door, tenant, command, body, raw, "attest")


async def export(exchange: Exchange, door: FrontDoor) -> Reply:
    """An audit bundle that the caller took; it ends with a receipt of this ledger."""
    tenant = tenant_of(exchange)
    raw = await exchange.body(door.limits.body_bytes_max)
    body = strict_json.decode(_exports, raw)
    for pointer, digest in (("/head_hash", body.head_hash), ("/manifest_digest", body.manifest_digest)):
        if DIGEST.fullmatch(digest) is None:
            raise Malformed("malformed_request", "a digest is 64 hex digits in lowercase", pointer=pointer)
    if not 0 <= body.receipts <= COUNT_MAX:
        raise Malformed("malformed_request", "receipts are from 0 to 2^53-1", pointer="/receipts")
    if not 1 <= body.head_seq <= COUNT_MAX:
        raise Malformed("malformed_request", "a seq is an integer from 1 to 2^53-1", pointer="/head_seq")
    since, until = parsing.moment(body.since, "/since"), parsing.moment(body.until, "/until")
    head = await door.queries.receipt(tenant, body.head_seq)
    if head is None or head.receipt.hash != body.head_hash:
        raise TurnedAway("not_found", f"there is no receipt {body.head_seq} with that hash")
    command = NoteExport(
        head.receipt.ledger, since, until, body.receipts, body.head_seq, body.head_hash, body.manifest_digest
    )
    return await _say(exchange, door, tenant, command, body, raw, "audit.export")


async def _say(
    exchange: Exchange,
    door: FrontDoor,
    tenant: str,
    command: PlaceHold | Attest | NoteExport,
    body: HoldAsked | AttestationAsked | ExportAsked,
    raw: bytes,
    operation: str,
) -> Reply:
    parts = parsing.parts_of(body, ("reason",), door.limits.metadata_bytes_max)
    members: dict[str, Any] = strict_json.parse(raw)
    submission = submission_of(
        exchange,
        tenant=tenant,
        command=command,
        id=own_command_id(exchange, door, parsing.key_of(exchange.headers, body.request_id)),
        source="api",
        asked={"operation": operation, **parsing.asked(members, {})},
        parts=parts,
    )
    return await reply_with(exchange, door, await decide(exchange, door, submission))
