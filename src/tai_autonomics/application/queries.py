"""What the API and the command line show. Everything is read from durable state; nothing here writes."""

from collections.abc import Callable
from itertools import islice
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.corridor import Durable
from tai_autonomics.application.freshness import Freshness
from tai_autonomics.application.ports import Caller, Store
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans, Quota
from tai_autonomics.domain.quota import QuotaUse, use_at
from tai_autonomics.domain.tenant import (
    Check,
    CheckResult,
    TenantState,
    after_timers,
    check,
    effective_plan,
    when_stale,
)
from tai_autonomics.ledger.records import Dropped, Part, Receipt


class _Committing(Struct, frozen=True):
    commits: dict[str, str] = {}


_committing: Final = msgspec.json.Decoder(_Committing)


class Shown(Struct, frozen=True, gc=False):
    """A receipt, with the parts of it that still exist."""

    receipt: Receipt
    parts: tuple[Part, ...]


class CheckAnswer(Struct, frozen=True, gc=False):
    """Decisions on the state after receipt `seq`, as of `time`."""

    results: tuple[CheckResult, ...]
    seq: int
    time: Moment
    stale: bool = False
    """Whether another instance has written meanwhile cannot be said; the plan's `on_stale` was followed."""


class AsOf(Struct, frozen=True, gc=False):
    """The last durable receipt that is in a view, and the moment that its windows and timers were evaluated at."""

    seq: int
    time: Moment


class EntitlementView(Struct, frozen=True, gc=False, omit_defaults=True):
    """One entitlement; members that do not apply are absent."""

    entitlement_id: str
    status: str
    plan: str | None = None
    effective_at: Moment | None = None
    expires_at: Moment | None = None
    ends_at: Moment | None = None
    next_plan: str | None = None
    next_plan_at: Moment | None = None
    ended_at: Moment | None = None


class QuotaView(Struct, frozen=True, gc=False):
    """A quota in its current window. Null: no `limit`, so nothing `remaining`; a lifetime has no `resets_at`."""

    quota: str
    used: int
    limit: int | None
    remaining: int | None
    per: str
    kind: str
    resets_at: Moment | None


class TenantView(Struct, frozen=True, gc=False):
    """A tenant as of now: `plan` is the effective one, null when no entitlement is in service."""

    tenant_id: str
    plan: str | None
    entitlements: tuple[EntitlementView, ...]
    quotas: tuple[QuotaView, ...]
    as_of: AsOf
    stale: Literal[True] | UnsetType = UNSET
    """There, and true, where the store could not be asked for a newer state."""


class TenantListed(Struct, frozen=True, gc=False):
    """A tenant in a list: its id and the head of its ledger."""

    tenant_id: str
    seq: int
    hash: str
    time: str


