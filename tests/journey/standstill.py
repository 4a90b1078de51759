"""Keeps a started service's store from writing, so that commands stay in flight for as long as a test needs."""

import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from threading import Event
from typing import Final

import httpx
import psycopg
from tests.engines import firestore
from tests.journey.service import Service
from tests.journey.stores import STORE, environ_of

SECONDS_MAX: Final = 20
_MOMENT: Final = Event()


@contextmanager
def held(service: Service) -> Iterator[None]:
    """Nobody else writes a receipt meanwhile: an append waits, for a few seconds at most, and SQL's reads go on."""
    if STORE == "firestore":
        with firestore.emulator().standing_still():
            yield
        return
    with closing(_postgresql(service) if STORE == "postgresql" else _sqlite(service)):
        yield


def _sqlite(service: Service) -> sqlite3.Connection:
    connection = sqlite3.connect(service.data_dir / "tai.db", isolation_level=None, timeout=SECONDS_MAX)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def _postgresql(service: Service) -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(environ_of(service.data_dir)["STORE_URL"])
    connection.execute("LOCK TABLE receipts IN EXCLUSIVE MODE")
    return connection


def until(holds: Callable[[], bool], *, what: str, seconds: float = SECONDS_MAX) -> None:
    """Ask again and again whether it holds, and leave the machine a moment between two questions."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        _MOMENT.wait(0.01)


def repeated(call: Callable[[], httpx.Response]) -> httpx.Response:
    """What a caller gets that repeats its call after a 503: the store may be well, and its last backoff not over."""
    last = call()

    def other() -> bool:
        nonlocal last
        last = call()
        return last.status_code != 503

    if last.status_code == 503:
        until(other, what="an answer other than 503")
    return last


def waiting(client: httpx.Client) -> int:
    """Commands that wait for their receipt, by the service's own count."""
    found = re.search(r"^tai_commands_waiting (\d+)", client.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def until_waiting(client: httpx.Client, commands: int) -> None:
    """Until so many commands are in flight."""
    until(lambda: waiting(client) >= commands, what=f"{commands} commands in flight")
