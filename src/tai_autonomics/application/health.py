"""Whether this instance is well: probed in the background, so that asking costs nothing."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.ports import Observer, Store
from tai_autonomics.errors import ClockUntrusted, StoreUnavailable

PROBE_SECONDS: Final = 5.0
PROBE_SECONDS_MAX: Final = 2.0
"""A probe that takes longer has failed."""


class Health:
    """Each check's latest result: "ok", or what is wrong."""

    def __init__(
        self,
        store: Store,
        *,
        clock: SealingClock,
        observer: Observer,
        keys: Mapping[str, Callable[[], str]] = MappingProxyType({}),
    ) -> None:
        """`keys`: of each check of keys that others publish, "ok", or why they cannot verify."""
        self._store, self._clock, self._observer, self._keys = store, clock, observer, keys
        self._checks: dict[str, str] = {"store": "not probed yet", "clock": "not probed yet"}

    def __call__(self) -> Mapping[str, str]:
        return self._checks

    async def run(self) -> None:
        """Probe until the task is cancelled."""
        while True:
            await self.probe()
            await asyncio.sleep(PROBE_SECONDS)

    async def probe(self) -> None:
        self._note("store", await self._store_result())
        self._note("clock", await self._clock_result())
        for check, result in self._keys.items():
            self._note(check, result())

    def _note(self, check: str, result: str) -> None:
        self._checks[check] = result
        self._observer.probed(check, result == "ok")

    async def _store_result(self) -> str:
        try:
            await asyncio.wait_for(self._store.probe(), PROBE_SECONDS_MAX)
        except StoreUnavailable as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {PROBE_SECONDS_MAX:g} s"
        return "ok"

    async def _clock_result(self) -> str:
        try:
            await self._compare_clocks()
            self._clock.now()
        except ClockUntrusted as error:
            return str(error)
        return "ok"

    async def _compare_clocks(self) -> None:
        asked = self._clock.monotonic()
        try:
            store = await asyncio.wait_for(self._store.now(), PROBE_SECONDS_MAX)
        except (StoreUnavailable, TimeoutError):
            return  # the store's own result says so; what was last known of the clock stands
        if store is not None:
            self._clock.compare_with_store(store, asked)
