"""Ledgers read from the store itself: beside a running service, or without one."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tai_autonomics.application.actions import STAGES, State, action_shown, in_flight_view, settled_actions
from tai_autonomics.application.codec import events_of, state_at, state_of
from tai_autonomics.application.ports import Store
from tai_autonomics.application.queries import AsOf, view
from tai_autonomics.application.transfer import TENANTS_PAGE, beginning, stored
from tai_autonomics.domain.decider import fold
from tai_autonomics.domain.governor import stage_of
from tai_autonomics.domain.moments import Moment, moment_of
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant import TenantState, after_timers, evolve
from tai_autonomics.errors import Unknown
from tai_autonomics.ledger.lines import reply
from tai_autonomics.ledger.records import Head, Receipt

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings

PAGE_RECEIPTS: Final = 500


@asynccontextmanager
async def open_store(settings: "Settings", *, read_only: bool = True) -> AsyncIterator[Store]:
    """The store, closed at the end. Raises StoreUnavailable; to write, no service may be running on it."""
    from tai_autonomics import wiring

    store = await wiring.open_store(settings, read_only=read_only)
    try:
        yield store
    finally:
        await store.aclose()


class Stored:
    """What `Served` answers, from an open store. Lines are as an export has them, without the line feed."""

    def __init__(self, store: Store, settings: "Settings") -> None:
        self._store, self._settings = store, settings

    async def receipts(
        self, tenant: str, *, after: int, limit: int, type: str | None, subject: str | None
    ) -> AsyncIterator[bytes]:
        """Raises Unknown for a tenant without a ledger."""
        await self._head(tenant)
        while limit > 0:
            asked = min(limit, PAGE_RECEIPTS)
            page = await self._store.receipts(tenant, after, asked, type=type, subject=subject)
            for receipt in page:
                yield await self._line(receipt)
            if len(page) < asked:
                return
            after, limit = page[-1].seq, limit - len(page)

    async def receipt(self, tenant: str, seq: int | None) -> bytes:
        """The receipt, or the newest for None. Raises Unknown."""
        head = await self._head(tenant)
        receipt = await self._store.receipt(tenant, head.seq if seq is None else seq)
        if receipt is None:
            base = (await self._store.bases([tenant])).get(tenant)
            if base is not None and seq is not None and seq <= base.seq:
                raise Unknown(f"receipt {seq} of {tenant} is archived, as all are up to {base.seq}")
            raise Unknown(f"{tenant} has no receipt {seq}; its newest is {head.seq}")
        return await self._line(receipt)

    async def tenants(self) -> AsyncGenerator[dict[str, Any], None]:
        after = ""
        while page := await self._store.tenants(after, TENANTS_PAGE):
            heads = await self._store.heads(page)
            for tenant in page:
                if tenant in heads:
                    head = heads[tenant]
                    yield {"tenant_id": tenant, "seq": head.seq, "hash": head.hash, "time": head.time}
            after = page[-1]

    async def tenant(self, tenant: str) -> dict[str, Any]:
        """What is in force for the tenant now, under the plans that decided last. Raises Unknown."""
        state, head, now = await self._standing(tenant)
        shown = view(tenant, state, AsOf(head.seq, now), await self._plans())
        document: dict[str, Any] = msgspec.to_builtins(shown)
        return document

    async def compliance(self, tenant: str) -> dict[str, Any]:
        """The tenant's holds and controls, and what they close under the plans that decided last. Raises Unknown."""
        document = await self.tenant(tenant)
        return {name: document[name] for name in ("tenant_id", "as_of", "compliance")}

    async def governor(self, tenant: str) -> dict[str, Any]:
        """How the tenant's governor stands, and its action in flight, under the plans that decided last."""
        document = await self.tenant(tenant)
        return {name: document[name] for name in ("tenant_id", "as_of", "governor", "action") if name in document}

    async def actions(self, tenant: str | None, state: State | None, limit: int) -> AsyncIterator[dict[str, Any]]:
        """The tenant's, the newest first, or those in flight of every tenant, which reads the state of each."""
        if tenant is None:
            async with aclosing(self.tenants()) as tenants:
                async for each in tenants:
                    if (found := await self._in_flight(each["tenant_id"], state)) is not None:
                        yield found
                        limit -= 1
                        if not limit:
                            return
            return
        head = await self._head(tenant)
        if (found := await self._in_flight(tenant, state)) is not None:
            yield found
            limit -= 1
        if state in STAGES:
            return
        before: int | None = head.seq + 1
        while limit > 0 and before is not None:
            page = await settled_actions(self._store, tenant, before, limit, state)
            for action in page.items:
                yield msgspec.to_builtins(action)
            limit, before = limit - len(page.items), page.before

    async def action(self, tenant: str, action_id: str) -> dict[str, Any]:
        """With everything that happened to it. Raises Unknown."""
        await self._head(tenant)
        shown = await action_shown(self._store, tenant, action_id)
        if shown is None:
            raise Unknown(f"{tenant} has no action {action_id}")
        document: dict[str, Any] = msgspec.to_builtins(shown)
        return document

    async def _in_flight(self, tenant: str, stage: State | None) -> dict[str, Any] | None:
        action = (await self._state(tenant))[0].governor.in_flight
        if action is None or (stage is not None and stage != stage_of(action)):
            return None
        document: dict[str, Any] = msgspec.to_builtins(in_flight_view(tenant, action))
        return document

    async def _head(self, tenant: str) -> Head:
        head = (await self._store.heads([tenant])).get(tenant)
        if head is None:
            raise Unknown(f"{tenant} has no ledger")
        return head

    async def _line(self, receipt: Receipt) -> bytes:
        return reply(receipt.body, receipt.hash, await self._store.parts(receipt.tenant, receipt.seq, receipt.seq))

    async def _standing(self, tenant: str) -> tuple[TenantState, Head | Receipt, Moment]:
        """The state as of now, the newest receipt in it, and that moment."""
        from tai_autonomics import wiring

        state, head = await self._state(tenant)
        now = max(moment_of(wiring.SystemClock().now()), Moment(head.time))
        return after_timers(state, now), head, now

    async def _state(self, tenant: str) -> tuple[TenantState, Head | Receipt]:
        """By snapshot and tail, as a lane has it; without a usable snapshot, from every receipt."""
        head: Head | Receipt = await self._head(tenant)
        ledger = await self._store.read(tenant)
        state = None if ledger is None or ledger.snapshot is None else state_of(ledger.snapshot)
        if ledger is not None and state is not None:
            for receipt in ledger.receipts:
                state, head = fold(evolve, state, events_of(receipt)), receipt
            return state, head
        first = await beginning(self._store, tenant)
        state = state_at(first.base)
        async for receipt, _ in stored(self._store, tenant, after=first.after, first=first.page):
            state, head = fold(evolve, state, events_of(receipt)), receipt
        return state, head

    async def _plans(self) -> Plans:
        from tai_autonomics import wiring
        from tai_autonomics.policy.file import load

        kept = await self._store.newest_policy()
        name, text = wiring.plans(self._settings) if kept is None else kept
        return load(text, name=name)
