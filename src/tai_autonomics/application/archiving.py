"""
Old receipts out of a store and into an archive file, and nothing lost wherever that is cut short.

    where to cut --> lines --> a file, durable --> read back: verified, folded to the state there --> LedgerArchived
        --> the file is still the same --> the ledger begins after it --> receipts dropped, the first ones first

Each step is found again by the next run, which goes on behind it. Files are the caller's; the lines are those of an
export, without parts: what is personal stays in the store, where erasing reaches it.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.codec import STATE_VERSION, events_of, request_digest, state_at, state_to_bytes
from tai_autonomics.application.corridor import Answer, Corridor, Submission
from tai_autonomics.application.ports import Store
from tai_autonomics.application.transfer import stored
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.gates import Failed
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import Plans, retention_of
from tai_autonomics.domain.tenant import Archive, effective_plan, evolve, may_archive
from tai_autonomics.errors import BrokenArchive, HeldBack, StoreUnavailable
from tai_autonomics.ledger.chain import Chain
from tai_autonomics.ledger.lines import STATE_BYTES_MAX, parse_line, reply
from tai_autonomics.ledger.receipt import digest, indexed, read
from tai_autonomics.ledger.records import Base, Snapshot

HORIZON_DAYS: Final = 30
"""No younger receipt is dropped: for so long every store promises that a repeated command gets its first receipt."""

DAY_SECONDS: Final = 86_400

DROP_RECEIPTS: Final = 500
"""Dropped in one transaction, so that those who write meanwhile wait for little."""


class _Refusal(Struct):
    detail: str
    next_step: str


class _Refused(Struct):
    refusal: _Refusal


class Archived(Struct, frozen=True):
    """What an archive file holds: the receipts `first` to `base.seq` of a ledger that began at `begins` before."""

    tenant: str
    first: int
    begins: Base | None
    base: Base

    @property
    def receipts(self) -> int:
        return self.base.seq - self.first + 1


def days_before(now: Moment, days: int) -> Moment:
    """Receipts from before it are `days` old."""
    return plus_seconds(now, -days * DAY_SECONDS)


async def last_before(store: Store, tenant: str, base: Base | None, *, before: str, through: int | None) -> int:
    """
    The last receipt that is to be archived: it was made before `before`, and is none after `through`.

    The ledger's base, or 0, for none. Raises StoreUnavailable.
    """
    first = 0 if base is None else base.seq
    heads = await store.heads((tenant,))
    low, high = first, min(heads[tenant].seq, through or heads[tenant].seq)
    while low < high:
        middle = (low + high + 1) // 2
        if await _time_of(store, tenant, middle) < before:
            low = middle
        else:
            high = middle - 1
    return max(first, await store.cut(tenant, low)) if low > first else first


async def _time_of(store: Store, tenant: str, seq: int) -> str:
    receipt = await store.receipt(tenant, seq)
    if receipt is None:
        raise StoreUnavailable(f"{tenant} is being archived by another process: run this again")
    return receipt.time


async def archive_lines(store: Store, tenant: str, base: Base | None, last: int) -> AsyncIterator[bytes]:
    """The ledger's lines from its base to receipt `last`, without parts, verified on their way out."""
    chain = Chain(tenant, base=base)
    named: set[str] = set()
    async for receipt, _ in stored(store, tenant, after=chain.seq):
        if receipt.seq > last:
            return
        policy = chain.extend(receipt.body, hash=receipt.hash)["policy"]
        plans = None if policy in named else await store.policy(policy)
        named.add(policy)
        yield reply(receipt.body, receipt.hash, (), plans=plans, base=base) + b"\n"
        base = None


def read_archive(tenant: str, lines: Iterable[bytes], *, archive: str) -> Archived:
    """
    What the lines of an archive file say, verified as anyone can, and the state that its receipts lead to.

    `archive` is the file's SHA-256. Raises BrokenChain, NotCanonical, LedgerNewerThanCode, BrokenArchive.
    """
    chain, begins = Chain(tenant), None
    state = state_at(None)
    first = 0
    for text in lines:
        line = parse_line(text)
        members = read(line.body)
        if line.base is not None:
            chain.begin(line.base)
            begins, state = line.base, state_at(line.base)
        chain.link(members, line.body, hash=line.hash, parts=line.parts, plans=line.plans)
        state = fold(evolve, state, events_of(indexed(members, body=line.body, hash=line.hash)))
        first = first or chain.seq
    if chain.ledger is None:
        raise BrokenArchive(f"an archive of {tenant} without a receipt")
    kept = state_to_bytes(state)
    if len(kept) > STATE_BYTES_MAX:
        raise BrokenArchive(
            f"{tenant} cannot be archived: a state of {len(kept)} bytes is larger than {STATE_BYTES_MAX}"
        )
    snapshot = Snapshot(chain.seq, chain.ledger, chain.hash, chain.time, STATE_VERSION, kept)
    return Archived(tenant, first, begins, Base(snapshot, archive))


