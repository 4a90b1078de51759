"""The connections that read beside the writer: one a thread, opened at its first use, opened again after a failure."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from tai_autonomics.errors import StoreUnavailable

T = TypeVar("T")


class Readers:
    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._connections: dict[int, sqlite3.Connection] = {}

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the work on the calling thread's connection. Raises StoreUnavailable."""
        thread = threading.get_ident()
        try:
            if thread not in self._connections:
                self._connections[thread] = self._connect()
            return work(self._connections[thread])
        except sqlite3.Error as error:
            self._drop(thread)
            raise StoreUnavailable(f"SQLite: {error}") from error

    def _drop(self, thread: int) -> None:
        connection = self._connections.pop(thread, None)
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        """Once the threads have ended."""
        for thread in tuple(self._connections):
            self._drop(thread)
