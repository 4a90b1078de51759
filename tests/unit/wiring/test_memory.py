"""What has outlived a full collection is set aside, and looked at again after an hour."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from tai_autonomics.wiring.memory import LOOK_SECONDS, Settling


class Ring:
    """Refers to itself, so that only a collection can end it."""

    def __init__(self) -> None:
        self.myself = self


class Watch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    with Settling(watch):
        yield watch
    assert gc.get_freeze_count() == 0
    assert not any(getattr(callback, "__self__", None).__class__ is Settling for callback in gc.callbacks)


def test_what_outlives_a_full_collection_is_set_aside(watch: Watch) -> None:
    gc.collect(1)
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert gc.get_freeze_count() > 10_000


def test_what_nobody_refers_to_goes_at_once_all_the_same(watch: Watch) -> None:
    ring = Ring()
    ring_gone = weakref.ref(ring)
    gc.collect()
    ring.myself = None  # type: ignore[assignment]
    del ring
    assert ring_gone() is None


def test_what_refers_to_itself_waits_for_the_hourly_look(watch: Watch) -> None:
    ring = Ring()
    ring_gone = weakref.ref(ring)
    gc.collect()
    del ring
    watch.seconds = LOOK_SECONDS - 1
    gc.collect()
    assert ring_gone() is not None
    watch.seconds = LOOK_SECONDS
    gc.collect()
    assert ring_gone() is None
    assert gc.get_freeze_count() > 10_000
