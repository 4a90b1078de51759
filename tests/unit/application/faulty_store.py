"""A real store in memory that fails, waits or tells as a test says, one fault an append, in order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeAlias

from msgspec.structs import replace

from tai_autonomics.application.ports import Store
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Append, Busy, Head, Ledger, Outcome, Receipt, StoreBounds

Tell: TypeAlias = Callable[[Append, Outcome], None]
Fault: TypeAlias = Callable[["FaultyStore", Sequence[Append], Tell], Awaitable[None]]


class Gate:
    """Holds what comes to it until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def passed(self) -> None:
        self.reached.set()
        await self.opened.wait()

    def open(self) -> None:
        self.opened.set()


class FaultyStore:
    """Passes everything on to `real`; `faults` strike the appends to come, `failing` the next reads, by verb."""

    def __init__(self, real: Store, *, bounds: StoreBounds | None = None) -> None:
        self.real = real
        self._bounds = bounds or real.bounds
        self.faults: deque[Fault] = deque()
        self.failing: dict[str, int] = {}
        self.blind = 0
        """How many of the next reads of receipts see nothing new, as a read during someone's commit does."""
        self.appends: list[Sequence[Append]] = []
        self.reads: list[str] = []
        self.clock: Callable[[], datetime] | None = None
        self.holds: list[str] = []
        self.released = 0
        self.before_hold: Callable[[], Awaitable[object]] | None = None
        """Done while a hold's caller waits in the line for it."""
        self.holding: Gate | None = None
        """Holds every read of a ledger."""

    @property
    def bounds(self) -> StoreBounds:
        return self._bounds

    @property
    def shared(self) -> bool:
        return True

    def __getattr__(self, verb: str) -> Any:
        """Every verb that is not struck here."""
        return getattr(self.real, verb)

    async def append(self, appends: Sequence[Append], tell: Tell) -> None:
        self.appends.append(appends)
        if self.faults:
            await self.faults.popleft()(self, appends, tell)
        else:
            await self.real.append(appends, tell)

    async def read(self, tenant: str) -> Ledger | None:
        self._fail("read")
        if self.holding is not None:
            await self.holding.passed()
        return await self.real.read(tenant)

    async def receipts(self, tenant: str, after: int, limit: int, **rest: Any) -> tuple[Receipt, ...]:
        self._fail("receipts")
        if self.blind:
            self.blind -= 1
            return ()
        return await self.real.receipts(tenant, after, limit, **rest)

    async def receipt(self, tenant: str, seq: int) -> Receipt | None:
        self._fail("receipt")
        return await self.real.receipt(tenant, seq)

    async def lease(self, limit: int, seconds: float, now: str | None = None, **rest: Any) -> Any:
        """By its own clock, as every shared store."""
        self._fail("lease")
        assert now is None
        assert self.clock is not None
        return await self.real.lease(limit, seconds, moment_of(self.clock()), **rest)

    async def heads(self, tenants: Sequence[str]) -> dict[str, Head]:
        self._fail("heads")
        return await self.real.heads(tenants)

    @asynccontextmanager
    async def held(self, tenant: str) -> AsyncIterator[None]:
        self._fail("held")
        self.holds.append(tenant)
        if self.before_hold is not None:
            await self.before_hold()
        yield
        self.released += 1

    def _fail(self, verb: str) -> None:
        self.reads.append(verb)
        if self.failing.get(verb, 0) > 0:
            self.failing[verb] -= 1
            raise StoreUnavailable(f"{verb} fails")


def untold(append: Append, outcome: Outcome) -> None:
    """What nobody hears."""


async def lost(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
    """The append fails, and nothing is stored."""
    raise StoreUnavailable("lost")


async def persisted(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
    """The append is stored, and fails."""
    await store.real.append(appends, untold)
    raise StoreUnavailable("persisted")


async def busy(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
    for append in appends:
        tell(append, Busy())


async def silent(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
    """Stored, and never told."""
    await store.real.append(appends, untold)


async def broken(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
    """An error that no store may raise."""
    raise AssertionError("a store's own fault")


def held(gate: Gate) -> Fault:
    """The append waits at the gate and then is stored."""

    async def fault(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
        await gate.passed()
        await store.real.append(appends, tell)

    return fault


def held_then_lost(gate: Gate) -> Fault:
    """The append waits at the gate and then fails."""

    async def fault(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
        await gate.passed()
        raise StoreUnavailable("lost")

    return fault


def held_then(gate: Gate, then: Fault) -> Fault:
    """The append waits at the gate, and then the fault strikes."""

    async def fault(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
        await gate.passed()
        await then(store, appends, tell)

    return fault


def told_late(gate: Gate, tenant: str) -> Fault:
    """Everyone's outcome is told at once, but the one of `tenant` only when the gate is opened."""

    async def fault(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
        slow = [append for append in appends if append.tenant == tenant]
        await store.real.append([append for append in appends if append.tenant != tenant], tell)
        if slow:
            await gate.passed()
            await store.real.append(slow, tell)

    return fault


def after(*works: Callable[[], Awaitable[object]]) -> Fault:
    """Something else happens first, and then the append."""

    async def fault(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
        for work in works:
            await work()
        await store.real.append(appends, tell)

    return fault


def landing_later(landings: list[Callable[[], Awaitable[None]]]) -> Fault:
    """The append fails now; what lands later is in `landings`, as a commit does whose connection was lost."""

    async def fault(store: FaultyStore, appends: Sequence[Append], tell: Tell) -> None:
        landings.append(lambda: store.real.append(appends, untold))
        raise StoreUnavailable("nobody knows")

    return fault


def bounds_of(store: Store, **changes: int) -> StoreBounds:
    """The store's bounds, some of them changed."""
    return replace(store.bounds, **changes)
