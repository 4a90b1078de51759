"""
What stores and application exchange.

A store keeps these records and does not know what they mean. Times are the ledger's own strings: RFC 3339 in UTC with
six digits ("2026-11-24T02:01:33.123456Z"), so that their order as strings is their order in time.
"""

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

ReceiptType = Literal["transition", "refusal", "action_attempt", "action_result"]

GENESIS: Final = "0" * 64
"""`prev` of a ledger's first receipt, and the hash of a ledger that does not exist yet (at seq 0)."""


class Receipt(Struct, frozen=True, gc=False):
    """A sealed receipt. `body` is the truth; the other fields repeat it, for indexes and for callers in a hurry."""

    tenant: str
    ledger: str
    seq: int
    hash: str
    time: str
    type: ReceiptType
    subject_kind: str
    subject_id: str
    command_id: str
    claims: bool
    """Whether the command id is claimed: at most one claiming receipt of a tenant has it."""
    body: bytes


def concerns_action(receipt: Receipt) -> bool:
    """Whether it says what became of an action: an approval, an attempt, a result. Every store has an index of them."""
    if receipt.type == "transition":
        return receipt.subject_kind == "action"
    return receipt.type != "refusal"


class Part(Struct, frozen=True, gc=False):
    """An erasable part: `text` is kept as received, and the receipt commits to it with `salt` (32 bytes)."""

    seq: int
    name: str
    salt: bytes
    text: bytes


class Erasure(Struct, frozen=True, gc=False):
    """The part that an append takes away, in the transaction of the receipt that decided it."""

    seq: int
    name: str


class Erased(Struct, frozen=True, gc=False):
    """A part that is gone. `hash` is its receipt's: after a restore, another one may have that seq."""

    tenant: str
    seq: int
    hash: str
    name: str


class Copied(Struct, frozen=True):
    """What a copy of a store holds. `newest` is the time of its newest receipt, None without any."""

    schema: int
    ledgers: int
    receipts: int
    newest: str | None
    erased: tuple[Erased, ...]


class Head(Struct, frozen=True, gc=False):
    """A ledger's newest receipt."""

    ledger: str
    seq: int
    hash: str
    time: str


class Snapshot(Struct, frozen=True, gc=False):
    """A tenant's state after receipt `seq`: a cache, never the authority."""

    seq: int
    ledger: str
    hash: str
    time: str
    state_version: int
    state: bytes


class Base(Struct, frozen=True, gc=False):
    """
    Where a ledger begins whose earlier receipts rest in archive files: the state after the last of them.

    Under it the snapshot is the authority, sealed by a receipt after it. `archive` is the SHA-256 of the file that ends
    with that receipt.
    """

    snapshot: Snapshot
    archive: str

    @property
    def seq(self) -> int:
        return self.snapshot.seq

    @property
    def head(self) -> Head:
        """The last archived receipt."""
        return Head(self.snapshot.ledger, self.snapshot.seq, self.snapshot.hash, self.snapshot.time)


class Dropped(Struct, frozen=True, gc=False):
    """What stays of a receipt that was dropped and had parts: its hash, and the names of them all, erased ones too."""

    hash: str
    parts: tuple[str, ...]


class Due(Struct, frozen=True, gc=False):
    """
    A row that becomes due: a timer that a governor set, or an effect (an action to carry out).

    Keyed (tenant, subject, kind): setting replaces it.
    """

    subject: str
    kind: str
    due: str
    payload: bytes = b""


class DueKey(Struct, frozen=True, gc=False):
    """Names the due row that an append settles, which deletes it."""

    subject: str
    kind: str


class Leased(Struct, frozen=True, gc=False):
    """A due row in the hands of this instance until `until`; `attempts` counts the leases given, this one included."""

    tenant: str
    due: Due
    until: str
    attempts: int


class Append(Struct, frozen=True, gc=False):
    """What one tenant's ledger gains, all or nothing, if its head is still (expected_seq, expected_hash)."""

    tenant: str
    expected_seq: int
    expected_hash: str
    receipts: tuple[Receipt, ...] = ()
    parts: tuple[Part, ...] = ()
    erasures: tuple[Erasure, ...] = ()
    snapshot: Snapshot | None = None
    due: tuple[Due, ...] = ()
    settled: tuple[DueKey, ...] = ()


def check_appends(appends: Sequence[Append]) -> None:
    """
    Raises AssertionError for what no caller of this program's own may hand to a store in one call.

    In statements of many tenants' rows, one tenant's mistake would fail the others' too.
    """
    assert len({append.tenant for append in appends}) == len(appends), "two appends of one tenant in one call"
    for append in appends:
        for seq, receipt in enumerate(append.receipts, append.expected_seq + 1):
            assert receipt.seq == seq, f"receipt {receipt.seq} of {append.tenant} where {seq} belongs"
            assert receipt.tenant == append.tenant, f"a receipt of {receipt.tenant} in an append of {append.tenant}"
        claimed = [receipt.command_id for receipt in append.receipts if receipt.claims]
        assert len(set(claimed)) == len(claimed), f"a command id claimed twice in an append of {append.tenant}"


class Appended(Struct, frozen=True, gc=False):
    """Durable, all of it."""


class Conflict(Struct, frozen=True, gc=False):
    """The place is taken: `missed` are the receipts after the expected one, in order, as far as one page reaches."""

    missed: tuple[Receipt, ...]


class Duplicates(Struct, frozen=True, gc=False):
    """Ids of this append that the ledger already holds, each with the receipt that claims it; wins over Conflict."""

    first: dict[str, Receipt]
    head: Head


class Busy(Struct, frozen=True, gc=False):
    """Not stored, and nothing is wrong: try again."""


Outcome = Appended | Conflict | Duplicates | Busy


class Ledger(Struct, frozen=True, gc=False):
    """What `read` answers: the newest snapshot, and every receipt after it, in order."""

    snapshot: Snapshot | None
    receipts: tuple[Receipt, ...]


def tail_follows(snapshot: Snapshot | None, tail: Sequence[Receipt]) -> bool:
    """Whether nothing is missing between a snapshot, or a ledger's beginning, and the receipts after it."""
    if not tail:
        return snapshot is not None
    return tail[0].seq == (snapshot.seq if snapshot is not None else 0) + 1


class Quarantined(Struct, frozen=True, kw_only=True, gc=False):
    """A message that was acknowledged and not decided in whole, with all that another delivery of it needs."""

    id: str
    time: str
    reason: str
    """Why its last delivery did not decide it."""
    digest: str
    subscription: str
    message_id: str
    by: str
    """The subject of the caller who brought it."""
    tenants: tuple[str, ...] | None = None
    """Those that the caller reached; None: every tenant."""
    trace: str | None = None
    redrives: int = 0
    """Deliveries since it came here, or since an operator asked for another one."""
    redrive_at: str | None = None
    """When it is delivered again; None: when an operator asks for it."""
    payload: bytes


RECEIPTS_PER_TENANT: Final = 500
"""
What every store takes of one tenant in one append. Where its bounds ask for fewer, they do so for the other tenants
that wait meanwhile.
"""


class StoreBounds(Struct, frozen=True):
    """What one `append` should carry of one tenant, and how many appends may be under way at once."""

    receipts_per_tenant_max: int
    bytes_per_tenant_max: int
    appends_at_once_max: int
