"""Actions are said before they reach out, by one instance alone, and what became of them is said after."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
import pytest
from tests.builders import governed, moment, observed, rule
from tests.unit.application.faulty_store import FaultyStore, Gate, held
from tests.unit.application.instance import HandClock, Instance, ledger, opened, until, verify

from tai_autonomics.application import executor as executor_module
from tai_autonomics.application.actions import BudgetView
from tai_autonomics.application.corridor import CorridorBounds, Submission
from tai_autonomics.application.executor import ExecutorBounds
from tai_autonomics.application.ports import NO_HEADERS, Done, NotDone, Target, Uncertain
from tai_autonomics.domain.actions import Action, Webhook
from tai_autonomics.domain.governor import LEASE_MARGIN_SECONDS, BeginAttempt, CancelAction, ReportResult
from tai_autonomics.domain.identifiers import FLEET, ActionId
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.rules import Budget
from tai_autonomics.domain.tenant.timers import FIRST_LEASE_SECONDS
from tai_autonomics.errors import Overloaded

pytestmark = pytest.mark.anyio

Scripted = Done | NotDone | Uncertain | Exception | None
"""None: it hangs until it is cancelled."""


class Hand:
    """An actuator that does what its script says, and is done once that has ended."""

    def __init__(self, *script: Scripted, target: Target | NotDone | None = None) -> None:
        self.script = list(script)
        self.target: Target | NotDone = target or {"do": "it"}
        self.tried: list[tuple[str, Target]] = []
        self.traces: list[dict[str, str]] = []
        """The headers that each attempt was given."""
        self.resolved = 0
        self.cut = 0
        self.resolving: asyncio.Event | None = None

    async def resolve(self, action: Action) -> Target | NotDone:
        self.resolved += 1
        if self.resolving is not None:
            await self.resolving.wait()
        return self.target

    async def attempt(
        self, action: Action, target: Target, seconds: float, trace: Mapping[str, str] = NO_HEADERS
    ) -> Done | NotDone | Uncertain:
        self.traces.append(dict(trace))
        self.tried.append((action.id, target))
        answer = self.script.pop(0) if self.script else Done("done")
        if answer is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.cut += 1
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer

    async def aclose(self) -> None: ...


def acting(store: FaultyStore, hand: Hand, clock: HandClock, plans: Plans | None = None, **rest: Any) -> Any:
    in_force = plans or governed(rule(attempts=3, timeout=10))
    return opened(store, clock, plans_in_force=in_force, actuators={"webhook": hand}, **rest)


async def alarm(one: Instance, tenant: str = "acme") -> None:
    """The tenant's rule acts."""
    await one.grant(tenant)
    await one.submit(observed(90, 90, 90), tenant=tenant)


async def settled(store: FaultyStore, tenant: str = "acme") -> list[dict[str, Any]]:
    return [
        event
        for receipt in await ledger(store, tenant)
        for event in orjson.loads(receipt.body)["events"]
        if event["type"] == "ActionSettled"
    ]


async def types(store: FaultyStore, tenant: str = "acme") -> list[str]:
    return [receipt.type for receipt in await ledger(store, tenant)]


def waiting_in(one: Instance) -> tuple[int, float]:
    return one.executor.queue.standing(one.clock.now(), one.clock.monotonic())


async def at_rest(one: Instance) -> None:
    await until(lambda: one.executor.in_hand == 0)


async def test_an_action_is_attempted_at_once_and_its_attempt_is_said_first(store: FaultyStore) -> None:
    hand = Hand()
    async with acting(store, hand, HandClock()) as one:
        await alarm(one)
        await at_rest(one)
    assert await types(store) == ["transition", "transition", "action_attempt", "action_result"]
    receipts = await ledger(store)
    (action_id, target) = hand.tried[0]
    assert target == {"do": "it"}
    assert [receipt.command_id for receipt in receipts[2:]] == [
        f"action:{action_id}:1:attempt",
        f"action:{action_id}:1:result",
    ]
    cause = orjson.loads(receipts[2].body)["cause"]
    assert (cause["kind"], cause["by"].partition(":")[0]) == ("executor", "executor")
    (end,) = await settled(store)
    assert (end["action_id"], end["result"], end["attempts"]) == (action_id, "succeeded", 1)
    assert one.witness.told["settled"] == [("webhook", "succeeded")]


