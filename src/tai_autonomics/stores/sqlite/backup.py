"""
A copy of a ledger file as of one moment, made beside its writer; and the place of a file, taken for another one.

    copy      one read transaction, held over all steps of SQLite's online backup, so that no commit begins it anew
    replacing the lock of the writer, a file made beside, then in place of the one that was there, which is moved aside
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.ledger.records import Copied, Erased
from tai_autonomics.stores.sqlite import files, reading
from tai_autonomics.stores.sqlite import statements as sql

PAGES: Final = 4_096
"""Copied in one step: 16 MB."""


def copy(path: Path, to: Path, tell: Callable[[int, int], None]) -> Copied:
    """
    Copy the ledger file, durable and complete in the one file `to`, while a service may be writing.

    `tell` is told the pages done and of how many. Until it ends, the writer's journal grows and keeps what is erased.
    Raises StoreUnavailable.
    """
    try:
        with closing(files.connect(path, read_only=True, cache_kib=files.READER_CACHE_KIB)) as source:
            files.check_readable(source, str(path))
            source.execute("BEGIN")
            copied = _describe(source)
            with closing(sqlite3.connect(to, isolation_level=None)) as target:
                # What is not whole is thrown away, and what is whole is flushed below.
                target.execute("PRAGMA synchronous = OFF")
                source.backup(target, pages=PAGES, progress=lambda _, left, total: tell(total - left, total))
                target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise StoreUnavailable(f"SQLite: {error}") from error
    flush(to)
    return copied


def erased(path: Path) -> tuple[Erased, ...]:
    """Every part that was erased in a ledger file. Raises StoreUnavailable."""
    try:
        with closing(files.connect(path, read_only=True, cache_kib=files.READER_CACHE_KIB)) as source:
            files.check_readable(source, str(path))
            return reading.erased(source)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"SQLite: {error}") from error


def newest_time(path: Path) -> str | None:
    """The time of a ledger file's newest receipt. Raises StoreUnavailable."""
    try:
        with closing(files.connect(path, read_only=True, cache_kib=files.READER_CACHE_KIB)) as source:
            files.check_readable(source, str(path))
            return reading.newest_time(source)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"SQLite: {error}") from error


def _describe(source: sqlite3.Connection) -> Copied:
    (schema,) = source.execute("PRAGMA user_version").fetchone()
    (ledgers,) = source.execute(sql.COUNT_TENANTS, {"after": ""}).fetchone()
    (receipts,) = source.execute(sql.COUNT_RECEIPTS).fetchone()
    return Copied(schema, ledgers, receipts, reading.newest_time(source), reading.erased(source))


@contextmanager
def replacing(path: Path, *, beside: Path, aside: Path, replace: bool) -> Iterator[None]:
    """
    Hold the place of a ledger file while the body makes another one at `beside`; at its end that takes the place.

    What was there is moved to `aside`. If the body fails, nothing has changed. Raises StoreUnavailable while another
    process writes the file, and, unless `replace`, when the file holds receipts or cannot be read.
    """
    was_there = path.exists()
    lock = files.claim(path)
    try:
        if was_there and not replace and not _is_empty(path):
            raise StoreUnavailable(f"{path} holds receipts: --replace moves it aside, and then takes its place")
        yield
        if was_there:
            _settle(path)
        _move_aside(path, aside)
        beside.rename(path)
        flush(path.parent)
    finally:
        if not was_there and path.exists() and path.stat().st_size == 0:
            path.unlink()
        os.close(lock)


def _is_empty(path: Path) -> bool:
    if path.stat().st_size == 0:
        return True
    try:
        return newest_time(path) is None
    except StoreUnavailable:
        return False


def _settle(path: Path) -> None:
    """Move the journal into the file, so that one file is all of it; one that cannot be opened goes as it is."""
    with suppress(sqlite3.Error, StoreUnavailable), closing(files.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _move_aside(path: Path, aside: Path) -> None:
    """The journal first, also where its file is lost: beside another file it would be taken for that one's."""
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    for suffix in ("-wal", ""):
        there = path.with_name(path.name + suffix)
        if there.exists() and there.stat().st_size:
            there.rename(aside.with_name(aside.name + suffix))
        else:
            there.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make a file, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
