"""What an instance does not begin it leaves, as it is, to another one."""

import asyncio

import pytest
from tests.builders import governed, rule
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import HandClock, opened, until
from tests.unit.application.test_executor import Hand, acting, alarm, at_rest, settled, types

from tai_autonomics.application.executor import ExecutorBounds
from tai_autonomics.application.ports import NotDone
from tai_autonomics.domain.actions import Webhook

pytestmark = pytest.mark.anyio


async def test_what_waits_for_its_place_does_not_begin_on_a_stopping_instance_but_elsewhere(store: FaultyStore) -> None:
    hand, found, clock = Hand(None), Hand(), HandClock()
    once = governed(rule(order=Webhook("https://hooks.example/once", idempotent=False)))
    async with acting(store, hand, clock, once, executor_bounds=ExecutorBounds(actions_at_once_max=1)) as one:
        await alarm(one, "first")
        await until(lambda: hand.tried)
        await alarm(one, "second")
        one.executor.stop_taking()
        # Its place becomes free while there is still time.
        for call in tuple(one.executor._calls):
            call.cancel()
        await at_rest(one)
        assert (hand.resolved, await types(store, "second")) == (1, ["transition", "transition"])
    clock.advance(11)
    async with acting(store, found, clock, once) as other:
        await other.timers.wake_due()
        await at_rest(other)
    assert [end["result"] for end in await settled(store, "second")] == ["succeeded"]
    assert (len(hand.tried), len(found.tried)) == (1, 1)


async def test_an_action_whose_target_is_found_after_the_stop_does_not_begin(store: FaultyStore) -> None:
    hand = Hand()
    hand.resolving = asyncio.Event()
    async with acting(store, hand, HandClock()) as one:
        await alarm(one)
        await until(lambda: hand.resolved)
        one.executor.stop_taking()
        hand.resolving.set()
        await at_rest(one)
    assert await types(store) == ["transition", "transition"]


async def test_nothing_begins_once_a_stopping_instance_has_cut_what_was_under_way(store: FaultyStore) -> None:
    hand = Hand()
    hand.resolving = asyncio.Event()
    async with acting(store, hand, HandClock()) as one:
        await alarm(one)
        await until(lambda: hand.resolved)
        closing = asyncio.get_running_loop().create_task(one.executor.close(timeout_seconds=0))
        await until(lambda: one.executor._cut)
        hand.resolving.set()
        await closing
        assert (hand.tried, one.executor.in_hand) == ([], 0)
    assert await types(store) == ["transition", "transition"]


async def test_an_instance_without_the_actuator_leaves_the_action_to_one_that_has_it(store: FaultyStore) -> None:
    hand, clock = Hand(NotDone("503", temporary=True, retry_after_seconds=30)), HandClock()
    async with acting(store, hand, clock) as newer, opened(store, clock) as older:
        await alarm(newer)
        await at_rest(newer)
        clock.advance(30)
        assert await older.timers.wake_due() == 1
        await at_rest(older)
        assert [(what, str(error)) for what, error in older.witness.failures] == [
            ("executor", "an action waits: no webhook is set up here")
        ]
        assert await settled(store) == []
        clock.advance(11)
        await newer.timers.wake_due()
        await at_rest(newer)
    assert [(end["result"], end["attempts"]) for end in await settled(store)] == [("succeeded", 2)]


async def test_an_action_whose_actuator_nobody_has_lapses_at_its_deadline(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock, plans_in_force=governed(rule())) as one:
        await alarm(one)
        await at_rest(one)
        clock.advance(900)
        await one.timers.wake_due()
        await until(lambda: one.witness.count("sealed") == 3)
    assert [end["result"] for end in await settled(store)] == ["lapsed"]
