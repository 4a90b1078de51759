"""
A decision sealed onto its ledger: one body of canonical bytes, whose SHA-256 is the receipt's hash and the next `prev`.

Sealing makes the body once; everything else that a Receipt says can be read back from it.
"""

import re
from hashlib import sha256
from typing import Annotated, Any, Final, Generic, Literal, NotRequired, TypeAlias, TypedDict, TypeVar

from msgspec import Meta
from msgspec.json import Decoder

from tai_autonomics.errors import NotCanonical
from tai_autonomics.ledger.canonical import Form, Shallow, canonical, decode, encode
from tai_autonomics.ledger.records import Receipt, ReceiptType

UNCLAIMED_REASONS: Final = frozenset(
    {"quota_exceeded", "rate_limited", "action_budget_exhausted", "governor_refusing", "compliance_closed"}
)
"""Why a refusal that time cures was made: the same command, sent again later, is decided anew."""

V = TypeVar("V")


class Subject(TypedDict):
    kind: str
    id: str


class Cause(TypedDict):
    """What asked for the decision: `id` is the command id, `by` the caller, `request` the digest of what it sent."""

    kind: str
    id: str
    by: str
    request: NotRequired[str]


class Refusal(TypedDict):
    reason: str
    detail: str
    next_step: str


class BodyOf(TypedDict, Generic[V]):
    """The members of a body, version 1, its free values of type V. Those that do not apply are absent, never null."""

    v: Literal[1]
    ledger: str
    seq: Annotated[int, Meta(ge=1)]
    prev: Annotated[str, Meta(min_length=64, max_length=64)]
    time: str
    type: ReceiptType
    tenant: str
    subject: Subject
    cause: Cause
    decision: dict[str, V]
    events: list[dict[str, V]]
    refusal: NotRequired[Refusal]
    policy: str
    trace: NotRequired[str]
    commits: NotRequired[dict[str, str]]


Body: TypeAlias = BodyOf[Any]


def seal(
    *,
    tenant: str,
    ledger: str,
    seq: int,
    prev: str,
    time: str,
    type: ReceiptType,
    subject: tuple[str, str],
    cause: dict[str, Any],
    decision: dict[str, Any],
    events: list[dict[str, Any]],
    refusal: dict[str, Any] | None,
    policy: str,
    trace: str | None,
    commits: dict[str, str],
    command_id: str,
    claims: bool,
) -> Receipt:
    """
    The receipt of one decision, its bytes made for good.

    `subject` is (kind, id); `prev` the hash of receipt seq-1, or GENESIS; `time` RFC 3339 with six digits and Z;
    `policy` the digest of the plans that decided; `commits` the commitments to the parts that lie beside the receipt.
    `command_id` repeats cause.id, and `claims` is what `claims_id` says. Raises NotCanonical for a value outside the
    profile of canonical.py.
    """
    body: dict[str, Any] = {
        "v": 1,
        "ledger": ledger,
        "seq": seq,
        "prev": prev,
        "time": time,
        "type": type,
        "tenant": tenant,
        "subject": {"kind": subject[0], "id": subject[1]},
        "cause": cause,
        "decision": decision,
        "events": events,
        "policy": policy,
    }
    if refusal is not None:
        body["refusal"] = refusal
    if trace is not None:
        body["trace"] = trace
    if commits:
        body["commits"] = commits
    sealed = canonical(body)
    return Receipt(
        tenant=tenant,
        ledger=ledger,
        seq=seq,
        hash=digest(sealed),
        time=time,
        type=type,
        subject_kind=subject[0],
        subject_id=subject[1],
        command_id=command_id,
        claims=claims,
        body=sealed,
    )


def digest(body: bytes) -> str:
    """A receipt's hash: the SHA-256 of its body, 64 lowercase hex digits."""
    return sha256(body).hexdigest()


def claims_id(*, type: ReceiptType, reason: str | None, source: str) -> bool:
    """
    Whether a receipt claims its command id, so that a repeat of the command gets this receipt back.

    A refusal that time cures does not, unless it came over Pub/Sub, where it was acknowledged. `reason` is
    refusal.reason, or None; `source` is cause.kind.
    """
    return type != "refusal" or reason not in UNCLAIMED_REASONS or source == "pubsub"


def read(body: bytes) -> Body:
    """
    What a body says, its form checked; its bytes are canonical only if `encode` gives them back.

    Raises NotCanonical.
    """
    members = decode(body, _BODY)
    refused = members["type"] == "refusal"
    if refused is not ("refusal" in members) or (refused and members["events"]):
        raise NotCanonical("a refusal has a reason and no events, nothing else has a reason")
    if _TIME.fullmatch(members["time"]) is None:
        raise NotCanonical(f"the time {members['time']!r} is not one in UTC with six digits")
    return members


def receipt_of(body: bytes) -> Receipt:
    """The Receipt whose stored body this is: what `seal` gave. Raises NotCanonical for any other bytes."""
    members = read(body)
    if encode(members) != body:
        raise NotCanonical("the bytes are not the canonical form of what they say")
    return indexed(members, body=body, hash=digest(body))


def indexed(members: Body, *, body: bytes, hash: str) -> Receipt:
    """The Receipt of a body that was read and verified already."""
    subject, cause = members["subject"], members["cause"]
    refusal = members.get("refusal")
    return Receipt(
        tenant=members["tenant"],
        ledger=members["ledger"],
        seq=members["seq"],
        hash=hash,
        time=members["time"],
        type=members["type"],
        subject_kind=subject["kind"],
        subject_id=subject["id"],
        command_id=cause["id"],
        claims=claims_id(type=members["type"], reason=refusal and refusal["reason"], source=cause["kind"]),
        body=body,
    )


_BODY: Final[Form[Body]] = Form(shallow=Decoder(BodyOf[Shallow]), deep=Decoder(BodyOf[Any]))
_TIME: Final = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
