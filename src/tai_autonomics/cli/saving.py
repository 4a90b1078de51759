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
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.application.restoring import Fit, Restoring
from tai_autonomics.cli import shelf
from tai_autonomics.cli.erasing import BY
from tai_autonomics.cli.moving import target
from tai_autonomics.cli.places import Beside, Place, check_alone, place_of, removed
from tai_autonomics.cli.stored import open_store
from tai_autonomics.domain.moments import Moment, datetime_of, moment_of
from tai_autonomics.errors import BrokenBackup, StoreUnavailable
from tai_autonomics.ledger.records import Erased
from tai_autonomics.stores.sqlite.backup import flush
from tai_autonomics.wiring import erasures

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings

STORE_DIGITS: Final = 16


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
        every = erasures.add(directory, copied.erased)
        unfinished.rename(file)
    manifest = directory / f"{name}.json"
    shelf.write(manifest, content)
    flush(directory)
    return Backup(manifest, content, len(every), time.monotonic() - started)


def outdated(directory: Path, *, keep: int, age: timedelta | None) -> list[Path]:
    """The manifests of all but the newest `keep`, and of those that are older than `age`. Raises BrokenBackup."""
    from tai_autonomics import wiring

    older = shelf.every(directory)[:-keep]
    if age is None:
        return older
    # By the name, which is the time: a manifest that cannot be read any more is old too.
    first = shelf.name_of(moment_of(wiring.SystemClock().now() - age))
    return [manifest for manifest in older if manifest.stem < first]


async def restore(
    settings: "Settings", manifest: Path, *, over: bool, tell: Callable[[int], None], started: float
) -> Restored:
    """Into the store's place, where no service runs. Raises BrokenBackup, BrokenChain, Unavailable, OSError."""
    place = place_of(settings)
    content = _readable(manifest, place)
    async with place.replacing(_stamp(), replace=over) as beside:
        known, unread = await _erasures_there(settings) if beside.was_there else ((), None)
        every = erasures.add(manifest.parent, known)
        fit = await _fill_beside(settings, manifest, content, beside, every, tell)
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
        fit = await _fill_beside(settings, manifest, content, beside, erasures.read(manifest.parent), tell)
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


async def _fill_beside(
    settings: "Settings",
    manifest: Path,
    content: shelf.Manifest,
    beside: Beside,
    erased: Collection[Erased],
    tell: Callable[[int], None],
) -> Fit:
    await beside.fill(manifest, content)
    fit = await _verify_and_erase_again(replace(settings, store_url=beside.url), content.time, erased, tell)
    if (fit.ledgers, fit.receipts) != (content.ledgers, content.receipts):
        raise BrokenBackup(f"{manifest}: {fit.receipts} receipts in {fit.ledgers} ledgers are there")
    await beside.flush()
    return fit


async def _verify_and_erase_again(
    settings: "Settings", restoration: str, erased: Collection[Erased], tell: Callable[[int], None]
) -> Fit:
    """And say in each ledger, in between, that it was restored."""
    from tai_autonomics import wiring

    async with wiring.house(settings) as house:
        restoring = Restoring(house.store, house.corridor, by=BY, timeout_seconds=settings.request_seconds_max)
        return await restoring.run(restoration, erased, tell)


async def list_erasures(settings: "Settings", directory: Path) -> tuple[int, int]:
    """How many erasures the store names, and the list then. Raises BrokenBackup, StoreUnavailable, OSError."""
    async with open_store(settings) as store:
        found = await store.erased()
    erasures.begin(directory)
    return len(found), len(erasures.add(directory, found))


async def restore_in_place(settings: "Settings", directory: Path, *, tell: Callable[[int], None]) -> Fit:
    """
    In its place, where its engine has brought it back and no service runs yet. Cut short, it is to be repeated.

    Raises BrokenBackup, BrokenChain, Unavailable, OSError.
    """
    if not erasures.is_begun(directory):
        raise BrokenBackup(
            f"{directory}: no list of erasures is there: name the directory that has it with --backups,"
            " or begin one from what this store names with backup --erasures-only"
        )
    await check_alone(settings)
    erased = erasures.read(directory)
    with _restoration(settings, directory) as restoration:
        return await _verify_and_erase_again(settings, restoration, erased, tell)


@contextmanager
def _restoration(settings: "Settings", directory: Path) -> Iterator[str]:
    """
    What this restoration is called, kept until it is done: a repeated one says nothing that the first has said.

    Not derived from the store: its ledgers move while they are told.
    """
    store = sha256(settings.store_url.encode()).hexdigest()[:STORE_DIGITS]
    file = directory / f"restoring-{store}"
    if not file.exists():
        with target(file) as opened:
            opened.write(_stamp().encode())
        flush(directory)
    yield file.read_text().strip()
    file.unlink()


def _now() -> Moment:
    from tai_autonomics import wiring

    return moment_of(wiring.SystemClock().now())


def _stamp() -> str:
    """The time in the names of what is made and moved."""
    return shelf.name_of(_now()).removeprefix("tai-")
