"""A store in memory that can be struck, and instances on it."""

import gc
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import Instance, opened

from tai_autonomics.application import corridor as corridor_module
from tai_autonomics.stores.sqlite import SQLiteStore


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def deadlines_are_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corridor_module, "SWEEP_SECONDS", 0.001)


@pytest.fixture(autouse=True)
def no_error_goes_unheard(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The event loop logs the exception of a task or a future that nobody asked."""
    gc.freeze()  # what was there before the test is not looked at: a collection of everything takes a fifth of a second
    yield
    gc.collect()
    gc.unfreeze()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


@pytest.fixture
async def store() -> AsyncIterator[FaultyStore]:
    real = await SQLiteStore.open(None)
    yield FaultyStore(real)
    await real.aclose()


@pytest.fixture
async def one(store: FaultyStore) -> AsyncIterator[Instance]:
    async with opened(store) as instance:
        yield instance
