"""Requests and long lists take turns: no flood of the ones and no length of the others holds the event loop."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from tests.unit.ingress.front import GRANT, House, Response, envelope

from tai_autonomics.application.corridor import Answer, Submission
from tai_autonomics.ingress.decisions import MARGIN_SECONDS
from tai_autonomics.ingress.turns import HANDFUL, ROOM, Turns

pytestmark = pytest.mark.anyio

ITEMS = 1_000
SIGNAL = {"metric": "cpu_utilization", "value": 21.5}
ITEMS_AT_ONCE = (ROOM + 1) * HANDFUL
"""So many are done at most until a lone list lets others in."""


def pushed(house: House, items: list[dict[str, Any]]) -> Coroutine[Any, Any, Response]:
    return house.acall("POST", "/pubsub", envelope(items), token="integration")


def of_each_tenant(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**item, "tenant_id": f"t{number}"} for number in range(ITEMS)]


async def one_turn() -> None:
    await asyncio.sleep(0)


async def test_what_begins_begins_in_order_and_a_turn_has_room_for_few() -> None:
    turns, begun = Turns(), list[int]()
    for number in range(3 * ROOM):
        if turns.take():
            begun.append(number)
        else:
            turns.wait(partial(begun.append, number))
    for turn in (1, 2, 3):
        assert begun == list(range(turn * ROOM))
        await one_turn()
    assert turns.take(), "the room of a turn that has passed is there again"


async def test_what_fails_to_begin_keeps_nobody_behind_it() -> None:
    turns, begun, told = Turns(), list[int](), list[dict[str, Any]]()
    loop, handler = asyncio.get_running_loop(), asyncio.get_running_loop().get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context))

    def fails() -> None:
        raise RuntimeError("it does not begin")

    while turns.take():
        pass
    turns.wait(fails)
    turns.wait(partial(begun.append, 1))
    await one_turn()
    await one_turn()
    loop.set_exception_handler(handler)
    assert begun == [1]
    assert [str(each["exception"]) for each in told] == ["it does not begin"]


async def test_lists_share_the_room_of_a_turn_however_many_they_are() -> None:
    turns, seen = Turns(), list[int]()

    async def walk() -> list[int]:
        return [item async for item in turns.of(_noted(seen))]

    walks = [asyncio.create_task(walk()) for _ in range(50)]
    while not all(walk.done() for walk in walks):
        before = len(seen)
        await one_turn()
        # The first handful of each needs no room: it comes when its task begins.
        assert len(seen) - before <= (0 if before else 50 * (HANDFUL + 1)) + ROOM * HANDFUL
    assert [await walk for walk in walks] == [list(range(ITEMS))] * 50


def _noted(seen: list[int]) -> Iterator[int]:
    for item in range(ITEMS):
        seen.append(item)
        yield item


async def test_a_list_whose_caller_is_gone_leaves_the_line() -> None:
    turns = Turns()

    async def walk() -> None:
        async for _ in turns.of(range(ITEMS)):
            pass

    gone = asyncio.create_task(walk())
    await one_turn()
    gone.cancel()
    with suppress(asyncio.CancelledError):
        await gone
    await one_turn()
    assert all(turns.take() for _ in range(ROOM))


async def test_every_item_comes_in_order_and_others_are_served_meanwhile() -> None:
    served: list[int] = []

    async def others() -> None:
        while True:
            served.append(0)
            await one_turn()

    turns, waiting = Turns(), asyncio.create_task(others())
    assert [item async for item in turns.of(range(ITEMS))] == list(range(ITEMS))
    waiting.cancel()
    assert len(served) >= ITEMS // ITEMS_AT_ONCE


@pytest.mark.parametrize("item", [GRANT, SIGNAL], ids=["commands", "signals"])
async def test_health_is_answered_while_a_long_message_is_read_and_decided_and_answered(item: dict[str, Any]) -> None:
    house = House()
    message = asyncio.create_task(pushed(house, of_each_tenant(item)))
    answered = 0
    while not message.done():
        assert (await house.acall("GET", "/health", token=None)).status == 200
        answered += 1
        await asyncio.sleep(0)
    assert len(message.result().json["items"]) == ITEMS
    # It is walked through when it is read, put together, submitted and answered.
    assert answered >= 4 * (ITEMS // ITEMS_AT_ONCE)


@pytest.mark.parametrize("seconds_each", [0.005, 0.02], ids=["in time", "too long"])
async def test_the_time_that_a_long_list_takes_to_be_submitted_is_no_longer_there_for_its_last_items(
    seconds_each: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, timeouts, ends = House(), list[float](), list[float]()
    until = house.clock.seconds + house.door.limits.request_seconds - MARGIN_SECONDS
    submit = house.corridor.submit

    async def slowly(submission: Submission, *, timeout_seconds: float) -> Answer:
        timeouts.append(timeout_seconds)
        ends.append(house.clock.seconds + timeout_seconds)
        house.clock.seconds += seconds_each
        return await submit(submission, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(house.corridor, "submit", slowly)
    items = [{"operation": "consume", "quota": "q", "amount": 1, "request_id": f"r{each}"} for each in range(ITEMS)]
    assert (await house.acall("POST", "/v1/tenants/acme/usage", {"items": items})).status == 200
    in_time = [end for end, timeout in zip(ends, timeouts, strict=True) if timeout > MARGIN_SECONDS]
    # Those that are submitted between two turns are given the time that is left at the first of them.
    assert max(in_time) < until + ITEMS_AT_ONCE * seconds_each
    assert min(timeouts) >= MARGIN_SECONDS
    assert (len(in_time) == ITEMS) == (seconds_each == 0.005)


async def test_when_its_sender_is_gone_everything_submitted_so_far_is_withdrawn() -> None:
    house = House()
    house.corridor.hold = asyncio.Event()
    others = asyncio.all_tasks()
    message = asyncio.create_task(pushed(house, of_each_tenant(GRANT)))
    while not house.corridor.waiting:
        await asyncio.sleep(0)
    assert len(house.corridor.submissions) < ITEMS, "it is still being submitted"
    message.cancel()
    with suppress(asyncio.CancelledError):
        await message
    # A task that was cancelled ends in its own next turn.
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == others
