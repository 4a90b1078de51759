"""Engines that several suites share, started when the first test asks."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.engines import postgresql

# An example that waits for its turn on a busy machine is no failure: time is measured in benchmarks/.
settings.register_profile("tai", deadline=None)
settings.load_profile("tai")


NAMED_CHARACTERS_MAX = 40


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keys, tokens and sets are another text in each process, and workers compare the names of what they collect."""
    if isinstance(val, bytes | frozenset | set) or (isinstance(val, str) and len(val) > NAMED_CHARACTERS_MAX):
        return argname
    return None


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgresql.Cluster]:
    """PostgreSQL, for tests that do not stop it; ask it for a fresh `database`."""
    with postgresql.running() as started:
        yield started
