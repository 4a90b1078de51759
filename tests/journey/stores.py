"""
The store that the journeys run on: TAI_TEST_STORE is "sqlite" (unset means that), "postgresql" or "firestore".

Each data directory has a store of its own, which outlives the service that was started on it.
"""

import atexit
import os
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Final

from tests.engines import firestore, postgresql

from tai_autonomics.application.ports import Store
from tai_autonomics.settings import Settings
from tai_autonomics.wiring.house import open_store

STORE: Final = os.environ.get("TAI_TEST_STORE", "sqlite")


@cache
def environ_of(data_dir: Path) -> dict[str, str]:
    """What a process needs in its environment to find the store. Raises ValueError for a store that is unknown."""
    match STORE:
        case "sqlite":
            return {"STORE_URL": f"sqlite:///{data_dir}/tai.db"}
        case "postgresql":
            cluster = _cluster()
            return {"STORE_URL": cluster.url(cluster.database())}
        case "firestore":
            address = firestore.emulator().address
            return {"STORE_URL": f"firestore://{firestore.new_project()}", "FIRESTORE_EMULATOR_HOST": address}
        case other:
            raise ValueError(f"TAI_TEST_STORE is {other!r}: it must be sqlite, postgresql or firestore")


def lose(data_dir: Path) -> None:
    """The store, as if its disk were gone; an empty place is left."""
    match STORE:
        case "sqlite":
            for name in ("tai.db", "tai.db-wal", "tai.db-shm"):
                (data_dir / name).unlink(missing_ok=True)
        case "postgresql":
            _execute(data_dir, "DROP SCHEMA tai CASCADE")


def holds(data_dir: Path, text: str) -> bool:
    """Whether a part with the text is in the store."""
    if STORE == "sqlite":
        return text.encode() in (data_dir / "tai.db").read_bytes()
    return bool(
        _execute(data_dir, f"SELECT 1 FROM tai.parts WHERE position('{text}' IN convert_from(text, 'UTF8')) > 0")
    )


def _execute(data_dir: Path, statement: str) -> list[tuple]:
    return _cluster().execute(statement, environ_of(data_dir)["STORE_URL"].rpartition("/")[2])


async def opened(data_dir: Path, environ: dict[str, str] | None = None) -> Store:
    """To read, beside a running service or after it; the data directory's own store, or what `environ` names."""
    environ = {**(environ or environ_of(data_dir)), "TAI_DATA_DIR": str(data_dir)}
    return await open_store(Settings.load(environ).settings, read_only=True)


@cache
def _cluster() -> postgresql.Cluster:
    ending = ExitStack()
    atexit.register(ending.close)
    return ending.enter_context(postgresql.running())