async def test_a_temporary_failure_is_tried_again_with_the_same_target_when_its_time_has_come(
    store: FaultyStore,
) -> None:
    hand, clock = Hand(NotDone("503", temporary=True, retry_after_seconds=30)), HandClock()
    async with acting(store, hand, clock) as one:
        await alarm(one)
        await at_rest(one)
        assert await one.timers.wake_due() == 0
        clock.advance(29)
        assert await one.timers.wake_due() == 0
        clock.advance(1)
        hand.target = {"do": "another"}
        assert await one.timers.wake_due() == 1
        await at_rest(one)
    assert hand.tried[0] == hand.tried[1]
    assert (len(hand.tried), hand.resolved) == (2, 1)
    assert [end["result"] for end in await settled(store)] == ["succeeded"]


@pytest.mark.parametrize(
    ("script", "result", "tries"),
    [
        ((NotDone("410", temporary=False),), "failed", 1),
        ((NotDone("503", temporary=True),) * 3, "failed", 3),
        ((Uncertain("reset"),) * 3, "unknown", 3),
        ((RuntimeError("a fault of ours"),) * 3, "unknown", 3),
    ],
)
async def test_an_action_ends_as_its_last_attempt_did(
    store: FaultyStore, script: tuple[Scripted, ...], result: str, tries: int
) -> None:
    hand, clock = Hand(*script), HandClock()
    async with acting(store, hand, clock) as one:
        await alarm(one)
        for _ in range(tries):
            await at_rest(one)
            clock.advance(5)
            await one.timers.wake_due()
        await at_rest(one)
    (end,) = await settled(store)
    assert (end["result"], end["attempts"], len(hand.tried)) == (result, tries, tries)


async def test_what_is_not_idempotent_is_not_tried_again_when_nobody_knows(store: FaultyStore) -> None:
    hand, clock = Hand(Uncertain("reset")), HandClock()
    once = Webhook("https://hooks.example/once", idempotent=False)
    async with acting(store, hand, clock, governed(rule(order=once))) as one:
        await alarm(one)
        await at_rest(one)
        clock.advance(60)
        await one.timers.wake_due()
        await at_rest(one)
        state = (await one.corridor.durable("acme")).state
    assert [end["result"] for end in await settled(store)] == ["unknown"]
    assert len(hand.tried) == 1
    assert set(state.governor.refusing) == {"unknown"}


async def test_an_attempt_that_was_refused_as_too_early_begins_at_its_time(store: FaultyStore) -> None:
    hand, clock = Hand(NotDone("503", temporary=True, retry_after_seconds=30)), HandClock()
    async with acting(store, hand, clock) as one:
        await alarm(one)
        await at_rest(one)
        early = BeginAttempt(ActionId(hand.tried[0][0]), 2, hand.tried[0][1])
        said = Submission("acme", early, f"action:{early.action_id}:2:attempt", "executor", "executor:another")
        refused = await one.corridor.submit(said, timeout_seconds=10)
        assert refused.receipt.type == "refusal"
        clock.advance(30)
        await one.timers.wake_due()
        await at_rest(one)
    assert [(end["result"], end["attempts"]) for end in await settled(store)] == [("succeeded", 2)]


@pytest.mark.long
async def test_a_call_that_hangs_is_cut_at_its_time_out(store: FaultyStore) -> None:
    hand = Hand(None)
    async with acting(store, hand, HandClock(), governed(rule(attempts=1, timeout=1))) as one:
        await alarm(one)
        await until(lambda: hand.tried)
        await asyncio.sleep(1)
        await at_rest(one)
    assert hand.cut == 1
    (end,) = await settled(store)
    assert (end["result"], end["detail"]) == ("timed_out", "no answer within 1 s")


