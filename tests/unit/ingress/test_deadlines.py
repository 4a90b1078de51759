"""What takes too long is cancelled at its time, however much is in flight, and nothing else is."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tai_autonomics.ingress.deadlines import Deadlines

SECONDS = 0.05
Work = Coroutine[Any, Any, None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Work], None]:
    def run(work: Work) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await work

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(bounded())

    return run


Run = Callable[[Work], None]


async def bounded(deadlines: Deadlines, waiting: asyncio.Event) -> str:
    """How it ended."""
    task = deadlines.begin()
    ended = "in time"
    try:
        await waiting.wait()
    except asyncio.CancelledError:
        ended = "cancelled"
    late = deadlines.end(task)
    assert task.cancelling() == (ended == "cancelled" and not late)
    return "late" if late else ended


def test_what_ends_in_time_is_left_alone(run: Run) -> None:
    async def work() -> None:
        deadlines, done = Deadlines(60), asyncio.Event()
        done.set()
        assert [await bounded(deadlines, done) for _ in range(3)] == ["in time"] * 3

    run(work())


def test_what_is_over_its_time_is_late_and_no_longer_cancelled(run: Run) -> None:
    async def work() -> None:
        deadlines = Deadlines(SECONDS)
        assert await bounded(deadlines, asyncio.Event()) == "late"
        await asyncio.sleep(0)

    run(work())


def test_each_has_its_own_time(run: Run) -> None:
    async def work() -> None:
        deadlines, loop = Deadlines(SECONDS), asyncio.get_running_loop()

        async def timed() -> float:
            began = loop.time()
            assert await bounded(deadlines, asyncio.Event()) == "late"
            return loop.time() - began

        first = asyncio.create_task(timed())
        await asyncio.sleep(SECONDS * 0.6)
        others = [asyncio.create_task(timed()) for _ in range(3)]
        taken = await asyncio.gather(first, *others)
        assert [seconds >= SECONDS * 0.9 for seconds in taken] == [True] * 4

    run(work())


def test_one_that_ended_does_not_take_the_time_of_the_next(run: Run) -> None:
    async def work() -> None:
        deadlines, done = Deadlines(SECONDS), asyncio.Event()
        first = asyncio.create_task(bounded(deadlines, done))
        second = asyncio.create_task(bounded(deadlines, asyncio.Event()))
        await asyncio.sleep(0)
        done.set()
        assert [await first, await second] == ["in time", "late"]

    run(work())


def test_a_cancellation_from_elsewhere_is_not_late(run: Run) -> None:
    async def work() -> None:
        task = asyncio.create_task(bounded(Deadlines(60), asyncio.Event()))
        await asyncio.sleep(0)
        task.cancel()
        assert await task == "cancelled"

    run(work())


def test_nothing_is_left_behind(run: Run) -> None:
    async def work() -> None:
        deadlines = Deadlines(SECONDS)
        await asyncio.gather(*[bounded(deadlines, asyncio.Event()) for _ in range(100)])
        done = asyncio.Event()
        done.set()
        assert await bounded(deadlines, done) == "in time"
        assert (deadlines._due, deadlines._late, deadlines._timer.cancelled()) == ({}, set(), True)

    run(work())
