"""
The names of documents and what lies in them, from our records and back.

A segment's receipts are one MessagePack value, an array of arrays: as fields of their own, 500 receipts would be 5,500
values to encode, on the event loop, and 11,000 index entries to keep out.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tai_autonomics.ledger.records import (
    Base,
    Due,
    Erasure,
    Head,
    Part,
    Quarantined,
    Receipt,
    ReceiptType,
    Snapshot,
    concerns_action,
)

FORMAT: Final = 1
"""Of the documents; a release that does not know it stops at the start."""

RECEIPTS: Final = "receipts"
"""The collection of segments, which an operator may give another name (engine.py)."""

SHARDS: Final = 16
"""Of what every instance polls, or all tenants write to an index in order of time."""

CHUNK_BYTES: Final = 512 * 1024
"""A document holds less than 1 MiB."""

CLAIM_DAYS: Final = 30
"""How long a command id is remembered: after it, Firestore deletes the claim, within a day."""

COMMIT_BYTES_MAX: Final = 3 * 1024 * 1024
"""What we put into one commit where we can choose; Firestore takes 10 MiB, its emulator 4."""

Content = Mapping[str, "str | int | bytes | bool | datetime | None"]

_Row = tuple[str, str, str, ReceiptType, str, str, str, bool, bytes]
_ROWS: Final = msgspec.msgpack.Decoder(list[_Row])


class Write(Struct, frozen=True, gc=False):
    """One write of a commit: the whole document at `path`, or none of it (`content` None). Conditions are optional."""

    path: str
    content: Content | None
    exists: bool | None = None
    """The condition that the document is there, or is not."""
    update_time: Any = None
    """The condition that the document was last written then."""
    only: bool = False
    """Whether fields that `content` does not name stay as they are."""
    stamped: str = ""
    """The field that takes the engine's time of the commit."""


# ---- names


def key_of(tenant: str) -> str:
    return f"{sha256(tenant.encode()).hexdigest()[:8]}-{escaped(tenant)}"


def shard_of(tenant: str) -> int:
    return sha256(tenant.encode()).digest()[3] % SHARDS


def escaped(text: str) -> str:
    """As a part of a document's name, which may not hold a slash nor be too long for an index."""
    return quote(text, safe=":@")


def head_path(tenant: str) -> str:
    return f"heads/{key_of(tenant)}"


def segment_path(tenant: str, first: int) -> str:
    return f"{RECEIPTS}/{key_of(tenant)}-{first:016}"


def claim_path(tenant: str, command_id: str) -> str:
    return f"{head_path(tenant)}/claims/{sha256(command_id.encode()).hexdigest()}"


def part_path(tenant: str, seq: int, name: str) -> str:
    return f"{head_path(tenant)}/parts/{part_id(seq)}-{escaped(name)}"


def erased_path(tenant: str, seq: int, name: str) -> str:
    return f"erased/{key_of(tenant)}-{part_id(seq)}-{escaped(name)}"


def part_id(seq: int) -> str:
    return f"{seq:016}"


def dropped_path(tenant: str, seq: int) -> str:
    return f"{head_path(tenant)}/dropped/{part_id(seq)}"


def base_path(tenant: str) -> str:
    return f"{head_path(tenant)}/bases/newest"


def base_chunk_paths(tenant: str, seq: int, count: int) -> list[str]:
    """Of the state of the base at `seq`."""
    return [chunk_path(f"{base_path(tenant)}/chunks", number, of=part_id(seq)) for number in range(count)]


def snapshot_path(tenant: str, number: int) -> str:
    return chunk_path(f"{head_path(tenant)}/snapshots", number, of="newest")


def due_path(tenant: str, subject: str, kind: str) -> str:
    row = sha256("\0".join((subject, kind)).encode()).hexdigest()
    return f"due/{key_of(tenant)}-{row}"


def quarantine_path(id: str) -> str:
    return f"quarantine/{sha256(id.encode()).hexdigest()}"


def policy_path(digest: str) -> str:
    return f"policies/{sha256(digest.encode()).hexdigest()}"


def chunk_path(collection: str, number: int, *, of: str) -> str:
    return f"{collection}/{of}-{number:04}"


# ---- contents


def segment(receipts: Sequence[Receipt]) -> Content:
    rows = [
        (r.ledger, r.hash, r.time, r.type, r.subject_kind, r.subject_id, r.command_id, r.claims, r.body)
        for r in receipts
    ]
    content: Content = {
        "tenant": receipts[0].tenant,
        "first": receipts[0].seq,
        "last": receipts[-1].seq,
        "receipts": msgspec.msgpack.encode(rows),
    }
    # A segment without the field is in no index of it, and costs nothing there.
    return {**content, "actions": True} if any(map(concerns_action, receipts)) else content


