"""
The composition root: the one place that knows every part, and where time and chance come from.

    settings --> store, plans, keys, telemetry --> corridor, queries, timers, health --> front door --> server
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from msgspec import Struct

from tai_autonomics import __version__
from tai_autonomics.application.clock import SealingClock
from tai_autonomics.application.corridor import Corridor, CorridorBounds
from tai_autonomics.application.health import Health
from tai_autonomics.application.ports import Clock, Entropy, Observer, Store
from tai_autonomics.application.queries import Queries
from tai_autonomics.application.timers import Timers
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant import Bounds
from tai_autonomics.errors import InvalidPlans, InvalidSetting, StoreUnavailable
from tai_autonomics.identity.keys import Keys, first_start_key, load_keys, write_admin_token
from tai_autonomics.identity.tokens import Issuance, TokenVerifier, mint
from tai_autonomics.ingress.app import build
from tai_autonomics.ingress.front_door import Drain, FrontDoor, Limits
from tai_autonomics.ingress.scraping import serve_scrapes
from tai_autonomics.ingress.server import ServerBounds, listen
from tai_autonomics.ingress.server import serve as serve_http
from tai_autonomics.policy.file import carry_over, load, shipped
from tai_autonomics.settings import IN_MEMORY, Loaded, Settings
from tai_autonomics.stores.sqlite import SQLiteStore
from tai_autonomics.telemetry.logs import Logs
from tai_autonomics.telemetry.metrics import Metrics
from tai_autonomics.telemetry.observer import Telemetry

ADMIN: Final = "first-start-admin"
"""Subject of the token that a service on the embedded store leaves in its data directory."""


class SystemClock:
    """The Clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SystemEntropy:
    """The Entropy of this machine."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)

    def ulid(self) -> str:
        from ulid import ULID  # it brings pydantic along where that is installed: 55 ms of a start

        return str(ULID())


class House(Struct, frozen=True):
    """The parts of a process that decides, put together and not yet listening."""

    store: Store
    corridor: Corridor
    queries: Queries
    plans: "PlansInForce"
    clock: Clock
    sealing_clock: SealingClock
    entropy: Entropy
    observer: Observer


class PlansInForce:
    """
    The plans that decide, and how they are replaced.

    A file is stored before the first decision under it. A plan that the new file lacks keeps its last stored
    definition, as retired: customers may hold it.
    """

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        self._store, self._clock, self._settings = store, clock, settings
        self._plans: Plans | None = None

    def __call__(self) -> Plans:
        assert self._plans is not None, "plans are read before anything is decided"
        return self._plans

    async def read(self) -> Plans:
        """Put the file in force. Raises InvalidPlans, InvalidSetting, StoreUnavailable; then nothing changes."""
        newest = await self._store.newest_policy()
        # In a thread: a large file takes seconds, and requests go on.
        text, read = await asyncio.to_thread(self._parse, None if newest is None else newest[1])
        await self._store.keep_policy(read.digest, text, moment_of(self._clock.now()))
        self._plans = read
        return read

    def _parse(self, previous: bytes | None) -> tuple[bytes, Plans]:
        name, text = plans(self._settings)
        read = load(text, name=name)
        if previous is None:
            return text, read
        carried = carry_over(text, previous)
        return carried, read if carried is text else load(carried, name=name)


def plans(settings: Settings) -> tuple[str, bytes]:
    """Name and text of the plans file: PLANS_FILE, or the package's own."""
    if settings.plans_file is None:
        return "plans.yaml", shipped()
    try:
        return str(settings.plans_file), settings.plans_file.read_bytes()
    except OSError as error:
        raise InvalidSetting(f"PLANS_FILE: {settings.plans_file} cannot be read: {error.strerror}") from error


def keys(settings: Settings) -> Keys:
    """The keys that verify tokens: JWT_KEYS, or the data directory's own, made on first start."""
    return first_start_key(settings.data_dir) if settings.jwt_keys is None else load_keys(settings.jwt_keys)


def issuance(settings: Settings) -> Issuance:
    """Whose tokens are good, and for how long."""
    return Issuance(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_seconds=settings.jwt_leeway_seconds,
        lifetime_seconds_max=settings.token_seconds_max,
    )


async def open_store(settings: Settings, *, read_only: bool = False) -> Store:
    """The store that STORE_URL names. Raises StoreUnavailable, LedgerNewerThanCode."""
    path = None if settings.store_url == IN_MEMORY else settings.store_url.removeprefix("sqlite:///")
    return await SQLiteStore.open(path, read_only=read_only, quarantine_max=settings.quarantine_max)


@asynccontextmanager
async def house(settings: Settings, *, observer: Observer | None = None) -> AsyncIterator[House]:
    """Everything that decides, on an open store; closed in order at the end."""
    clock, entropy = SystemClock(), SystemEntropy()
    telling = observer or telemetry(settings, sys.stderr.buffer)
    store = await open_store(settings)
    try:
        sealing_clock = SealingClock(clock, skew_seconds_max=settings.clock_skew_seconds_max)
        if (newest := await store.newest_time()) is not None:
            sealing_clock.saw(newest)
        in_force = PlansInForce(store, clock, settings)
        await in_force.read()
        corridor = Corridor(
            store,
            clock=sealing_clock,
            entropy=entropy,
            observer=telling,
            plans=in_force,
            domain_bounds=Bounds(settings.entitlements_max, settings.observed_ahead_seconds_max),
            bounds=corridor_bounds(settings),
        )
        queries = Queries(store, corridor, clock=sealing_clock, plans=in_force)
        try:
            yield House(store, corridor, queries, in_force, clock, sealing_clock, entropy, telling)
        finally:
            if not await corridor.close(timeout_seconds=settings.drain_seconds_max):
                telling.failed("drain", StoreUnavailable("commands were still under way at the end"))
    finally:
        await store.aclose()


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


def limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes_max=settings.body_bytes_max,
        push_body_bytes_max=settings.push_body_bytes_max,
        request_seconds=settings.request_seconds_max,
        requests_at_once_max=settings.requests_at_once_max,
        tenant_rate_per_second=settings.tenant_rate_per_second,
    )


def telemetry(settings: Settings, stream: BinaryIO) -> Telemetry:
    """Logs to `stream` and the metrics of this process."""
    terminal = stream.isatty()
    console = settings.log_format == "console" or (settings.log_format == "auto" and terminal)
    clock = SystemClock()
    logs = Logs(
        stream,
        clock,
        level=settings.log_level,
        form="console" if console else "json",
        colors=console and terminal,
        project_id=settings.gcp_project_id,
    )
    return Telemetry(logs, Metrics(environment=settings.environment), clock)


class Started(Struct, frozen=True):
    """Where a service listens. `token_file` holds the admin token that it left there, if it made one."""

    url: str
    metrics_url: str | None
    data_dir: Path
    token_file: Path | None


def serve(loaded: Loaded, *, started: Callable[[Started], None]) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. Raises InvalidSetting, InvalidPlans, Unavailable at the start."""
    import uvloop

    told = telemetry(loaded.settings, sys.stdout.buffer)
    told.logs.take_over_stdlib()
    try:
        return uvloop.run(_serve(loaded, told, started))
    finally:
        told.logs.close()


async def _serve(loaded: Loaded, told: Telemetry, started: Callable[[Started], None]) -> int:
    settings = loaded.settings
    for warning in loaded.warnings:
        told.logs.log.warning(warning)
    # Bound before anything is opened: a taken port touches no store and leaves no key.
    listening = listen(settings.host, settings.port)
    scraping = None if settings.metrics_address is None else listen(*settings.metrics_address)
    verifying = keys(settings)
    async with house(settings, observer=told) as parts:
        token_file = None if settings.jwt_keys else _leave_admin_token(settings, verifying, parts.clock)
        drain = Drain()
        health = Health(parts.store, clock=parts.sealing_clock, observer=told)
        timers = Timers(
            parts.store,
            parts.corridor,
            clock=parts.sealing_clock,
            observer=told,
            poll_seconds=settings.timer_poll_seconds,
        )
        told.metrics.watch(
            lanes=lambda: parts.corridor.lanes,
            waiting=lambda: parts.corridor.waiting,
            log_lines_dropped=lambda: told.logs.dropped,
        )
        door = FrontDoor(
            corridor=parts.corridor,
            queries=parts.queries,
            verifier=TokenVerifier(verifying.public, issuance(settings), parts.clock),
            quarantine=parts.store.quarantine,
            journal_clean=parts.store.journal_clean,
            health=health,
            scrape=told.metrics.scrape,
            observer=told,
            clock=parts.clock,
            entropy=parts.entropy,
            version=__version__,
            limits=limits(settings),
            drain=drain,
        )
        await health.probe()
        reload = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
        background = [
            _in_background(told, "health", health.run()),
            _in_background(told, "timers", timers.run()),
            _in_background(told, "plans", _reload_plans(parts.plans, reload, told)),
        ]
        bounds = ServerBounds(
            header_bytes_max=settings.header_bytes_max,
            header_seconds=settings.request_seconds_max,
            drain_seconds=settings.drain_seconds_max,
        )

        def on_started() -> None:
            where = Started(
                url=_url_of(listening),
                metrics_url=None if scraping is None else _url_of(scraping) + "/metrics",
                data_dir=settings.data_dir,
                token_file=token_file,
            )
            told.logs.log.info("listening", url=where.url, metrics=where.metrics_url, token_file=str(token_file))
            started(where)

        def on_draining() -> None:
            drain.begun = True

        if scraping is not None:
            background.append(_in_background(told, "scrape", serve_scrapes(told.metrics.scrape, scraping)))
        try:
            await serve_http(build(door), listening, bounds=bounds, on_started=on_started, on_draining=on_draining)
        finally:
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
    return 0


def _leave_admin_token(settings: Settings, own: Keys, clock: Clock) -> Path:
    """A fresh admin token at every start, for whoever can read the data directory."""
    assert own.signing is not None, "a key of our own is private"
    token = mint(
        own.signing,
        subject=ADMIN,
        roles=frozenset({"admin"}),
        tenants=None,
        issuance=issuance(settings),
        now=clock.now(),
        lifetime_seconds=settings.token_seconds_max,
    )
    return write_admin_token(settings.data_dir, token)


async def _reload_plans(in_force: PlansInForce, asked: asyncio.Event, observer: Telemetry) -> None:
    """On SIGHUP: a bad file is reported, and the old one stays."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            read = await in_force.read()
        except (InvalidPlans, InvalidSetting, StoreUnavailable) as error:
            observer.failed("plans", error)
        else:
            observer.logs.log.info("the plans file was read again", policy=read.digest)


def _in_background(observer: Observer, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """A task whose end is an error worth telling."""
    task = asyncio.get_running_loop().create_task(work, name=name)

    def ended(done: "asyncio.Task[None]") -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            observer.failed(name, error)

    task.add_done_callback(ended)
    return task


def _url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