async def test_two_instances_that_take_one_action_in_the_same_microsecond_reach_out_once(store: FaultyStore) -> None:
    clock, one_hand, other_hand = HandClock(), Hand(None), Hand(None)
    one_hand.resolving, other_hand.resolving = asyncio.Event(), asyncio.Event()
    async with acting(store, one_hand, clock) as one, acting(store, other_hand, clock) as other:
        await alarm(one)
        # The first one is so slow that the row is the other one's too.
        clock.advance(11)
        await other.timers.wake_due()
        await until(lambda: one_hand.resolved and other_hand.resolved)
        one_hand.resolving.set()
        other_hand.resolving.set()
        await until(lambda: one_hand.tried or other_hand.tried)
        await until(lambda: 0 in (one.executor.in_hand, other.executor.in_hand))
        assert len(one_hand.tried) + len(other_hand.tried) == 1
    assert (await types(store)).count("action_attempt") == 1


@pytest.mark.parametrize("woken_by", ["the poll", "a command"])
async def test_an_attempt_whose_instance_is_gone_is_tried_again_after_its_lease(
    store: FaultyStore, woken_by: str
) -> None:
    clock, lost, found = HandClock(), Hand(None), Hand()
    async with acting(store, lost, clock) as one:
        await alarm(one)
        await until(lambda: lost.tried)
        await die(one)
        async with acting(store, found, clock) as other:
            assert await other.timers.wake_due() == 0
            clock.advance(10 + LEASE_MARGIN_SECONDS + 1)
            if woken_by == "the poll":
                await other.timers.wake_due()
            else:
                assert (await other.submit(verify())).receipt.type == "transition"
                # The attempt that is lost is over, and the next one is due at once.
                await other.timers.wake_due()
            await until(lambda: found.tried)
            await at_rest(other)
            assert other.witness.failures == []
    assert lost.tried == found.tried
    (end,) = await settled(store)
    assert (end["result"], end["attempts"]) == ("succeeded", 2)


async def test_a_late_result_is_recorded_and_ends_the_wait_for_a_person(store: FaultyStore) -> None:
    clock, slow = HandClock(), Hand(None)
    once = Webhook("https://hooks.example/once", idempotent=False)
    async with acting(store, slow, clock, governed(rule(order=once))) as one:
        await alarm(one)
        await until(lambda: slow.tried)
        clock.advance(10 + LEASE_MARGIN_SECONDS + 1)
        await one.timers.wake_due()
        await until(lambda: one.witness.count("sealed") == 4)
        assert set((await one.corridor.durable("acme")).state.governor.refusing) == {"unknown"}
        report = ReportResult(ActionId(slow.tried[0][0]), 1, "succeeded", "done after all", 30_000)
        await one.submit(report)
        assert (await one.corridor.durable("acme")).state.governor.refusing == {}
        assert one.witness.failures == []


async def test_an_instance_that_holds_an_older_state_takes_over_all_the_same(store: FaultyStore) -> None:
    clock, lost, found = HandClock(), Hand(), Hand()
    lost.resolving = asyncio.Event()
    async with acting(store, lost, clock) as one, acting(store, found, clock) as other:
        await one.grant()
        # This one knows the tenant, and hears nothing of what comes.
        assert (await other.corridor.durable("acme")).head.seq == 1
        await one.submit(observed(90, 90, 90))
        await until(lambda: lost.resolved)
        await die(one)
        clock.advance(11)
        await other.timers.wake_due()
        await at_rest(other)
    assert [end["result"] for end in await settled(store)] == ["succeeded"]
    assert (lost.tried, len(found.tried)) == ([], 1)


async def test_timers_of_an_instance_that_is_gone_are_decided_by_one_that_holds_an_older_state(
    store: FaultyStore,
) -> None:
    clock, lost, found = HandClock(), Hand(None), Hand()
    once = Webhook("https://hooks.example/once", idempotent=False)
    in_force = governed(rule(order=once))
    async with acting(store, lost, clock, in_force) as one, acting(store, found, clock, in_force) as other:
        await one.grant()
        assert (await other.corridor.durable("acme")).head.seq == 1
        await one.submit(observed(90, 90, 90))
        await until(lambda: lost.tried)
        await die(one)
        clock.advance(10 + LEASE_MARGIN_SECONDS + 1)
        await other.timers.wake_due()
        await until(lambda: other.witness.count("sealed"))
    assert [end["result"] for end in await settled(store)] == ["unknown"]
    assert found.tried == []