def receipts_in(content: Mapping[str, Any]) -> list[Receipt]:
    tenant, rows = content["tenant"], _ROWS.decode(content["receipts"])
    return [Receipt(tenant, row[0], seq, *row[1:]) for seq, row in enumerate(rows, content["first"])]


def claim(receipt: Receipt, first: int) -> Content:
    """Where the receipt that claims a command id lies; forgotten CLAIM_DAYS after its own time."""
    expires = datetime.fromisoformat(receipt.time) + timedelta(days=CLAIM_DAYS)
    return {"first": first, "seq": receipt.seq, "expires": expires}


def part_content(part: Part) -> Content:
    return {"seq": part.seq, "name": part.name, "salt": part.salt, "text": part.text}


def part_in(content: Mapping[str, Any]) -> Part:
    return Part(content["seq"], content["name"], content["salt"], content["text"])


def erased(tenant: str, erasure: Erasure) -> Content:
    return {"tenant": tenant, "seq": erasure.seq, "name": erasure.name}


def snapshot(snapshot: Snapshot, chunk: bytes) -> Content:
    """One chunk; each says which snapshot it is of."""
    return {
        "seq": snapshot.seq,
        "ledger": snapshot.ledger,
        "hash": snapshot.hash,
        "time": snapshot.time,
        "state_version": snapshot.state_version,
        "state": chunk,
    }


def base(base: Base, chunks: int) -> Content:
    """Without its state, which lies in chunks."""
    at = base.snapshot
    return {
        "seq": at.seq,
        "ledger": at.ledger,
        "hash": at.hash,
        "time": at.time,
        "state_version": at.state_version,
        "archive": base.archive,
        "chunks": chunks,
    }


def base_in(content: Mapping[str, Any], state: bytes) -> Base:
    at = Snapshot(content["seq"], content["ledger"], content["hash"], content["time"], content["state_version"], state)
    return Base(at, content["archive"])


def due(tenant: str, row: Due) -> Content:
    """`ready`: when the row may be handed out next; its due time, or the end of its last lease."""
    return {
        "tenant": tenant,
        "subject": row.subject,
        "kind": row.kind,
        "due": row.due,
        "payload": row.payload,
        "shard": shard_of(tenant),
        "ready": row.due,
        "attempts": 0,
    }


def due_in(content: Mapping[str, Any]) -> Due:
    return Due(content["subject"], content["kind"], content["due"], content["payload"])


def quarantined(message: Quarantined) -> Content:
    """Without its payload."""
    return {
        "id": message.id,
        "time": message.time,
        "reason": message.reason,
        "digest": message.digest,
        "subscription": message.subscription,
        "message_id": message.message_id,
        "by": message.by,
        "tenants": None if message.tenants is None else msgspec.json.encode(message.tenants).decode(),
        "trace": message.trace,
        "redrives": message.redrives,
        "redrive_at": message.redrive_at,
    }


def quarantined_in(content: Mapping[str, Any], payload: bytes) -> Quarantined:
    held = {name: content[name] for name in Quarantined.__struct_fields__ if name != "payload"}
    if held["tenants"] is not None:
        held["tenants"] = msgspec.json.decode(held["tenants"], type=tuple[str, ...])
    return Quarantined(**held, payload=payload)


def head_in(content: Mapping[str, Any]) -> Head:
    return Head(content["ledger"], content["seq"], content["hash"], content["time"])


def chunks_of(content: bytes) -> list[bytes]:
    """At least one."""
    return [content[start : start + CHUNK_BYTES] for start in range(0, max(len(content), 1), CHUNK_BYTES)]


# ---- values


def fill(fields: Any, content: Content) -> None:
    """Put our values into the engine's fields."""
    for name, value in content.items():
        fill_value(fields[name], value)


def fill_value(field: Any, value: "str | int | bytes | bool | datetime | Iterable[int] | None") -> None:
    match value:
        case None:
            field.null_value = 0
        case bool():
            field.boolean_value = value
        case int():
            field.integer_value = value
        case str():
            field.string_value = value
        case bytes():
            field.bytes_value = value
        case datetime():
            field.timestamp_value.FromDatetime(value)
        case numbers:
            for number in numbers:
                field.array_value.values.add().integer_value = number


def plain(fields: Any) -> dict[str, Any]:
    """The engine's fields as our values; a timestamp stays the engine's, exact to the nanosecond."""
    found: dict[str, Any] = {}
    for name, field in fields.items():
        kind = field.WhichOneof("value_type")
        found[name] = None if kind == "null_value" else getattr(field, kind)
    return found
