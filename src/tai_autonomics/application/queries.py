"""What the API and the command line show. Everything is read from durable state; nothing here writes."""

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from tai_autonomics.application.actions import (
    READS_AT_ONCE_MAX,
    STAGES,
    ActionShown,
    ActionView,
    BudgetView,
    GovernorView,
    State,
    action_shown,
    budget_view,
    due_kinds,
    governor_view,
    in_flight_view,
    settled_actions,
)
from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.compliance import ComplianceView, compliance_view
from tai_autonomics.application.corridor import Durable
from tai_autonomics.application.freshness import Freshness
from tai_autonomics.application.ports import Caller, Observer, Store
from tai_autonomics.application.throttling import Throttles
from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.budgets import use_at as budget_use_at
from tai_autonomics.domain.governor import Stage, Throttled, asked_more
from tai_autonomics.domain.identifiers import FLEET
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import COUNT_MAX, Plans, Quota
from tai_autonomics.domain.quota import QuotaUse, use_at
from tai_autonomics.domain.tenant import (
    Check,
    CheckResult,
    TenantState,
    after_timers,
    check,
    effective_plan,
    throttle_in_force,
    when_stale,
)
from tai_autonomics.errors import Unavailable
from tai_autonomics.ledger.records import Part, Receipt


class _Committing(Struct, frozen=True):
    commits: dict[str, str] = {}


_committing: Final = msgspec.json.Decoder(_Committing)

ACTIONS_MAX: Final = 100
"""In one page, whatever was asked for: each takes a read of its own."""


class Committed(Struct, frozen=True, gc=False):
    """A receipt's hash, the names of its parts, and when it was made; None: it is archived."""

    hash: str
    parts: tuple[str, ...]
    made_at: Moment | None


class Shown(Struct, frozen=True, gc=False):
    """A receipt, with the parts of it that still exist."""

    receipt: Receipt
    parts: tuple[Part, ...]


class ThrottleView(Struct, frozen=True, gc=False):
    """At most `requests` checks and consumes in `per_seconds`, until `until`; `remaining` as this instance counts."""

    requests: int
    per_seconds: int
    remaining: int
    resets_at: Moment
    until: Moment


class CheckAnswer(Struct, frozen=True, gc=False):
    """Decisions on the state after receipt `seq`, as of `time`."""

    results: tuple[CheckResult, ...]
    seq: int
    time: Moment
    throttle: ThrottleView | None = None
    """What an action holds the tenant to, and what is left after these checks."""
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
    compliance: ComplianceView
    governor: GovernorView
    as_of: AsOf
    action: ActionView | UnsetType = UNSET
    """The one in flight."""
    fleet: dict[ActionType, BudgetView] | UnsetType = UNSET
    """Of the fleet alone: what all tenants together have used of each type's budget."""
    stale: Literal[True] | UnsetType = UNSET
    """There, and true, where the store could not be asked for a newer state."""


class TenantListed(Struct, frozen=True, gc=False):
    """A tenant in a list: its id and the head of its ledger."""

    tenant_id: str
    seq: int
    hash: str
    time: str


class ActionsPage(Struct, frozen=True):
    """Actions of a tenant; the next page is of those settled before the receipt `before`, None: there is none."""

    items: tuple[ActionView, ...]
    before: int | None


class InFlightPage(Struct, frozen=True):
    """
    Actions in flight; the next page is of tenants greater than `after`, None: there are none.

    `unreadable` are the tenants of this page whose state cannot be had now: they may have one in flight too.
    """

    items: tuple[ActionView, ...]
    after: str | None
    unreadable: tuple[str, ...] = ()


