"""Fixtures of the store's fault tests."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
