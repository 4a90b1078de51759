"""
The steps of a backup, of a restore and of a drill, on the embedded store.

    backup   copy beside the service --> erasures onto the list --> manifest
    restore  fetch beside the place --> verify --> LedgerRestored --> erase again --> into the place
    drill    the same into a temporary place, measured

A store of another engine is brought back by the engine's own means; application/restoring.py then makes it fit too.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.application.restoring import Fit, Restoring
from tai_autonomics.cli import shelf
from tai_autonomics.cli.erasing import BY
from tai_autonomics.domain.moments import Moment, datetime_of, moment_of
from tai_autonomics.errors import BrokenBackup, StoreUnavailable
from tai_autonomics.ledger.records import Erased
from tai_autonomics.stores.sqlite import backup as sqlite

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings

SQLITE: Final = "sqlite"
SCHEME: Final = "sqlite:///"


class Backup(Struct, frozen=True):
    """A backup that was made."""

    manifest: Path
    content: shelf.Manifest
    erasures: int
    seconds: float


class Restored(Struct, frozen=True):
    """`aside` is where the file went that was there."""

    manifest: Path
    content: shelf.Manifest
    fit: Fit
    seconds: float
    aside: Path | None = None
    unread: str | None = None
    """Why the erasures of the file that was there are not known."""


class Drill(Struct, frozen=True):
    """What a restore takes now, and what would be lost: 0 s where nothing is newer than the backup."""

    restored: Restored
    rto_seconds: float
    rpo_seconds: float


def file_of(settings: "Settings") -> Path:
    """The ledger file. Raises StoreUnavailable for a store that has none."""
    if not settings.store_url.startswith(SCHEME):
        raise StoreUnavailable("only the embedded store is one file: use the means of this store's engine")
    return Path(settings.store_url.removeprefix(SCHEME))


def back_up(settings: "Settings", directory: Path, tell: Callable[[int, int], None]) -> Backup:
    """Raises StoreUnavailable, OSError; then no backup was made."""
    from tai_autonomics import wiring

    started, path = time.monotonic(), file_of(settings)
    # Before the copy begins, so that all that was durable at this time is in it.
    taken = moment_of(wiring.SystemClock().now())
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = shelf.name_of(taken)
    file, unfinished = directory / f"{name}.db", directory / f".{name}.unfinished"
    with _fresh(unfinished):
        unfinished.touch(mode=0o600, exist_ok=False)
        copied = sqlite.copy(path, unfinished, tell)
        content = shelf.Manifest(
            store=SQLITE,
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
    sqlite.flush(directory)
    return Backup(manifest, content, len(every), time.monotonic() - started)


async def restore(
    settings: "Settings", manifest: Path, *, over: bool, tell: Callable[[int], None], started: float
) -> Restored:
    """Into the store's place, where no service runs. Raises BrokenBackup, BrokenChain, Unavailable, OSError."""
    from tai_autonomics import wiring

    path, content = file_of(settings), _readable(manifest)
    now = shelf.name_of(moment_of(wiring.SystemClock().now())).removeprefix("tai-")
    beside = path.with_name(f".{path.name}.restoring-{now}")
    aside = path.with_name(f"{path.name}.replaced-{now}")
    was_there = path.exists() and path.stat().st_size > 0
    with _fresh(beside), sqlite.replacing(path, beside=beside, aside=aside, replace=over):
        known, unread = _erasures_there(path) if was_there else ((), None)
        every = shelf.add_erasures(manifest.parent, known)
        fit = await _make_fit(settings, manifest, content, beside, every, tell)
    return Restored(manifest, content, fit, time.monotonic() - started, aside if was_there else None, unread)


def _erasures_there(path: Path) -> tuple[tuple[Erased, ...], str | None]:
    """What the file that is about to go has erased, or why nobody can say."""
    try:
        return sqlite.erased(path), None
    except StoreUnavailable as error:
        return (), str(error)


async def drill(settings: "Settings", manifest: Path, *, tell: Callable[[int], None]) -> Drill:
    """Beside the live store, which is only read. Raises BrokenBackup, BrokenChain, Unavailable, OSError."""
    started, path, content = time.monotonic(), file_of(settings), _readable(manifest)
    lost = _lost_seconds(path, content)
    place = path.parent if path.parent.exists() else None
    with tempfile.TemporaryDirectory(dir=place, prefix=".drill-") as directory:
        every = shelf.erasures(manifest.parent)
        fit = await _make_fit(settings, manifest, content, Path(directory) / path.name, every, tell)
        seconds = time.monotonic() - started
    return Drill(Restored(manifest, content, fit, seconds), seconds, lost)


def _lost_seconds(path: Path, content: shelf.Manifest) -> float:
    """Since the backup, if anything was sealed since, or nobody can say."""
    from tai_autonomics import wiring

    with suppress(StoreUnavailable):
        if sqlite.newest_time(path) == content.newest:
            return 0.0
    return (wiring.SystemClock().now() - datetime_of(Moment(content.time))).total_seconds()


def _readable(manifest: Path) -> shelf.Manifest:
    content = shelf.read(manifest)
    if content.store != SQLITE:
        raise BrokenBackup(f"{manifest} is a backup of another engine, {content.store}")
    return content


async def _make_fit(
    settings: "Settings",
    manifest: Path,
    content: shelf.Manifest,
    beside: Path,
    erasures: Iterable[Erased],
    tell: Callable[[int], None],
) -> Fit:
    from tai_autonomics import wiring

    shelf.fetch(manifest, content, beside)
    there = replace(settings, store_url=f"{SCHEME}{beside}")
    async with wiring.house(there) as house:
        restoring = Restoring(house.store, house.corridor, by=BY, timeout_seconds=settings.request_seconds_max)
        fit = await restoring.run(tuple(erasures), tell)
    if (fit.ledgers, fit.receipts) != (content.ledgers, content.receipts):
        raise BrokenBackup(f"{manifest}: {fit.receipts} receipts in {fit.ledgers} ledgers are there")
    sqlite.flush(beside)
    return fit


@contextmanager
def _fresh(file: Path) -> Iterator[None]:
    """Whatever becomes of it, nothing of the unfinished file stays."""
    try:
        yield
    finally:
        for suffix in ("", "-wal", "-shm", "-journal", ".lock"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