@pytest.mark.long
async def test_what_an_actuator_says_of_its_own_time_out_is_heard(store: FaultyStore) -> None:
    class Patient(Hand):
        async def attempt(
            self, action: Action, target: Target, seconds: float, trace: Mapping[str, str] = NO_HEADERS
        ) -> Done | NotDone | Uncertain:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.Event().wait()
            return NotDone("not connected", temporary=False)

    async with acting(store, Patient(), HandClock(), governed(rule(attempts=1, timeout=1))) as one:
        await alarm(one)
        await at_rest(one)
    (end,) = await settled(store)
    assert (end["result"], end["detail"]) == ("failed", "not connected")


async def die(one: Instance) -> None:
    """As if killed: nothing is said any more."""
    every = [*one.executor._in_hand.values(), *one.executor._calls]
    for task in every:
        task.cancel()
    await asyncio.gather(*every, return_exceptions=True)


async def test_a_stopping_instance_lets_an_attempt_end_and_then_says_that_it_cut_it(store: FaultyStore) -> None:
    hand = Hand(None)
    async with acting(store, hand, HandClock()) as one:
        await alarm(one)
        await until(lambda: hand.tried)
        await one.executor.close(timeout_seconds=0)
        assert one.executor.in_hand == 0
    assert (await types(store))[-1] == "action_result"
    (ended,) = [e for r in await ledger(store) for e in orjson.loads(r.body)["events"] if e["type"] == "AttemptEnded"]
    assert (ended["outcome"], ended["detail"]) == ("unknown", "the instance stopped while it was attempted")


async def test_a_result_is_said_until_the_store_takes_it(store: FaultyStore) -> None:
    hand, clock = Hand(), HandClock()
    async with acting(store, hand, clock) as one:
        real = hand.attempt

        async def attempt(
            action: Action, target: Target, seconds: float, trace: Mapping[str, str]
        ) -> Done | NotDone | Uncertain:
            store.failing["append"] = 3
            return await real(action, target, seconds)

        hand.attempt = attempt  # type: ignore[method-assign]
        await alarm(one)
        await at_rest(one)
    assert [end["result"] for end in await settled(store)] == ["succeeded"]
    assert len(hand.tried) == 1


async def test_the_fleets_budget_is_reserved_once_and_bounds_all_tenants(store: FaultyStore) -> None:
    hand = Hand()
    in_force = governed(rule())
    bounded = Plans(in_force.digest, in_force.plans, {"webhook": Budget(max=2, per_seconds=3_600)})
    async with acting(store, hand, HandClock(), bounded) as one:
        for tenant in ("a", "b", "c"):
            await alarm(one, tenant)
            await at_rest(one)
        fleet = await one.queries.tenant(FLEET)
        assert fleet is not None
        assert fleet.fleet == {"webhook": BudgetView(2, 2, 3_600, moment("2026-11-24T12"), moment("2026-11-24T13"))}
        assert not (await one.queries.tenant("a") or fleet).fleet
    assert len(hand.tried) == 2
    assert [(await settled(store, tenant))[0]["result"] for tenant in "abc"] == ["succeeded", "succeeded", "cancelled"]
    assert (await settled(store, "c"))[0]["detail"] == (
        "action_budget_exhausted: the fleet's budget is used up: 2 of 2 actions in 3600 s"
    )
    assert await types(store, FLEET) == ["transition", "transition", "refusal"]


