"""
What no single event tells: looked up in the background, a little at a time, and shown as metrics.

    lanes in memory --200 at a time--> tenants with a quota nearly used
    the fleet's ledger --> budget left, by type          the store --> messages in quarantine
"""

import asyncio
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.corridor import Corridor
from tai_autonomics.application.freshness import Freshness
from tai_autonomics.application.ports import Observer, Store
from tai_autonomics.domain.actions import ActionType
from tai_autonomics.domain.budgets import use_at as budget_use_at
from tai_autonomics.domain.identifiers import FLEET
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans, Quota
from tai_autonomics.domain.quota import use_at
from tai_autonomics.domain.tenant import TenantState, effective_plan
from tai_autonomics.errors import ClockUntrusted, StoreUnavailable

SURVEY_SECONDS: Final = 15.0
"""Between one survey's end and the next one's beginning."""
QUARANTINE_SURVEYS: Final = 4
"""The quarantine is counted in every fourth: on Firestore each count costs a read."""
ANSWER_SECONDS_MAX: Final = 5.0
LANES_AT_ONCE: Final = 200
LANES_PAUSE_SECONDS: Final = 0.01
"""So that no request waits longer than for 200 lanes, which take about half a millisecond."""
NEARLY_USED_PERCENT: Final = 80
"""Of a quota whose plan names no threshold below 100 %."""


class Surveyed(Struct, frozen=True):
    """What was last seen; `quarantined` None: it has not been counted yet."""

    quotas_nearly_used: int = 0
    budget_left: dict[ActionType, int] = {}
    quarantined: int | None = None


class Survey:
    """Everything runs on one event loop. What cannot be looked up stays as it was last seen."""

    def __init__(
        self,
        store: Store,
        corridor: Corridor,
        freshness: Freshness,
        *,
        clock: SealingClock,
        plans: Callable[[], Plans],
        observer: Observer,
    ) -> None:
        self._store, self._corridor, self._freshness = store, corridor, freshness
        self._clock, self._plans, self._observer = clock, plans, observer
        self._surveyed = Surveyed()
        self._taken = 0

    def __call__(self) -> Surveyed:
        return self._surveyed

    async def run(self) -> None:
        """Survey until the task is cancelled."""
        while True:
            await self.take()
            await asyncio.sleep(SURVEY_SECONDS)

    async def take(self) -> None:
        """Look everything up that is to be looked up now."""
        looks = [self._quotas, self._budgets]
        if self._taken % QUARANTINE_SURVEYS == 0:
            looks.append(self._quarantine)
        self._taken += 1
        for look in looks:
            try:
                await look()
            except (ClockUntrusted, TimeoutError):
                continue  # health says so of the clock, and the store's check of a store that does not answer
            except StoreUnavailable:
                self._observer.store_failed("survey")
            except Exception as error:  # noqa: BLE001  # whatever it is, the next survey may find it mended
                self._observer.failed("survey", error)

    async def _quotas(self) -> None:
        count = 0
        tenants = self._corridor.tenants()
        for start in range(0, len(tenants), LANES_AT_ONCE):
            now, plans = self._clock.now(), self._plans()
            for tenant in tenants[start : start + LANES_AT_ONCE]:
                durable = self._corridor.known(tenant)
                count += durable is not None and _is_nearly_used(durable.state, now, plans)
            await asyncio.sleep(LANES_PAUSE_SECONDS)
        self._surveyed = replace(self._surveyed, quotas_nearly_used=count)

    async def _budgets(self) -> None:
        fleet = self._plans().fleet
        uses = (await self._freshness.durable(FLEET)).durable.state.fleet if fleet else MappingProxyType({})
        now = self._clock.now()
        left = {}
        for action, budget in fleet.items():
            use = budget_use_at(now, budget, uses.get(action))
            left[action] = max(use.max - use.used, 0)
        self._surveyed = replace(self._surveyed, budget_left=left)

    async def _quarantine(self) -> None:
        count = await asyncio.wait_for(self._store.quarantine_size(), ANSWER_SECONDS_MAX)
        self._surveyed = replace(self._surveyed, quarantined=count)


def _is_nearly_used(state: TenantState, now: Moment, plans: Plans) -> bool:
    plan = effective_plan(state, plans) if state.quotas else None
    if plan is None:
        return False
    for name, use in state.quotas.items():
        quota = plan.quotas.get(name)
        if quota is None or quota.limit is None or use.used * 100 < quota.limit * nearly_used_percent(quota):
            continue
        if use_at(now, quota.per, use) is use:
            return True
    return False


def nearly_used_percent(quota: Quota) -> int:
    """Its last threshold below 100 % of the limit, or 80 where it has none."""
    return max((percent for percent in quota.thresholds if percent < 100), default=NEARLY_USED_PERCENT)
