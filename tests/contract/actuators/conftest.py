"""The actuators under contract: an adapter joins by one line in tests/contract/actuators/scenes.py."""

from collections.abc import AsyncIterator

import pytest
from tests.contract.actuators.scenes import EVERY, OUTSIDE, Reaching, Scene


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=EVERY)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with EVERY[request.param]() as made:
        yield made


@pytest.fixture(params=OUTSIDE)
async def outside(request: pytest.FixtureRequest) -> AsyncIterator[Reaching]:
    async with OUTSIDE[request.param]() as made:
        yield made