class Queries:
    """Reads for callers whose rights have been checked."""

    def __init__(
        self,
        store: Store,
        freshness: Freshness,
        *,
        clock: SealingClock,
        plans: Callable[[], Plans],
        throttles: Throttles,
        observer: Observer,
    ) -> None:
        self._store, self._freshness, self._clock, self._plans = store, freshness, clock, plans
        self._throttles, self._observer = throttles, observer

    async def check(self, tenant: str, checks: tuple[Check, ...]) -> CheckAnswer:
        """May this tenant do this? Raises Unavailable when its state cannot be read."""
        fresh = await self._freshness.durable(tenant)
        durable, plans = fresh.durable, self._plans()
        now = self._as_of(durable)
        throttle = throttle_in_force(durable.state, now)
        counted = None if throttle is None else self._throttles.ask(tenant, throttle, now, len(checks))
        results = check(checks, durable.state, now=now, plans=plans, counted=counted)
        if fresh.stale:
            results = when_stale(results, durable.state, now=now, plans=plans)
        left = None
        if throttle is not None and counted is not None:
            left = throttle_view(throttle, asked_more(counted, len(checks)))
        return CheckAnswer(results, durable.head.seq, now, left, fresh.stale)

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

    async def committed(self, tenant: str, seq: int) -> Committed | None:
        """
        What a receipt commits to, erased parts too; None where there is no such receipt.

        Of an archived one as of any other, if it had parts.
        """
        receipt = await self._store.receipt(tenant, seq)
        if receipt is None:
            dropped = await self._store.dropped(tenant, seq)
            return None if dropped is None else Committed(dropped.hash, dropped.parts, None)
        parts = tuple(_committing.decode(receipt.body).commits)
        return Committed(receipt.hash, parts, Moment(receipt.time))

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

    async def actions(self, tenant: str, before: int | None, limit: int, state: State | None) -> ActionsPage | None:
        """
        The one in flight, where no `before` is given, and then the settled ones, the newest first.

        A page may be short of what comes after it. None for a tenant without a ledger.
        """
        durable = (await self._freshness.durable(tenant)).durable
        if durable.head.seq == 0:
            return None
        now = durable.state.governor.in_flight
        shown = () if now is None or before is not None else (in_flight_view(tenant, now),)
        if state in STAGES:
            return ActionsPage(tuple(each for each in shown if each.state == state), None)
        first, limit = () if state is not None else shown, min(limit, ACTIONS_MAX)
        page = await settled_actions(
            self._store, tenant, COUNT_MAX if before is None else before, limit - len(first), state
        )
        # It may be settled by now.
        settled = {each.action_id for each in page.items}
        return ActionsPage((*(each for each in first if each.action_id not in settled), *page.items), page.before)

    async def action(self, tenant: str, action_id: str) -> ActionShown | None:
        """With everything that its receipts say of it."""
        return await action_shown(self._store, tenant, action_id)

    async def actions_in_flight(self, caller: Caller, after: str, limit: int, stage: Stage | None) -> InFlightPage:
        """
        Of the tenants that the caller reaches, in order, those after `after`; a page may be short.

        A tenant that cannot be read is named, and hides no other one.
        """
        limit = min(limit, ACTIONS_MAX)
        tenants = await self._with_actions(caller, after, limit, stage)
        at_once = asyncio.Semaphore(READS_AT_ONCE_MAX)
        unreadable: set[str] = set()

        async def one(tenant: str) -> ActionView | None:
            try:
                async with at_once:
                    found = (await self._freshness.durable(tenant)).durable.state.governor.in_flight
            except Unavailable as error:
                unreadable.add(tenant)
                self._observer.failed("queries", error)
                return None
            return None if found is None else in_flight_view(tenant, found)

        found = [each for each in await asyncio.gather(*map(one, tenants)) if each is not None]
        shown = tuple(each for each in found if stage is None or each.state == stage)
        return InFlightPage(shown, tenants[-1] if len(tenants) == limit else None, tuple(sorted(unreadable)))

    async def _with_actions(self, caller: Caller, after: str, limit: int, stage: Stage | None) -> list[str]:
        """Tenants that may have one in flight."""
        if caller.tenants is not None:
            return sorted(tenant for tenant in caller.tenants if tenant > after)[:limit]
        pages = await asyncio.gather(*(self._store.with_due(kind, after, limit) for kind in due_kinds(stage)))
        return sorted({tenant for page in pages for tenant in page})[:limit]

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
        compliance=compliance_view(state.compliance, plan, at.time),
        governor=governor_view(state.governor, plan, at.time),
        as_of=at,
        fleet=_fleet(state, at.time, plans) if tenant == FLEET else UNSET,
        action=UNSET if state.governor.in_flight is None else in_flight_view(tenant, state.governor.in_flight),
    )


def _fleet(state: TenantState, now: Moment, plans: Plans) -> dict[ActionType, BudgetView]:
    return {
        bounded: budget_view(budget_use_at(now, budget, state.fleet.get(bounded)))
        for bounded, budget in plans.fleet.items()
    }


def throttle_view(throttle: Throttled, use: BudgetUse) -> ThrottleView:
    return ThrottleView(
        requests=throttle.requests,
        per_seconds=throttle.per_seconds,
        remaining=max(throttle.requests - use.used, 0),
        resets_at=min(use.window_end, throttle.until),
        until=throttle.until,
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
