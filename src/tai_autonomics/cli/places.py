"""
Where a store rests that this program copies and brings back itself: a file of SQLite, or a schema of PostgreSQL.

    copy       beside the service, as of one moment
    replacing  a store beside is filled and made fit; at the end it takes the place, and what was there is moved aside
    trying     the same, and it takes no place of anybody's: all of it goes at the end
"""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from tai_autonomics.cli import shelf
from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Copied
from tai_autonomics.settings import IN_MEMORY, POSTGRESQL
from tai_autonomics.stores.sqlite import backup as sqlite

if TYPE_CHECKING:
    from tai_autonomics.settings import Settings

SQLITE: Final = "sqlite:///"

Tell = Callable[[int, int], None]


class Beside(Protocol):
    """A store that is not in its place yet."""

    @property
    def url(self) -> str:
        """For STORE_URL, once it is filled."""
        ...

    @property
    def was_there(self) -> bool:
        """Whether the place holds a store."""
        ...

    @property
    def aside(self) -> str:
        """Where that one goes."""
        ...

    async def fill(self, manifest: Path, content: shelf.Manifest) -> None:
        """Raises BrokenBackup, StoreUnavailable."""
        ...

    async def flush(self) -> None:
        """Make durable what was written at `url` since."""
        ...


class Place(Protocol):
    """Raises StoreUnavailable, OSError."""

    @property
    def engine(self) -> str:
        """As a manifest names it."""
        ...

    @property
    def suffix(self) -> str:
        """Of a copy's file."""
        ...

    async def copy(self, to: Path, tell: Tell) -> Copied:
        """Durable in the file `to` on return; `tell` is told how much is done, and of how much, where that is known."""
        ...

    def replacing(self, now: str, *, replace: bool) -> AbstractAsyncContextManager[Beside]:
        """
        No service may run; a place that holds receipts is taken only with `replace`.

        If the body fails, nothing has changed. `now` makes the names of what is made and moved.
        """
        ...

    def trying(self, now: str) -> AbstractAsyncContextManager[Beside]: ...


def place_of(settings: "Settings") -> Place:
    """Raises StoreUnavailable for a store that only its engine's own means bring back."""
    url = settings.store_url
    if url.startswith(POSTGRESQL):
        return PostgresPlace(url)
    if url.startswith(SQLITE) and url != IN_MEMORY:
        return SQLitePlace(Path(url.removeprefix(SQLITE)))
    raise StoreUnavailable(
        "this store is copied and brought back by its engine's own means (deploy/firestore);"
        " here: backup --erasures-only, and then restore --in-place"
    )


async def check_alone(settings: "Settings") -> None:
    """Raises StoreUnavailable where it shows that a service runs on the store; Firestore cannot show it."""
    if settings.store_url.startswith(POSTGRESQL):
        from tai_autonomics.stores.postgres import replacing

        await replacing.alone(settings.store_url)


# ---- SQLite


class SQLitePlace:
    engine, suffix = "sqlite", ".db"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def copy(self, to: Path, tell: Tell) -> Copied:
        return sqlite.copy(self._path, to, tell)

    @asynccontextmanager
    async def replacing(self, now: str, *, replace: bool) -> AsyncIterator[Beside]:
        path = self._path
        beside = path.with_name(f".{path.name}.restoring-{now}")
        aside = path.with_name(f"{path.name}.replaced-{now}")
        was_there = path.exists() and path.stat().st_size > 0
        with removed(beside), sqlite.replacing(path, beside=beside, aside=aside, replace=replace):
            yield File(beside, was_there=was_there, aside=str(aside))

    @asynccontextmanager
    async def trying(self, now: str) -> AsyncIterator[Beside]:
        place = self._path.parent if self._path.parent.exists() else None
        with tempfile.TemporaryDirectory(dir=place, prefix=".drill-") as directory:
            yield File(Path(directory) / self._path.name, was_there=False, aside="")


class File:
    def __init__(self, path: Path, *, was_there: bool, aside: str) -> None:
        self._path = path
        self.url, self.was_there, self.aside = f"{SQLITE}{path}", was_there, aside

    async def fill(self, manifest: Path, content: shelf.Manifest) -> None:
        shelf.fetch(manifest, content, self._path)

    async def flush(self) -> None:
        sqlite.flush(self._path)


@contextmanager
def removed(file: Path) -> Iterator[None]:
    """Whatever becomes of it, nothing of the unfinished file stays."""
    try:
        yield
    finally:
        for suffix in ("", "-wal", "-shm", "-journal", ".lock"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)


# ---- PostgreSQL


class PostgresPlace:
    engine, suffix = "postgresql", ".dump"

    def __init__(self, url: str) -> None:
        self._url = url

    async def copy(self, to: Path, tell: Tell) -> Copied:
        from tai_autonomics.stores.postgres import backup

        return await backup.copy(self._url, to)

    @asynccontextmanager
    async def replacing(self, now: str, *, replace: bool) -> AsyncIterator[Beside]:
        from tai_autonomics.stores.postgres import replacing

        aside = f"tai_replaced_{_lower(now)}"
        async with replacing.hold(self._url) as place:
            was_there = await place.is_there()
            await place.check_alone()
            if not replace:
                await place.check_empty()
            async with place.beside(_lower(now)) as url:
                yield Database(url, was_there=was_there, aside=f"the schema {aside}")
                await place.take(url, aside=aside, replace=replace)

    @asynccontextmanager
    async def trying(self, now: str) -> AsyncIterator[Beside]:
        """It does take a place, one that was made for it: that is a part of what a restore costs."""
        from tai_autonomics.stores.postgres import replacing

        async with replacing.hold(self._url) as live, live.beside(_lower(now)) as url:
            yield Database(url, was_there=False, aside="")
            async with live.beside(f"{_lower(now)}_place") as empty, replacing.hold(empty) as place:
                await place.take(url, aside="", replace=False)


class Database:
    def __init__(self, url: str, *, was_there: bool, aside: str) -> None:
        self.url, self.was_there, self.aside = url, was_there, aside

    async def fill(self, manifest: Path, content: shelf.Manifest) -> None:
        from tai_autonomics.stores.postgres import replacing

        await replacing.fill(self.url, shelf.checked(manifest, content))

    async def flush(self) -> None:
        """Every commit was."""


def _lower(now: str) -> str:
    """As PostgreSQL takes a name without quotes."""
    return now.replace(".", "_").lower()
