"""
The service: a house with its front door open, and what runs in the background beside it.

    listen --> keys --> house --> admin token --> first probe --> serve, until a signal --> drain --> close
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack, aclosing, suppress
from math import inf
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from tai_autonomics import __version__
from tai_autonomics.application.executor import Executor, ExecutorBounds
from tai_autonomics.application.health import Health
from tai_autonomics.application.ports import Observer, Tracer
from tai_autonomics.application.surveying import Survey
from tai_autonomics.application.timers import Timers
from tai_autonomics.application.trails import Trails
from tai_autonomics.domain.plans import retired
from tai_autonomics.identity.keys import KeysInForce
from tai_autonomics.identity.provider import ProviderKeys
from tai_autonomics.identity.tokens import KeySource, TokenVerifier
from tai_autonomics.ingress.app import build
from tai_autonomics.ingress.front_door import Drain, FrontDoor, Limits
from tai_autonomics.ingress.redriving import Redriving
from tai_autonomics.ingress.scraping import serve_scrapes
from tai_autonomics.ingress.server import ServerBounds, listen
from tai_autonomics.ingress.server import serve as serve_http
from tai_autonomics.ingress.turns import Turns
from tai_autonomics.ledger.records import Erased
from tai_autonomics.settings import Loaded, Settings, switched_off
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.wiring import erasures, tracing
from tai_autonomics.wiring.actuators import Actuators
from tai_autonomics.wiring.credentials import issuance, keys, leave_admin_token, provider
from tai_autonomics.wiring.house import House, house, telemetry
from tai_autonomics.wiring.machine import SystemClock
from tai_autonomics.wiring.memory import Settling
from tai_autonomics.wiring.policies import PlansInForce
from tai_autonomics.wiring.rotation import Rotation
from tai_autonomics.wiring.senders import Senders

REQUESTS_SHARE: Final = 0.4
"""Of the time to drain. The corridor has its share after it, and the store what a last statement waits for a lock."""
ACTIONS_SHARE: Final = 0.1
"""Attempts under way have this beside what the requests have, from the signal on."""


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
        tracer = tracing.traces(loaded.settings, told)
        try:
            with Settling(SystemClock().monotonic):
                return uvloop.run(_serve(loaded, told, tracer, started))
        finally:
            tracing.close(tracer, loaded.settings, told)
    finally:
        told.logs.close()


async def _serve(loaded: Loaded, told: Telemetry, tracer: Tracer | None, started: Callable[[Started], None]) -> int:
    settings = loaded.settings
    for warning in loaded.warnings:
        told.logs.log.warning(warning)
    with ExitStack() as sockets:
        # Bound before anything is opened: a taken port touches no store and leaves no key.
        listening = sockets.enter_context(listen(settings.host, settings.port))
        scraping = None
        if settings.metrics_address is not None:
            scraping = sockets.enter_context(listen(*settings.metrics_address, setting="TAI_METRICS_ADDRESS"))
        given = keys(settings)
        async with (
            aclosing(Actuators(settings, SystemClock())) as actuators,
            house(settings, observer=told, tracer=tracer, fits=actuators.check) as parts,
            provider(settings, parts.clock, told) as provided,
        ):
            own = given if settings.jwt_keys is None else None
            token_file = None if own is None else leave_admin_token(settings, own, parts.clock)
            where = Started(
                url=_url_of(listening),
                metrics_url=None if scraping is None else _url_of(scraping) + "/metrics",
                data_dir=settings.data_dir,
                token_file=token_file,
            )
            verifying: KeySource | None = provided or given
            if provided is None and given is not None and own is None:
                verifying = KeysInForce(given)
            assert verifying is not None, "keys come from a provider, a file or the first start"
            await _serve_house(
                loaded,
                parts,
                actuators,
                told,
                tracer,
                verifying,
                listening,
                scraping,
                lambda: _tell(told, settings, where, started),
            )
    told.logs.log.info("stopped")
    return 0


async def _serve_house(
    loaded: Loaded,
    parts: House,
    actuators: Actuators,
    told: Telemetry,
    tracer: Tracer | None,
    verifying: KeySource,
    listening: socket.socket,
    scraping: socket.socket | None,
    on_started: Callable[[], None],
) -> None:
    settings, drain = loaded.settings, Drain()
    executor = Executor(
        parts.corridor,
        actuators.opened,
        clock=parts.sealing_clock,
        plans=parts.plans,
        observer=told,
        entropy=parts.entropy,
        bounds=executor_bounds(settings),
        trails=None if tracer is None else Trails(parts.store, tracer, told),
    )

    drained_by = inf

    def begin_drain() -> None:
        nonlocal drained_by
        if not drain.begun:
            told.logs.log.info("stopping: what is under way finishes", within=f"{settings.drain_seconds_max:g} s")
        drain.begin()
        executor.stop_taking()
        share = settings.drain_seconds_max * (REQUESTS_SHARE + ACTIONS_SHARE)
        drained_by = min(drained_by, parts.clock.monotonic() + share)

    senders = await Senders.open(settings, parts.clock, told)
    published = {"keys": verifying.result} if isinstance(verifying, ProviderKeys) else {}
    health = Health(parts.store, clock=parts.sealing_clock, observer=told, keys={**published, **senders.published_keys})
    survey = Survey(
        parts.store,
        parts.corridor,
        parts.freshness,
        clock=parts.sealing_clock,
        plans=parts.plans,
        observer=told,
    )
    told.metrics.watch(
        lanes=lambda: parts.corridor.lanes,
        waiting=lambda: parts.corridor.waiting,
        actions=lambda: (executor.in_hand, executor.attempting),
        queue=lambda: executor.queue.standing(parts.clock.now(), parts.clock.monotonic()),
        survey=survey,
        check_ages=health.ages,
        log_lines_dropped=lambda: told.logs.dropped,
    )
    await health.probe()
    door = front_door(settings, parts, told, verifying, health, drain, senders, tracer)
    rotating = verifying if isinstance(verifying, KeysInForce) else None
    rotation = Rotation(loaded, keys=rotating, actuators=actuators, senders=senders, plans=parts.plans, observer=told)
    background = _background(
        settings, parts, told, health, survey, scraping, Redriving(door, parts.store), executor, actuators, rotation
    )
    try:
        await serve_http(
            build(door),
            listening,
            bounds=server_bounds(settings),
            turns=door.turns,
            refused=told.answered,
            on_started=on_started,
            on_draining=begin_drain,
        )
    finally:
        await executor.close(timeout_seconds=_left(settings, drained_by - parts.clock.monotonic()))
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await senders.aclose()


def _left(settings: Settings, seconds: float) -> float:
    """Of the time for attempts under way: at least their own share, at most all of it where no signal came."""
    own = settings.drain_seconds_max * ACTIONS_SHARE
    return min(max(seconds, own), settings.drain_seconds_max * (REQUESTS_SHARE + ACTIONS_SHARE))


def front_door(
    settings: Settings,
    parts: House,
    told: Telemetry,
    verifying: KeySource,
    health: Health,
    drain: Drain,
    senders: Senders,
    tracer: Tracer | None,
) -> FrontDoor:
    """Everything that a request can reach."""
    verifier = TokenVerifier(verifying, issuance(settings), parts.clock)
    return FrontDoor(
        corridor=parts.corridor,
        queries=parts.queries,
        verifier=verifier,
        push_verifier=senders.pushing(verifier),
        webhooks=senders.webhooks,
        quarantine=parts.store.quarantine,
        journal_clean=parts.store.journal_clean,
        note_erased=_noting(settings.backups_dir, told),
        retired_plans=lambda: retired(parts.plans()),
        health=health,
        scrape=told.metrics.scrape,
        observer=told,
        tracer=tracer,
        clock=parts.clock,
        entropy=parts.entropy,
        version=__version__,
        limits=limits(settings),
        drain=drain,
        turns=Turns(),
    )


def _noting(directory: Path | None, observer: Observer) -> Callable[[Erased], Awaitable[None]]:
    """What fails is made good by the next backup, which asks the store for every erasure."""

    async def note_erased(erased: Erased) -> None:
        if directory is not None:
            try:
                await asyncio.to_thread(erasures.note, directory, erased)
            except OSError as error:
                observer.failed("note_erased", error)

    return note_erased


def limits(settings: Settings) -> Limits:
    return Limits(
        body_bytes_max=settings.body_bytes_max,
        push_body_bytes_max=settings.push_body_bytes_max,
        request_seconds=settings.request_seconds_max,
        requests_at_once_max=settings.requests_at_once_max,
        tenant_rate_per_second=settings.tenant_rate_per_second,
        caller_rate_per_second=settings.caller_rate_per_second,
        caller_burst=settings.caller_burst,
        new_ledgers_per_minute_max=settings.new_ledgers_per_minute_max,
    )


def executor_bounds(settings: Settings) -> ExecutorBounds:
    return ExecutorBounds(
        actions_in_hand_max=settings.actions_in_hand_max,
        actions_at_once_max=settings.actions_at_once_max,
        actions_of_type_at_once_max=settings.actions_of_type_at_once_max,
    )


def server_bounds(settings: Settings) -> ServerBounds:
    return ServerBounds(
        header_bytes_max=settings.header_bytes_max,
        header_seconds=settings.request_seconds_max,
        drain_seconds=settings.drain_seconds_max * REQUESTS_SHARE,
    )


def _background(
    settings: Settings,
    parts: House,
    told: Telemetry,
    health: Health,
    survey: Survey,
    scraping: socket.socket | None,
    redriving: Redriving,
    executor: Executor,
    actuators: Actuators,
    rotation: Rotation,
) -> "list[asyncio.Task[None]]":
    timers = Timers(
        parts.store,
        parts.corridor,
        executor,
        parts.freshness,
        clock=parts.sealing_clock,
        observer=told,
        poll_seconds=settings.timer_poll_seconds,
    )
    reload, seconds = asyncio.Event(), settings.secrets_refresh_seconds
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    tasks = [
        _in_background(told, "health", health.run()),
        _in_background(told, "survey", survey.run()),
        _in_background(told, "timers", timers.run()),
        _in_background(told, "redriving", redriving.run()),
        _in_background(told, "reload", _reload(rotation, parts.plans, actuators, reload, told, seconds or None)),
    ]
    if scraping is not None:
        tasks.append(_in_background(told, "scrape", serve_scrapes(told.metrics.scrape, scraping)))
    return tasks


def _tell(told: Telemetry, settings: Settings, where: Started, started: Callable[[Started], None]) -> None:
    """Only of a start that came so far: one that is refused says why, and nothing else."""
    told.logs.log.info("optional, and off", features=switched_off(settings))
    told.logs.log.info("listening", url=where.url, metrics=where.metrics_url, token_file=str(where.token_file))
    started(where)


async def _reload(
    rotation: Rotation,
    in_force: PlansInForce,
    actuators: Actuators,
    asked: asyncio.Event,
    observer: Telemetry,
    seconds: float | None,
) -> None:
    """On SIGHUP the secrets and then the plans, every so many seconds the secrets: what is bad is reported, no more."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asked.wait()
        on_signal = asked.is_set()
        asked.clear()
        try:
            await rotation.read(asked=on_signal)
        except Exception as error:  # noqa: BLE001  # as below
            observer.failed("secrets", error)
        if not on_signal:
            continue
        try:
            read = await in_force.read(actuators.check)
        except Exception as error:  # noqa: BLE001  # whatever it is, the old plans stay and the next file may be good
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
