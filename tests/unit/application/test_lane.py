"""What a lane costs while nobody calls."""

import asyncio
import gc
import tracemalloc

import pytest
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import HandClock, consume, opened

from tai_autonomics.application.corridor import CorridorBounds

pytestmark = pytest.mark.anyio

LANES = 500
LANE_BYTES_MAX = 4_000
"""About 2,200 when nothing else is measured."""


async def test_an_idle_lane_keeps_its_state_and_little_else(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock, bounds=CorridorBounds(new_ledgers_per_minute_max=LANES)) as one:
        await asyncio.gather(*(one.grant(f"t{number}") for number in range(LANES)))
        await asyncio.gather(*(one.submit(consume(), tenant=f"t{number}") for number in range(LANES)))
    async with opened(store, clock) as cold:
        tracemalloc.start()
        try:
            await asyncio.gather(*(cold.corridor.durable(f"t{number}") for number in range(LANES)))
            cold.witness.told.clear()
            gc.collect()
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert cold.corridor.lanes == LANES
        assert used / LANES < LANE_BYTES_MAX
