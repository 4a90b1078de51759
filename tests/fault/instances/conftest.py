"""Fixtures of the tests of several instances."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
