"""
Moving the journal (SQLite's WAL) into the file, out of the writer's way.

    a commit passes the bound --> this thread moves most of it (passive), beside the writer, on its own connection, and
                                  makes it durable: SQLite itself would leave that to whoever moves the last page
                              --> the writer moves the rest between two commits: with nothing left to move, the next
                                  commit starts the journal over, and it stops growing
    something was erased      --> the writer truncates the journal, again each second until no reader is in the way

The order is also what keeps the file sound on SQLite before 3.51.3 (its "WAL-reset" bug: a checkpoint that starts with
nothing to move, while a commit starts the journal over, corrupts the file). Here a checkpoint beside the writer starts
only after a commit that followed the last complete checkpoint, so there is something to move, and no commit can start
the journal over before this checkpoint is through. Every other one runs in the writer's own thread.
"""

import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from typing import Final

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.stores.sqlite.files import BUSY_SECONDS

ROWS_MAX: Final = 8_192
"""Receipts between two checkpoints: about 60 MB of journal where every receipt touches index pages of its own."""

NICENESS: Final = 10
"""Added to this thread's: where cores are few, moving pages gives way to deciding and writing."""

BEHIND_MAX: Final = 4
"""Of ROWS_MAX: where others use the cores so that this thread does not come that far, each commit waits for it."""

BEHIND_SECONDS_MAX: Final = 1.0
"""How long one commit waits: the disk may also be what is slow."""

RETRY_SECONDS: Final = 1.0
"""How long the journal may hold what was erased before the next try to truncate it."""


class Checkpoints:
    """
    One thread. `in_writer` runs work on the writing connection, in its thread, and gives its result.

    `file` is a descriptor of the ledger's file, which must stay open until every connection is closed: closing it
    would drop the locks that SQLite holds for this process.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        file: int,
        writing: Executor,
        in_writer: Callable[[Callable[[sqlite3.Connection], bool]], bool],
    ) -> None:
        self._connect = connect
        self._file = file
        self._writing = writing
        self._in_writer = in_writer
        self._rows = 0
        self._is_due = False
        self._holds_erased = True  # what another process left there is unknown
        self._wake = threading.Event()
        self._most_is_moved = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tai-sqlite-checkpoints", daemon=True)
        self._thread.start()
        self._wake.set()

    def wrote(self, rows: int, erased: bool) -> None:
        """Called in the writer's thread after each commit; waits where the journal grows faster than it is moved."""
        self._rows += rows
        if erased:
            self._holds_erased = True
        if self._rows >= ROWS_MAX and not self._is_due:
            self._is_due = True
            self._most_is_moved.clear()
        if erased or self._is_due:
            self._wake.set()
        if self._rows >= ROWS_MAX * BEHIND_MAX:
            self._most_is_moved.wait(BEHIND_SECONDS_MAX)

    def truncate(self) -> bool:
        """In the writer's thread: whether the journal holds nothing that was erased; tries to make it so."""
        if self._holds_erased and self._in_writer(_truncated):
            self._holds_erased = False
        return not self._holds_erased

    def close(self) -> None:
        """Stops the thread; the writer's must still run, as a checkpoint may be waiting for it."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        if sys.platform == "linux":  # the one system where a thread has a niceness of its own
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while not self._closing:
            self._wake.wait(RETRY_SECONDS if self._holds_erased else None)
            self._wake.clear()
            # A failure shows in the writes themselves; the next commit past the bound tries again.
            with suppress(StoreUnavailable, sqlite3.Error, OSError):
                self._move()

    def _move(self) -> None:
        try:
            if self._is_due:
                self._move_most()
        finally:
            # Always, so that the next one beside the writer has something to move.
            self._writing.submit(self._finish).result()

    def _move_most(self) -> None:
        connection = self._connect()
        try:
            _passive(connection)
            os.fsync(self._file)
        finally:
            connection.close()
            self._most_is_moved.set()

    def _finish(self) -> None:
        """In the writer's thread."""
        if self._is_due:
            self._rows, self._is_due = 0, False
            self._in_writer(_passive)
        self.truncate()


def _passive(connection: sqlite3.Connection) -> bool:
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(busy == 0)


def _truncated(connection: sqlite3.Connection) -> bool:
    # Without waiting: a reader in the way would hold up every append.
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    return bool(busy == 0)