class Queries:
    """Reads for callers whose rights have been checked."""

    def __init__(self, store: Store, freshness: Freshness, *, clock: SealingClock, plans: Callable[[], Plans]) -> None:
        self._store, self._freshness, self._clock, self._plans = store, freshness, clock, plans

    async def check(self, tenant: str, checks: tuple[Check, ...]) -> CheckAnswer:
        """May this tenant do this? Raises Unavailable when its state cannot be read."""
        fresh = await self._freshness.durable(tenant)
        durable, plans = fresh.durable, self._plans()
        now = self._as_of(durable)
        results = check(checks, durable.state, now=now, plans=plans)
        if fresh.stale:
            results = when_stale(results, durable.state, now=now, plans=plans)
        return CheckAnswer(results, durable.head.seq, now, fresh.stale)

    async def tenant(self, tenant: str) -> TenantView | None:
        """None for a tenant without a ledger."""
        fresh = await self._freshness.durable(tenant)
        durable = fresh.durable
        now = self._as_of(durable)
        if durable.head.seq == 0:
            return None
        shown = view(tenant, after_timers(durable.state, now), AsOf(durable.head.seq, now), self._plans())
        return replace(shown, stale=True) if fresh.stale else shown

    def _as_of(self, durable: Durable) -> Moment:
        """The present, or the newest receipt's time where that is later."""
        return self._clock.next_time(self._clock.now(), durable.head.time)

    async def tenants(self, caller: Caller, after: str, limit: int) -> tuple[TenantListed, ...]:
        """Tenants with a ledger that the caller reaches, in order, those after `after`."""
        if caller.tenants is None:
            named = await self._store.tenants(after, limit)
        else:
            named = tuple(sorted(tenant for tenant in caller.tenants if tenant > after))
        heads = await self._store.heads(named)
        listed = ((tenant, heads[tenant]) for tenant in named if tenant in heads)
        return tuple(TenantListed(tenant, head.seq, head.hash, head.time) for tenant, head in islice(listed, limit))

    async def receipts(
        self, tenant: str, after: int, limit: int, type: str | None, subject: str | None
    ) -> tuple[Shown, ...]:
        receipts = await self._store.receipts(tenant, after, limit, type=type, subject=subject)
        return await self._with_parts(tenant, receipts)

    async def receipt(self, tenant: str, seq: int) -> Shown | None:
        receipt = await self._store.receipt(tenant, seq)
        return None if receipt is None else (await self._with_parts(tenant, (receipt,)))[0]

    async def committed(self, tenant: str, seq: int) -> Dropped | None:
        """
        A receipt's hash and the names of its parts, erased ones too; None where there is no such receipt.

        Of an archived one as of any other, if it had parts.
        """
        receipt = await self._store.receipt(tenant, seq)
        if receipt is None:
            return await self._store.dropped(tenant, seq)
        return Dropped(receipt.hash, tuple(_committing.decode(receipt.body).commits))

    async def head(self, tenant: str) -> Shown | None:
        """The newest receipt."""
        head = (await self._store.heads((tenant,))).get(tenant)
        return None if head is None else await self.receipt(tenant, head.seq)

    async def _with_parts(self, tenant: str, receipts: tuple[Receipt, ...]) -> tuple[Shown, ...]:
        if not receipts:
            return ()
        parts: dict[int, list[Part]] = {}
        for part in await self._store.parts(tenant, receipts[0].seq, receipts[-1].seq):
            parts.setdefault(part.seq, []).append(part)
        return tuple(Shown(receipt, tuple(parts.get(receipt.seq, ()))) for receipt in receipts)

    async def policy(self, digest: str) -> bytes | None:
        """The plans file of a receipt's `policy`."""
        return await self._store.policy(digest)


def view(tenant: str, state: TenantState, at: AsOf, plans: Plans) -> TenantView:
    """What is shown of a tenant."""
    plan = effective_plan(state, plans)
    entitlements = tuple(
        EntitlementView(
            entitlement_id=entitlement_id,
            status=each.status,
            plan=each.plan,
            effective_at=each.effective_at,
            expires_at=each.expires_at,
            ends_at=each.ends_at,
            next_plan=each.next_plan,
            next_plan_at=each.next_plan_at,
            ended_at=each.ended_at,
        )
        for entitlement_id, each in state.entitlements.items()
    )
    quotas = () if plan is None else tuple(plan.quotas.values())
    return TenantView(
        tenant_id=tenant,
        plan=None if plan is None else plan.name,
        entitlements=entitlements,
        quotas=tuple(quota_view(quota, state.quotas.get(quota.name), at.time) for quota in quotas),
        as_of=at,
    )


def quota_view(quota: Quota, use: QuotaUse | None, now: Moment) -> QuotaView:
    current = use_at(now, quota.per, use)
    remaining = None if quota.limit is None else max(quota.limit - current.used, 0)
    return QuotaView(
        quota=quota.name,
        used=current.used,
        limit=quota.limit,
        remaining=remaining,
        per=quota.per,
        kind=quota.kind,
        resets_at=current.window_end,
    )
