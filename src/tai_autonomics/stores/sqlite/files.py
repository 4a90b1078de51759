"""
Opening a ledger file: directory, lock, connection settings, schema.

    claim    the lock on <path>.lock; a second writing process ends here
    connect  one connection with the settings that durability and erasure need
    migrate  schema/sqlite/NNNN_what.sql in order, each in a transaction of its own; user_version is the last one's NNNN
"""

import fcntl
import os
import sqlite3
from importlib.resources import files
from pathlib import Path
from typing import Final

from tai_autonomics.errors import LedgerNewerThanCode, StoreUnavailable

BUSY_SECONDS: Final = 2.0
"""How long a statement waits for a lock; only a foreign program can hold one, as we are the only writer."""

STATEMENTS_CACHED: Final = 512
"""Prepared statements kept a connection: every width of every wide statement in statements.py."""

SQLITE_NEEDED: Final = (3, 37, 0)
"""STRICT tables."""

APPLICATION_ID: Final = 0x54414931
"""Marks a file as ours ("TAI1"), so that no other program's database is ever migrated."""

WRITER_CACHE_KIB: Final = 65_536
"""Pages of the file that the writing connection keeps: index leaves, above all."""

READER_CACHE_KIB: Final = 8_192
"""The same for each other connection; what it misses is mostly in the system's cache."""

SETTINGS: Final = (
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    # checkpoints.py says when; SQLite's own would run inside a commit.
    "PRAGMA wal_autocheckpoint = 0",
)


def _migrations() -> tuple[tuple[int, str], ...]:
    folder = files("tai_autonomics.stores") / "schema" / "sqlite"
    scripts = sorted(
        (entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql")
    )
    return tuple((int(name.split("_")[0]), script) for name, script in scripts)


MIGRATIONS: Final = _migrations()
"""Number and script, in order."""


def claim(path: Path) -> int:
    """
    Take the exclusive lock that makes this process the file's only writer, and return its descriptor.

    Creates the directory (mode 0700) and the file (0600) where they are missing. Raises StoreUnavailable at once when
    another process, or another store of this one, holds the lock.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        if not path.parent.exists():
            path.parent.mkdir(mode=0o700, parents=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"cannot open {lock}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        _create(path)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreUnavailable(
            f"another process writes {path} (pid {holder}): stop it, or send it what takes --url"
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise StoreUnavailable(f"cannot write {path}: {error.strerror}") from error
    return descriptor


def _create(path: Path) -> None:
    # Only a file that is not there yet: closing a descriptor of an open database would drop this process's locks on it.
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def connect(
    path: Path | None,
    *,
    read_only: bool = False,
    cache_kib: int = WRITER_CACHE_KIB,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """A connection in autocommit mode to the file, or to a fresh database in memory (None). Makes no file."""
    if path is not None and not path.exists():
        raise StoreUnavailable(f"no ledger at {path}")
    mode = "ro" if read_only else "rw"
    address = ":memory:" if path is None else f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(
        address,
        uri=path is not None,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=factory,
        cached_statements=STATEMENTS_CACHED,
    )
    for setting in (*SETTINGS, f"PRAGMA cache_size = -{cache_kib}"):
        connection.execute(setting)
    return connection


def migrate(connection: sqlite3.Connection, place: str) -> None:
    """Bring the schema to this release's. Raises LedgerNewerThanCode when it is a later release's."""
    version = _checked_version(connection, place)
    connection.execute("PRAGMA journal_mode = WAL")
    for number, script in MIGRATIONS:
        if number > version:
            connection.executescript(
                f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number};"
                f" PRAGMA application_id = {APPLICATION_ID}; COMMIT;"
            )


def check_readable(connection: sqlite3.Connection, place: str) -> None:
    """For a connection that may not migrate: raises LedgerNewerThanCode, or StoreUnavailable when it is too old."""
    if _checked_version(connection, place) < MIGRATIONS[-1][0]:
        raise StoreUnavailable(f"{place} has the schema of an older release: start the service once, which upgrades it")


def _checked_version(connection: sqlite3.Connection, place: str) -> int:
    if sqlite3.sqlite_version_info < SQLITE_NEEDED:
        raise StoreUnavailable(f"SQLite {sqlite3.sqlite_version} is too old: at least 3.37 is needed")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise StoreUnavailable(f"{place} is a database of another program")
    known = MIGRATIONS[-1][0]
    if version > known:
        raise LedgerNewerThanCode(f"{place} has schema {version}; this release knows {known}: use a newer release")
    return int(version)
