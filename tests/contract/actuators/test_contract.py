"""What every Actuator promises; application/ports.py says it in words."""

import asyncio
import base64
import time

import msgspec
import pytest
from tests.contract.actuators.scenes import SECRET, Reaching, Scene

from tai_autonomics.application.ports import Done, NotDone, Target, Uncertain

pytestmark = pytest.mark.anyio

SECONDS = 20.0
"""For what is answered at once."""
SHORT_SECONDS = 0.5
MARGIN_SECONDS = 1.5
TARGET_BYTES_MAX = 4_096


async def resolved(scene: Scene) -> Target:
    target = await scene.actuator.resolve(scene.action)
    assert isinstance(target, dict)
    return target


async def attempted(scene: Scene, target: Target, seconds: float = SECONDS) -> Done | NotDone | Uncertain:
    """The outcome, whose text is short, printable and without a secret."""
    outcome = await scene.actuator.attempt(scene.action, target, seconds)
    assert 1 <= len(outcome.detail) <= 200
    assert outcome.detail.isprintable()
    assert base64.b64encode(SECRET).decode() not in outcome.detail
    assert SECRET.decode() not in outcome.detail
    return outcome


def running() -> set[asyncio.Task[object]]:
    """Every task but those of a double's own server."""
    every = asyncio.all_tasks()
    return {each for each in every if not each.get_coro().__qualname__.startswith("AioServer.")}


async def test_resolving_changes_nothing_and_says_the_same_again(scene: Scene) -> None:
    first = await resolved(scene)
    assert (await resolved(scene), await scene.effects()) == (first, [])
    assert len(msgspec.json.encode(first)) <= TARGET_BYTES_MAX


async def test_a_second_attempt_under_the_same_key_does_no_more(scene: Scene) -> None:
    target = await resolved(scene)
    assert isinstance(await attempted(scene, target), Done)
    assert isinstance(await attempted(scene, target), Done)
    assert await scene.effects() in ([], [scene.action.id])


async def test_an_attempt_has_its_effect(outside: Reaching) -> None:
    assert isinstance(await attempted(outside, await resolved(outside)), Done)
    assert await outside.effects() == [outside.action.id]


async def test_a_failure_that_passes_is_temporary(outside: Reaching) -> None:
    target = await resolved(outside)
    await outside.refuse_for_now()
    outcome = await attempted(outside, target)
    assert isinstance(outcome, NotDone)
    assert outcome.temporary


async def test_a_failure_that_stays_is_not_temporary(outside: Reaching) -> None:
    target = await resolved(outside)
    await outside.refuse_for_good()
    outcome = await attempted(outside, target)
    assert isinstance(outcome, NotDone)
    assert not outcome.temporary


async def test_what_is_not_answered_is_uncertain_once_the_deadline_has_passed(outside: Reaching) -> None:
    target = await resolved(outside)
    await outside.take_and_be_silent()
    begun = time.monotonic()
    outcome = await attempted(outside, target, SHORT_SECONDS)
    assert time.monotonic() - begun < SHORT_SECONDS + MARGIN_SECONDS
    assert isinstance(outcome, Uncertain)


async def test_what_was_uncertain_is_done_by_another_attempt_and_only_once(outside: Reaching) -> None:
    target = await resolved(outside)
    await outside.take_and_be_silent()
    await attempted(outside, target, SHORT_SECONDS)
    await outside.left()
    await outside.answer_again()
    assert isinstance(await attempted(outside, target), Done)
    assert await outside.effects() == [outside.action.id]


async def test_a_cancelled_attempt_leaves_nothing_running(outside: Reaching) -> None:
    target = await resolved(outside)
    await outside.take_and_be_silent()
    before = running()
    attempt = asyncio.create_task(outside.actuator.attempt(outside.action, target, SECONDS))
    await outside.arrived()
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await outside.left()
    while running() - before:
        await asyncio.sleep(0)


async def test_an_attempt_that_is_cancelled_before_it_begins_does_nothing(outside: Reaching) -> None:
    target = await resolved(outside)
    attempt = asyncio.create_task(outside.actuator.attempt(outside.action, target, SECONDS))
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert await outside.effects() == []
