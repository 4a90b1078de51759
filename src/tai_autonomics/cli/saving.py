"""
The steps of a backup, of a restore and of a drill, on a store that this program copies and brings back itself.

    backup   copy beside the service --> erasures onto the list --> manifest
    restore  fetch beside the place --> verify --> LedgerRestored --> erase again --> into the place
    drill    the same into a temporary place, measured

A store of another engine is brought back by the engine's own means, and then made fit where it is:

    erasures-only   the store's erasures onto the list
    in place        verify --> LedgerRestored --> erase again
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.application.restoring import Fit, Restoring
from tai_autonomics.cli import shelf
from tai_autonomics.cli.erasing import BY
from tai_autonomics.cli.places import Beside, Place, place_of, removed
from tai_autonomics.cli.stored import open_store
from tai_autonomics.domain.moments import Moment, datetime_of, moment_of
from tai_autonomics.errors import BrokenBackup, StoreUnavailable
from tai_autonomics.ledger.records import Erased
from tai_autonomics.stores.sqlite.backup import flush

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings


class Backup(Struct, frozen=True):
    """A backup that was made."""

    manifest: Path
    content: shelf.Manifest
    erasures: int
    seconds: float


class Restored(Struct, frozen=True):
    """`aside` is where the store went that was there."""

    manifest: Path
    content: shelf.Manifest
    fit: Fit
    seconds: float
    aside: str | None = None
    unread: str | None = None
    """Why the erasures of the store that was there are not known."""


class Drill(Struct, frozen=True):
    """What a restore takes now, and what would be lost: 0 s where nothing is newer than the backup."""

    restored: Restored
    rto_seconds: float
    rpo_seconds: float


async def back_up(settings: "Settings", directory: Path, tell: Callable[[int, int], None]) -> Backup:
    """Raises StoreUnavailable, OSError; then no backup was made."""
    started, place = time.monotonic(), place_of(settings)
    # Before the copy begins, so that all that was durable at this time is in it.
    taken = _now()
    shelf.make(directory)
    name = shelf.name_of(taken)
    file, unfinished = directory / f"{name}{place.suffix}", directory / f".{name}.unfinished"
    with removed(unfinished):
        unfinished.touch(mode=0o600, exist_ok=False)
        copied = await place.copy(unfinished, tell)
        content = shelf.Manifest(
            store=place.engine,
            schema=copied.schema,
            time=taken,
            newest=copied.newest,
            ledgers=copied.ledgers,
            receipts=copied.receipts,
            file=file.name,
            bytes=unfinished.stat().st_size,
            sha256=shelf.digest(unfinished),
        )
        every = shelf.add_erasures(directory, copied.erased)
        unfinished.rename(file)
    manifest = directory / f"{name}.json"
    shelf.write(manifest, content)
    flush(directory)
    return Backup(manifest, content, len(every), time.monotonic() - started)


async def restore(
    settings: "Settings", manifest: Path, *, over: bool, tell: Callable[[int], None], started: float
) -> Restored:
    """Into the store's place, where no service runs. Raises BrokenBackup, BrokenChain, Unavailable, OSError."""
    place = place_of(settings)
    content = _readable(manifest, place)
    async with place.replacing(_stamp(), replace=over) as beside:
        known, unread = await _erasures_there(settings) if beside.was_there else ((), None)
        every = shelf.add_erasures(manifest.parent, known)
        fit = await _make_fit(settings, manifest, content, beside, every, tell)
    aside = beside.aside if beside.was_there else None
    return Restored(manifest, content, fit, time.monotonic() - started, aside, unread)


async def _erasures_there(settings: "Settings") -> tuple[tuple[Erased, ...], str | None]:
    """What the store that is about to go has erased, or why nobody can say."""
    try:
        async with open_store(settings) as there:
            return await there.erased(), None
    except StoreUnavailable as error:
        return (), str(error)


async def drill(settings: "Settings", manifest: Path, *, tell: Callable[[int], None]) -> Drill:
    """Beside the live store, which is only read. Raises BrokenBackup, BrokenChain, Unavailable, OSError."""
    started, place = time.monotonic(), place_of(settings)
    content = _readable(manifest, place)
    lost = await _lost_seconds(settings, content)
    async with place.trying(_stamp()) as beside:
        fit = await _make_fit(settings, manifest, content, beside, shelf.erasures(manifest.parent), tell)
    seconds = time.monotonic() - started
    return Drill(Restored(manifest, content, fit, seconds), seconds, lost)


async def _lost_seconds(settings: "Settings", content: shelf.Manifest) -> float:
    """Since the backup, if anything was sealed since, or nobody can say."""
    from tai_autonomics import wiring

    with suppress(StoreUnavailable):
        async with open_store(settings) as live:
            if await live.newest_time() == content.newest:
                return 0.0
    return (wiring.SystemClock().now() - datetime_of(Moment(content.time))).total_seconds()


def _readable(manifest: Path, place: Place) -> shelf.Manifest:
    content = shelf.read(manifest)
    if content.store != place.engine:
        raise BrokenBackup(f"{manifest} is a backup of another engine, {content.store}")
    return content


async def _make_fit(
    settings: "Settings",
    manifest: Path,
    content: shelf.Manifest,
    beside: Beside,
    erasures: Iterable[Erased],
    tell: Callable[[int], None],
) -> Fit:
    from tai_autonomics import wiring

    await beside.fill(manifest, content)
    there = replace(settings, store_url=beside.url)
    async with wiring.house(there) as house:
        restoring = Restoring(house.store, house.corridor, by=BY, timeout_seconds=settings.request_seconds_max)
        fit = await restoring.run(tuple(erasures), tell)
    if (fit.ledgers, fit.receipts) != (content.ledgers, content.receipts):
        raise BrokenBackup(f"{manifest}: {fit.receipts} receipts in {fit.ledgers} ledgers are there")
    await beside.flush()
    return fit


def _now() -> Moment:
    from tai_autonomics import wiring

    return moment_of(wiring.SystemClock().now())


def _stamp() -> str:
    """The time in the names of what is made and moved."""
    return shelf.name_of(_now()).removeprefix("tai-")