async def test_nothing_is_done_while_the_fleets_ledger_cannot_be_asked(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand, clock = Hand(), HandClock()
    in_force = governed(rule())
    bounded = Plans(in_force.digest, in_force.plans, {"webhook": Budget(max=2, per_seconds=3_600)})
    async with acting(store, hand, clock, bounded) as one:
        real = one.corridor.submit

        async def submit(submission: Any, *, timeout_seconds: float) -> Any:
            if submission.tenant == FLEET and unreachable:
                raise executor_module.Unavailable("the fleet's ledger is away")
            return await real(submission, timeout_seconds=timeout_seconds)

        unreachable = True
        monkeypatch.setattr(one.corridor, "submit", submit)
        await alarm(one)
        await at_rest(one)
        assert hand.tried == []
        unreachable = False
        clock.advance(11)
        await one.timers.wake_due()
        await at_rest(one)
    assert len(hand.tried) == 1


async def test_an_action_without_a_target_has_failed(store: FaultyStore) -> None:
    nothing = Hand(target=NotDone("no such service", temporary=False))
    async with acting(store, nothing, HandClock()) as one:
        await alarm(one)
        await at_rest(one)
    assert [(end["result"], end["detail"]) for end in await settled(store)] == [("failed", "no such service")]


async def test_a_target_that_is_not_there_for_now_is_looked_for_again(store: FaultyStore) -> None:
    hand, clock = Hand(target=NotDone("503", temporary=True)), HandClock()
    async with acting(store, hand, clock) as one:
        await alarm(one)
        await at_rest(one)
        hand.target = {"do": "it"}
        clock.advance(11)
        await one.timers.wake_due()
        await at_rest(one)
    assert [end["result"] for end in await settled(store)] == ["succeeded"]


@pytest.mark.parametrize(("at_once", "of_type"), [(3, 2), (2, 3)])
async def test_no_more_reach_out_at_once_than_the_bounds_allow(store: FaultyStore, at_once: int, of_type: int) -> None:
    hand = Hand(*[None] * 6)
    bounds = ExecutorBounds(actions_in_hand_max=5, actions_at_once_max=at_once, actions_of_type_at_once_max=of_type)
    async with acting(store, hand, HandClock(), executor_bounds=bounds) as one:
        for number in range(6):
            await alarm(one, f"t{number}")
        await until(lambda: len(hand.tried) == 2)
        assert (one.executor.in_hand, one.executor.attempting) == (5, 2)
        # Three in hand wait for their place. The sixth found no room, and is due once this instance had its time.
        assert waiting_in(one) == (3, 0.0)
        one.clock.advance(3)
        assert waiting_in(one) == (3, 3.0)
        one.clock.advance(FIRST_LEASE_SECONDS)
        assert waiting_in(one) == (4, 3.0 + FIRST_LEASE_SECONDS)


async def test_an_action_that_was_cancelled_while_it_waited_is_not_attempted(store: FaultyStore) -> None:
    hand = Hand(None)
    bounds = ExecutorBounds(actions_of_type_at_once_max=1)
    async with acting(store, hand, HandClock(), executor_bounds=bounds) as one:
        await alarm(one, "first")
        await until(lambda: hand.tried)
        await alarm(one, "second")
        waiting = (await one.corridor.durable("second")).state.governor.in_flight
        assert waiting is not None
        await one.submit(CancelAction(waiting.id, "ops"), tenant="second")
        for call in tuple(one.executor._calls):
            call.cancel()
        await at_rest(one)
        assert waiting_in(one) == (0, 0.0)
    assert len(hand.tried) == 1
    assert [end["result"] for end in await settled(store, "second")] == ["cancelled"]
    assert one.witness.told["settled"] == [("webhook", "cancelled")]


async def test_a_callers_flood_leaves_room_for_what_the_executor_has_to_say(store: FaultyStore) -> None:
    hand, gate = Hand(None), Gate()
    async with acting(store, hand, HandClock(), bounds=CorridorBounds(waiting_max=2, lane_waiting_max=2)) as one:
        await alarm(one)
        await until(lambda: hand.tried)
        store.faults.append(held(gate))
        flood = [one.begin(verify()) for _ in range(2)]
        await until(lambda: one.corridor.waiting == 2)
        with pytest.raises(Overloaded):
            await one.submit(verify())
        for call in tuple(one.executor._calls):
            call.cancel()
        await until(lambda: one.corridor.waiting == 3)
        gate.open()
        await asyncio.gather(*flood)
        await at_rest(one)
    assert (await types(store))[-1] == "action_result"
