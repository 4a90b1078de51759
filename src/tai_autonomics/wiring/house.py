"""
Everything that decides, put together on an open store and not yet listening.

    settings --> store, plans, clock --> corridor, queries
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO, Final

from msgspec import Struct

from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.corridor import Corridor, CorridorBounds
from tai_autonomics.application.freshness import Freshness
from tai_autonomics.application.ports import Clock, Entropy, Observer, Store, Tracer
from tai_autonomics.application.queries import Queries
from tai_autonomics.application.throttling import Throttles
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant import Bounds
from tai_autonomics.errors import InvalidSetting, StoreUnavailable
from tai_autonomics.settings import FIRESTORE, IN_MEMORY, POSTGRESQL, Settings, firestore_place
from tai_autonomics.stores.sqlite import SQLiteStore
from tai_autonomics.telemetry.logs import LEVELS, Logs
from tai_autonomics.telemetry.metrics import Metrics
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.wiring.machine import SystemClock, SystemEntropy
from tai_autonomics.wiring.policies import PlansInForce

CORRIDOR_SHARE: Final = 0.2
"""Of the time to drain, after the requests have had theirs."""

FIRESTORE_CALL_SHARE: Final = 0.3
"""Of a request's time, for one call: the three that an append may need end before the request's deadline."""


class House(Struct, frozen=True):
    """The parts of a process that decides, put together and not yet listening."""

    store: Store
    corridor: Corridor
    freshness: Freshness
    queries: Queries
    plans: PlansInForce
    clock: Clock
    sealing_clock: SealingClock
    entropy: Entropy
    observer: Observer


async def open_store(settings: Settings, *, read_only: bool = False) -> Store:
    """The store that STORE_URL names. Raises InvalidSetting, StoreUnavailable, LedgerNewerThanCode."""
    if settings.store_url.startswith(POSTGRESQL):
        # Imported only where it is named: the driver costs a quarter of a second.
        from tai_autonomics.stores.postgres import PostgresStore

        return await PostgresStore.open(
            settings.store_url,
            read_only=read_only,
            connections_max=settings.postgres_connections_max,
            quarantine_max=settings.quarantine_max,
        )
    if settings.store_url.startswith(FIRESTORE):
        return await _open_firestore(settings, read_only=read_only)
    path = None if settings.store_url == IN_MEMORY else settings.store_url.removeprefix("sqlite:///")
    return await SQLiteStore.open(path, read_only=read_only, quarantine_max=settings.quarantine_max)


async def _open_firestore(settings: Settings, *, read_only: bool) -> Store:
    try:
        # Its client takes a second and 70 MB to import.
        from tai_autonomics.stores.firestore import FirestoreStore
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"STORE_URL: Firestore's client is not installed ({error}): pip install 'tai-autonomics[gcp]'"
        ) from error
    project, database = firestore_place(settings)
    return await FirestoreStore.open(
        project,
        database,
        collection=settings.firestore_collection,
        chance=SystemEntropy().bytes,
        emulator=settings.firestore_emulator_host,
        read_only=read_only,
        timeout_seconds=settings.request_seconds_max * FIRESTORE_CALL_SHARE,
        quarantine_max=settings.quarantine_max,
    )


@asynccontextmanager
async def house(
    settings: Settings,
    *,
    observer: Observer | None = None,
    tracer: Tracer | None = None,
    fits: Callable[[Plans], Awaitable[None]] | None = None,
) -> AsyncIterator[House]:
    """Everything that decides, on an open store; closed in order at the end. Plans that do not fit are not kept."""
    clock, entropy = SystemClock(), SystemEntropy()
    # A command shows what it did itself: its log is for what goes wrong.
    level = max(settings.log_level, "warning", key=LEVELS.__getitem__)
    telling = observer or telemetry(settings, sys.stderr.buffer, level=level)
    store = await open_store(settings)
    try:
        sealing_clock = SealingClock(clock, skew_seconds_max=settings.clock_skew_seconds_max)
        await _check_clock(sealing_clock, store)
        in_force = PlansInForce(store, clock, settings)
        await in_force.read(fits)
        throttles = Throttles()
        corridor = Corridor(
            store,
            clock=sealing_clock,
            entropy=entropy,
            observer=telling,
            plans=in_force,
            domain_bounds=Bounds(settings.entitlements_max, settings.observed_ahead_seconds_max),
            bounds=corridor_bounds(settings),
            throttles=throttles,
            tracer=tracer,
        )
        freshness = Freshness(
            store,
            corridor,
            clock=sealing_clock,
            observer=telling,
            age_seconds_max=settings.state_age_seconds_max,
        )
        queries = Queries(store, freshness, clock=sealing_clock, plans=in_force, throttles=throttles, observer=telling)
        try:
            yield House(store, corridor, freshness, queries, in_force, clock, sealing_clock, entropy, telling)
        finally:
            await freshness.aclose()
            if not await corridor.close(timeout_seconds=settings.drain_seconds_max * CORRIDOR_SHARE):
                telling.failed("drain", StoreUnavailable("commands were still under way at the end"))
    finally:
        await store.aclose()


async def _check_clock(clock: SealingClock, store: Store) -> None:
    """Against the store's own clock where it has one, else against the newest receipt."""
    asked = clock.monotonic()
    if (theirs := await store.now()) is not None:
        clock.compare_with_store(theirs, asked)
    elif (newest := await store.newest_time()) is not None:
        clock.saw(newest)


def corridor_bounds(settings: Settings) -> CorridorBounds:
    return CorridorBounds(
        lanes_max=settings.lanes_max,
        lane_waiting_max=settings.lane_waiting_max,
        waiting_max=settings.waiting_max,
        append_receipts_max=settings.append_receipts_max,
        append_bytes_max=settings.append_bytes_max,
        snapshot_receipts=settings.snapshot_receipts,
        snapshot_bytes=settings.snapshot_bytes,
        new_ledgers_per_minute_max=settings.new_ledgers_per_minute_max,
    )


def telemetry(settings: Settings, stream: BinaryIO, *, level: str | None = None) -> Telemetry:
    """Logs to `stream` from `level` on, LOG_LEVEL where none is given, and the metrics of this process."""
    terminal = stream.isatty()
    console = settings.log_format == "console" or (settings.log_format == "auto" and terminal)
    clock = SystemClock()
    logs = Logs(
        stream,
        clock,
        level=level or settings.log_level,
        form="console" if console else "json",
        colors=console and terminal,
        project_id=settings.gcp_project_id,
    )
    return Telemetry(logs, Metrics(environment=settings.environment), clock)
