"""Receipts and appends for store tests: sealed on a real chain, valid by default."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from tai_autonomics.application.ports import Store
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.commitment import commit
from tai_autonomics.ledger.receipt import seal
from tai_autonomics.ledger.records import GENESIS, Append, Outcome, Part, Receipt, Snapshot

SALT = bytes(range(32))
FIRST_DAY = datetime(2026, 11, 24)


def moment(second: int) -> str:
    return f"{FIRST_DAY + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}.000000Z"


def receipt(
    tenant: str,
    after: Receipt | None = None,
    *,
    command_id: str | None = None,
    claims: bool = True,
    type: str = "transition",
    subject: tuple[str, str] = ("entitlement", "ent_1"),
    parts: Sequence[Part] = (),
    padding: int = 0,
) -> Receipt:
    """The next receipt of the tenant's ledger; `after` is the one before, `parts` are what it commits to."""
    seq = after.seq + 1 if after else 1
    command_id = command_id or f"command-{seq}"
    return seal(
        tenant=tenant,
        ledger=f"ledger-of-{tenant}",
        seq=seq,
        prev=after.hash if after else GENESIS,
        time=moment(seq),
        type=type,
        subject=subject,
        cause={"kind": "api", "id": command_id, "by": "tester"},
        decision={},
        events=[{"type": "Padding", "text": "x" * padding}] if padding else [],
        refusal=None,
        policy="0" * 64,
        trace=None,
        commits={part.name: commit(salt=part.salt, text=part.text) for part in parts},
        command_id=command_id,
        claims=claims,
    )


def chain(
    tenant: str, count: int, after: Receipt | None = None, *, ids: Sequence[str] | None = None
) -> tuple[Receipt, ...]:
    """The next `count` receipts of the tenant's ledger."""
    made: list[Receipt] = []
    for place in range(count):
        after = receipt(tenant, after, command_id=ids[place] if ids else None)
        made.append(after)
    return tuple(made)


def append(tenant: str, receipts: Iterable[Receipt] = (), after: Receipt | None = None, **rest: Any) -> Append:
    """An append onto `after`."""
    return Append(tenant, after.seq if after else 0, after.hash if after else GENESIS, tuple(receipts), **rest)


def snapshot_of(receipt: Receipt, state: bytes = b"state") -> Snapshot:
    return Snapshot(receipt.seq, receipt.ledger, receipt.hash, receipt.time, 1, state)


async def send(store: Store, *appends: Append) -> tuple[Outcome, ...]:
    """Append, and the outcomes in the order of the appends."""
    told: dict[str, Outcome] = {}

    def tell(one: Append, outcome: Outcome) -> None:
        assert one.tenant not in told, "told twice"
        told[one.tenant] = outcome

    await store.append(appends, tell)
    return tuple(told[one.tenant] for one in appends)


async def verify(store: Store, tenant: str, *, receipts: int) -> tuple[Receipt, ...]:
    """The whole ledger, its chain verified against the head that the store tells."""
    found: list[Receipt] = []
    while page := await store.receipts(tenant, len(found), 500):
        found.extend(page)
    assert len(found) == receipts
    walk = Chain(tenant)
    for one in found:
        walk.extend(one.body, hash=one.hash, parts=await store.parts(tenant, one.seq, one.seq))
    heads = await store.heads([tenant])
    assert walk.close(heads[tenant].hash).head == heads[tenant]
    return tuple(found)
