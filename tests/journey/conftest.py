"""Which journeys a store has, and a size."""

import pytest
from tests.journey.stores import STORE
from tests.sizes import size

# A Firestore database is saved by its engine's own means: test_saving_firestore.py.
collect_ignore = ["test_saving.py"] if STORE == "firestore" else []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if item.get_closest_marker("full_alone") and not size(short=0, full=1)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
