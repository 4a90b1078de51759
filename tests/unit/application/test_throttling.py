"""A throttle on the way of consumes and checks: each instance counts, each request once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.builders import CALLS, ENT, NOW, after, governed, observed, rule
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import HandClock, Instance, consume, ledger, opened, until

from tai_autonomics.actuators.inside import Inside
from tai_autonomics.application.queries import ThrottleView
from tai_autonomics.application.throttling import Throttles
from tai_autonomics.domain.actions import Throttle
from tai_autonomics.domain.governor import Throttled
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.quota import Release
from tai_autonomics.domain.tenant import Check
from tai_autonomics.ledger.receipt import read

pytestmark = pytest.mark.anyio

PLANS = governed(rule(order=Throttle(2, 60, 300), cooldown=3_600))
NEXT_MINUTE = "2026-11-24T12:31:00.000000Z"
THROTTLED = Throttled(2, 60, after(300), ActionId("a"))


@asynccontextmanager
async def throttled(store: FaultyStore, clock: HandClock | None = None) -> AsyncIterator[Instance]:
    """Its rule acted, and the executor carried the throttle out."""
    clock = clock or HandClock()
    async with opened(store, clock, plans_in_force=PLANS, actuators={"throttle": Inside(clock)}) as one:
        await one.grant()
        await one.submit(observed(99))
        await until(lambda: one.executor.in_hand == 0)
        yield one


async def outcome(one: Instance, **rest: Any) -> str:
    receipt = (await one.submit(consume(), **rest)).receipt
    return receipt.type if receipt.type != "refusal" else str(read(receipt.body)["refusal"]["reason"])


async def test_a_rules_throttle_holds_consumes_to_its_rate_until_its_window_and_then_its_time_is_over(
    store: FaultyStore,
) -> None:
    async with throttled(store) as one:
        assert [await outcome(one) for _ in range(3)] == ["transition", "transition", "rate_limited"]
        assert (await one.submit(Release(CALLS, 1))).receipt.type == "transition"
        refused = (await ledger(store))[-2]
        assert (refused.type, refused.subject_kind, refused.claims) == ("refusal", "quota", False)
        assert read(refused.body)["decision"]["gates"][-1]["evidence"]["resets_at"] == NEXT_MINUTE
        one.clock.advance(45)
        assert [await outcome(one) for _ in range(3)] == ["transition", "transition", "rate_limited"]
        one.clock.advance(255)
        assert [await outcome(one) for _ in range(4)] == ["transition"] * 4
        ended = [each.command_id for each in await ledger(store) if "throttle_end" in each.command_id]
        assert ended == [f"timer:governor:throttle_end:{after(300)}"]


async def test_checks_and_consumes_are_counted_together_and_a_check_says_what_is_left(store: FaultyStore) -> None:
    async with throttled(store) as one:
        appends = len(store.appends)
        first = await one.queries.check("acme", (Check(entitlement_id=ENT),))
        assert (first.results[0].allowed, first.throttle) == (
            True,
            ThrottleView(2, 60, 1, NEXT_MINUTE, after(300)),  # type: ignore[arg-type]
        )
        assert len(store.appends) == appends
        assert [await outcome(one) for _ in range(2)] == ["transition", "rate_limited"]
        last = await one.queries.check("acme", (Check(), Check()))
        assert [each.reason for each in last.results] == ["rate_limited"] * 2
        assert last.throttle is not None
        assert last.throttle.remaining == 0
        one.clock.advance(300)
        assert (await one.queries.check("acme", (Check(),))).throttle is None


async def test_a_repeat_gets_the_first_receipt_and_a_refusal_leaves_its_id_to_a_later_one(store: FaultyStore) -> None:
    async with throttled(store) as one:
        first = await one.submit(consume(), id="http:me:first")
        assert [await outcome(one) for _ in range(2)] == ["transition", "rate_limited"]
        again = await one.submit(consume(), id="http:me:first")
        assert (again.replayed, again.receipt) == (True, first.receipt)
        assert await outcome(one, id="http:me:late") == "rate_limited"
        one.clock.advance(45)
        assert await outcome(one, id="http:me:late") == "transition"


async def test_a_consume_that_is_decided_again_after_a_conflict_is_counted_once(store: FaultyStore) -> None:
    clock = HandClock()
    async with throttled(store, clock) as one, opened(store, clock, plans_in_force=PLANS) as other:
        await other.corridor.durable("acme")
        await one.submit(Release(CALLS, 1))
        # The other instance decides on a head that is taken, and again on what it missed.
        assert await outcome(other) == "transition"
        assert other.witness.count("conflicted") == 1
        assert [await outcome(other) for _ in range(2)] == ["transition", "rate_limited"]
        # Each instance counts its own.
        assert await outcome(one) == "transition"


def test_other_tenants_count_on_their_own_and_the_bound_forgets_who_asked_least_recently() -> None:
    throttles = Throttles(tenants_max=2)
    assert [throttles.ask(tenant, THROTTLED, NOW).used for tenant in ("a", "b", "a", "c", "a", "b")] == [
        0,
        0,
        1,
        0,
        2,
        0,
    ]
