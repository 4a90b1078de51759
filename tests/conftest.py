"""Engines that several suites share, started when the first test asks."""

from collections.abc import Iterator

import pytest
from tests.engines import postgresql


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgresql.Cluster]:
    """PostgreSQL, for tests that do not stop it; ask it for a fresh `database`."""
    with postgresql.running() as started:
        yield started
