"""Whether this instance is well: probed in the background, so that asking costs nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.ports import Observer, Store
from tai_autonomics.errors import ClockUntrusted, StoreUnavailable

PROBE_SECONDS: Final = 5.0
PROBE_SECONDS_MAX: Final = 2.0
"""A probe that takes longer has failed."""
AGE_SECONDS_MAX: Final = 30.0
"""A result that is older says nothing any more: whatever probes stands still."""
STORE_TROUBLE: Final = "it refuses to work or cannot be reached; the log says why"
OWN_TROUBLE: Final = "an error of ours; the log says which"


class _Result(Struct, frozen=True):
    """What anybody may hear of a check, "ok" or what is wrong, and when it ended, in monotonic seconds."""

    said: str
    ended: float


class Health:
    """
    Each check's latest result: "ok", or what is wrong.

    Anybody may ask, so what a store's driver says, which may name hosts, paths and users, is for the observer alone.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: SealingClock,
        observer: Observer,
        keys: Mapping[str, Callable[[], str]] = MappingProxyType({}),
    ) -> None:
        """`keys`: of each check of keys that others publish, "ok", or why they cannot verify."""
        self._store, self._clock, self._observer = store, clock, observer
        self._probes: dict[str, Callable[[], Awaitable[tuple[str, str]]]] = {
            "store": self._store_result,
            "clock": self._clock_result,
        }
        self._probes |= {check: partial(self._keys_result, result) for check, result in keys.items()}
        self._results: dict[str, _Result] = {}

    def __call__(self) -> Mapping[str, str]:
        now = self._clock.monotonic()
        return {check: self._said(check, now) for check in self._probes}

    def ages(self) -> Mapping[str, float]:
        """Seconds since each check last ended; one that has not ended yet is absent."""
        now = self._clock.monotonic()
        return {check: now - result.ended for check, result in self._results.items()}

    async def run(self) -> None:
        """Probe until the task is cancelled."""
        while True:
            await self.probe()
            await asyncio.sleep(PROBE_SECONDS)

    async def probe(self) -> None:
        """Every check once, side by side: one that hangs holds up no other."""
        await asyncio.gather(*(self._probe(check, probe) for check, probe in self._probes.items()))

    async def _probe(self, check: str, probe: Callable[[], Awaitable[tuple[str, str]]]) -> None:
        try:
            said, trouble = await probe()
        except Exception as error:  # noqa: BLE001  # whatever it is, the check has failed and the next may pass
            self._observer.failed("health", error)
            said, trouble = OWN_TROUBLE, type(error).__name__
        self._results[check] = _Result(said, self._clock.monotonic())
        self._observer.probed(check, trouble)

    def _said(self, check: str, now: float) -> str:
        result = self._results.get(check)
        if result is None:
            return "not probed yet"
        age = now - result.ended
        return f"not probed for {age:.0f} s" if age > AGE_SECONDS_MAX else result.said

    async def _store_result(self) -> tuple[str, str]:
        try:
            await asyncio.wait_for(self._store.probe(), PROBE_SECONDS_MAX)
        except StoreUnavailable as error:
            return STORE_TROUBLE, str(error) or type(error).__name__
        except TimeoutError:
            return _alike(f"no answer within {PROBE_SECONDS_MAX:g} s")
        return "ok", ""

    async def _clock_result(self) -> tuple[str, str]:
        try:
            await self._compare_clocks()
            self._clock.now()
        except ClockUntrusted as error:
            return _alike(str(error))
        return "ok", ""

    async def _keys_result(self, result: Callable[[], str]) -> tuple[str, str]:
        said = result()
        return ("ok", "") if said == "ok" else _alike(said)

    async def _compare_clocks(self) -> None:
        asked = self._clock.monotonic()
        try:
            store = await asyncio.wait_for(self._store.now(), PROBE_SECONDS_MAX)
        except (StoreUnavailable, TimeoutError):
            return  # the store's own result says so; what was last known of the clock stands
        if store is not None:
            self._clock.compare_with_store(store, asked)


def _alike(trouble: str) -> tuple[str, str]:
    """What anybody may hear as it is."""
    return trouble, trouble
