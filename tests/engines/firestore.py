"""Google's Firestore emulator: a process on a free port, started once, with a project of its own for every test."""

import atexit
from collections.abc import Sequence
from datetime import datetime
from functools import cache, partial
from os import urandom
from typing import Any

from tests.engines import emulator as emulators
from tests.engines.emulator import new_project

from tai_autonomics.ledger.records import Leased
from tai_autonomics.stores.firestore import FirestoreStore


class Emulator(emulators.Emulator):
    engine = "the Firestore emulator"

    def command(self) -> list[str]:
        program = emulators.jar(
            self.engine,
            variable="FIRESTORE_EMULATOR_JAR",
            pattern="platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
            component="cloud-firestore-emulator",
        )
        java = ["java", "-Duser.language=en", "-Xmx512m", "-cp", str(program)]
        return [*java, "com.google.cloud.datastore.emulator.firestore.CloudFirestore", "start"]


@cache
def emulator() -> Emulator:
    """The session's; do not kill it."""
    started = Emulator().start()
    atexit.register(started.stop)
    return started


def hand_timed(store: FirestoreStore) -> FirestoreStore:
    """The store, with the time that a lease is given in place of the engine's clock; without one it stays that."""
    lease, engine_now = store.lease, store._engine.now

    async def by(now: str) -> datetime:
        return time_of(now)

    async def hand_timed_lease(
        limit: int, seconds: float, now: str | None = None, *, kinds: Sequence[str] | None = None
    ) -> tuple[Leased, ...]:
        store._engine.now = engine_now if now is None else partial(by, now)
        try:
            return await lease(limit, seconds, kinds=kinds)
        finally:
            store._engine.now = engine_now

    store.lease = hand_timed_lease
    return store


async def open_store(project: str | None = None, *, database: str = "(default)", **options: Any) -> FirestoreStore:
    """A store in the session's emulator, hand-timed: an empty one, unless a project is named."""
    options = {"chance": urandom, "emulator": emulator().address, **options}
    return hand_timed(await FirestoreStore.open(project or new_project(), database, **options))


def time_of(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