class Archiving:
    """`by` is the cause of what is sealed; each decision takes at most `timeout_seconds`."""

    def __init__(
        self,
        store: Store,
        corridor: Corridor,
        plans: Callable[[], Plans],
        clock: SealingClock,
        *,
        by: str,
        timeout_seconds: float,
    ) -> None:
        self._store, self._corridor, self._plans, self._clock = store, corridor, plans, clock
        self._by, self._timeout_seconds = by, timeout_seconds

    async def retention_seconds(self, tenant: str) -> int:
        """For how long after its time a receipt of the tenant must stay in the store. Raises Unavailable."""
        state, plans = (await self._corridor.durable(tenant)).state, self._plans()
        return retention_of(effective_plan(state, plans), plans).receipts_seconds

    async def check(self, archived: Archived, *, before: str) -> None:
        """
        Whether these are the store's own next receipts, all of them from before `before`.

        Raises BrokenArchive.
        """
        tenant, last = archived.tenant, archived.base.snapshot
        if (await self._store.bases((tenant,))).get(tenant) != archived.begins:
            raise BrokenArchive(
                f"the archive of {tenant} from receipt {archived.first} on begins elsewhere than its ledger"
            )
        receipt = await self._store.receipt(tenant, last.seq)
        if receipt is None or receipt.hash != last.hash:
            there = "none" if receipt is None else receipt.hash
            raise BrokenArchive(
                f"the archive of {tenant} ends with receipt {last.seq} {last.hash}, its ledger has {there}"
            )
        if last.time >= before:
            raise BrokenArchive(f"the archive of {tenant} ends with a receipt of {last.time}, and {before} is too late")

    async def seal(self, archived: Archived) -> Answer:
        """
        The receipt that says so; the same one, however often it is asked for.

        Raises Unavailable, and HeldBack while a hold or their retention forbids it: nothing may be dropped then.
        """
        base = archived.base
        state = digest(base.snapshot.state)
        asked = {"operation": "archive", "through": base.seq, "hash": base.snapshot.hash, "archive": base.archive}
        newest = base.snapshot
        command = Archive(
            newest.ledger, archived.first, base.seq, newest.hash, state, base.archive, Moment(newest.time)
        )
        submission = Submission(
            tenant=archived.tenant,
            command=command,
            command_id=f"cli:{self._by}:archive:{base.seq}:{base.archive}",
            source="cli",
            by=self._by,
            request=request_digest(asked),
        )
        answer = await self._corridor.submit(submission, timeout_seconds=self._timeout_seconds)
        if answer.receipt.type == "refusal":
            refusal = msgspec.json.decode(answer.receipt.body, type=_Refused).refusal
            raise HeldBack(f"{refusal.detail}: {refusal.next_step}; nothing is dropped (receipt {answer.receipt.seq})")
        return answer

    async def begin(self, archived: Archived) -> None:
        """Let the store's ledger begin after what is archived and sealed. Raises HeldBack, Unavailable."""
        await self._require_free(archived.tenant, archived.base)
        await self._store.rebase(archived.tenant, archived.base)

    async def left(self, tenant: str) -> Base | None:
        """The ledger's base, while receipts that lie before it are still there."""
        base = (await self._store.bases((tenant,))).get(tenant)
        if base is None:
            return None
        first = await self._store.receipts(tenant, 0, 1)
        return base if first and first[0].seq <= base.seq else None

    async def drop(self, tenant: str, tell: Callable[[int], None]) -> int:
        """
        Drop what lies before the base; how many receipts. `tell` is told as they go.

        Raises Unavailable, and HeldBack when a hold or a longer retention came meanwhile: what is left is dropped
        after it.
        """
        dropped = 0
        base = (await self._store.bases((tenant,)))[tenant]
        while True:
            await self._require_free(tenant, base)
            if not (count := await self._store.drop(tenant, DROP_RECEIPTS)):
                return dropped
            dropped += count
            tell(dropped)

    async def _require_free(self, tenant: str, base: Base) -> None:
        """
        As the store and the plans say now: since `seal` any instance may have placed a hold, or a plan changed.

        Raises HeldBack, Unavailable.
        """
        durable = await self._corridor.reread(tenant, await self._corridor.durable(tenant))
        newest = Moment(base.snapshot.time)
        permitted = may_archive(newest, durable.state, self._clock.now(), self._plans())
        if isinstance(permitted, Failed):
            raise HeldBack(f"{permitted.detail}: {permitted.next_step}; nothing more is dropped")
