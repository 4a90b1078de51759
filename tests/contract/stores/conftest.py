"""The stores under contract: an adapter joins by one line in STORES."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.engines import firestore, postgresql

from tai_autonomics.application.ports import Store
from tai_autonomics.stores.sqlite import SQLiteStore

QUARANTINE_MAX = 3

STORES: dict[str, Callable[[Path, pytest.FixtureRequest], Awaitable[Store]]] = {
    "sqlite in memory": lambda folder, request: SQLiteStore.open(None, quarantine_max=QUARANTINE_MAX),
    "sqlite in a file": lambda folder, request: SQLiteStore.open(str(folder / "tai.db"), quarantine_max=QUARANTINE_MAX),
    "postgresql": lambda folder, request: postgresql.open_with_clock(
        request.getfixturevalue("cluster"), quarantine_max=QUARANTINE_MAX
    ),
    "firestore": lambda folder, request: firestore.open_store(quarantine_max=QUARANTINE_MAX),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await STORES[request.param](tmp_path, request)
    yield opened
    await opened.aclose()
