"""What is asked within a trace is followed through deciding, appending and acting; without a tracer nothing is kept."""

import asyncio
from typing import NoReturn

import orjson
import pytest
from tests.builders import governed, observed, rule
from tests.recorded import CALLER, SAMPLED, TRACE, Keeping, id_of, linked_to, parent_of, said, trace_of
from tests.unit.application.faulty_store import FaultyStore, lost
from tests.unit.application.instance import HandClock, Instance, begin_after, ledger, opened, verify
from tests.unit.application.test_executor import Hand, acting, at_rest

from tai_autonomics.application.ports import Done, NotDone, Span, SpanContext, Tracer

pytestmark = pytest.mark.anyio


def within(tracer: Tracer, context: SpanContext = SAMPLED) -> Span:
    span = tracer.request("request", context, 0)
    assert span is not None
    return span


async def alarm(one: Instance, span: Span | None, trace: str | None = TRACE) -> None:
    await one.grant()
    await one.submit(observed(90, 90, 90), span=span, trace=trace)


async def requested(store: FaultyStore) -> str:
    """The hash of the receipt that asks for the action."""
    return (await ledger(store))[1].hash


async def test_a_request_is_followed_to_its_decision_and_to_the_append_that_carries_it(store: FaultyStore) -> None:
    keeping = Keeping()
    span = within(keeping.traces)
    async with opened(store, tracer=keeping.traces) as one:
        answer = await one.submit(verify(), span=span, trace=TRACE)
        span.end()
    found = keeping.by_name()
    (decided,), (appended,), (asked,) = found["decide"], found["append"], found["request"]
    assert (trace_of(decided), parent_of(decided)) == (TRACE, span.context.span)
    assert id_of(decided) == answer.receipt.hash[:16]
    assert (said(decided)["tai.command"], said(decided)["tai.outcome"]) == ("verify", answer.receipt.type)
    assert (linked_to(appended), linked_to(asked)) == ([id_of(asked)], [id_of(appended)])
    assert said(appended) == {"tai.receipts": 1, "tai.spans": 1}
    assert orjson.loads(answer.receipt.body)["trace"] == TRACE


async def test_one_append_carries_many_requests_and_is_linked_to_those_that_are_recorded(store: FaultyStore) -> None:
    keeping = Keeping()
    spans = [within(keeping.traces) for _ in range(3)]
    async with opened(store, tracer=keeping.traces) as one:
        for tenant in "abcd":
            await one.corridor.durable(tenant)
        asked = [one.begin(verify(), tenant=tenant, span=span) for tenant, span in zip("abc", spans, strict=True)]
        await asyncio.gather(*asked, one.begin(verify(), tenant="d"))
        for span in spans:
            span.end()
    found = keeping.by_name()
    (appended,) = found["append"]
    assert linked_to(appended) == [span.context.span for span in spans]
    assert said(appended) == {"tai.receipts": 4, "tai.spans": 3}
    assert [linked_to(each) for each in found["request"]] == [[id_of(appended)]] * 3


async def test_an_append_of_which_nothing_can_be_said_fails_and_the_next_is_another(store: FaultyStore) -> None:
    keeping = Keeping()
    span = within(keeping.traces)
    async with opened(store, tracer=keeping.traces) as one:
        await one.corridor.durable("acme")
        store.faults.append(lost)
        await one.submit(verify(), span=span)
        span.end()
    found = keeping.by_name()
    assert [each.status.status_code.name for each in found["append"]] == ["ERROR", "UNSET"]
    assert linked_to(found["request"][0]) == [id_of(each) for each in found["append"]]


async def test_without_a_tracer_and_without_a_recorded_caller_nothing_is_kept(store: FaultyStore) -> None:
    keeping = Keeping(ratio=1)
    async with opened(store) as off, opened(store, tracer=keeping.traces) as on:
        await off.submit(verify())
        await on.submit(verify())
    assert keeping.spans() == []


async def test_an_attempt_is_followed_from_the_decision_that_asked_for_it_to_the_receiver(store: FaultyStore) -> None:
    keeping, hand = Keeping(), Hand()
    span = within(keeping.traces, SpanContext(TRACE, CALLER, True, "a=1"))
    async with acting(store, hand, HandClock(), tracer=keeping.traces) as one:
        await alarm(one, span)
        await at_rest(one)
        span.end()
    found = keeping.by_name()
    by_id = {id_of(each): each for spans in found.values() for each in spans}
    (attempted,), (called,) = found["attempt webhook"], found["webhook"]
    assert {trace_of(each) for each in (attempted, called, *found["decide"])} == {TRACE}
    assert parent_of(attempted) == (await requested(store))[:16]
    assert by_id[parent_of(attempted)].name == "decide"  # type: ignore[index]
    assert parent_of(called) == id_of(attempted)
    assert hand.traces == [{"traceparent": f"00-{TRACE}-{id_of(called)}-01", "tracestate": "a=1"}]
    assert said(called) == {"tai.outcome": "succeeded"}
    inside = [said(each)["tai.command"] for each in found["decide"] if parent_of(each) == id_of(attempted)]
    assert inside == ["begin_attempt", "report_result"]
    assert [orjson.loads(each.body).get("trace") for each in await ledger(store)] == [None, TRACE, TRACE, TRACE]
    assert len(linked_to(attempted)) == 2


@pytest.mark.long
async def test_an_attempt_that_fails_says_so_in_its_call(store: FaultyStore) -> None:
    keeping, hand = Keeping(), Hand(NotDone("the receiver answered 500", temporary=True), None)
    span = within(keeping.traces)
    plans = governed(rule(attempts=2, timeout=1))
    clock = HandClock()
    async with acting(store, hand, clock, plans, tracer=keeping.traces) as one:
        await alarm(one, span)
        await at_rest(one)
        clock.advance(10)
        await one.timers.wake_due()
        await at_rest(one)
        span.end()
    found = keeping.by_name()
    assert [(each.status.description, said(each)["tai.outcome"]) for each in found["webhook"]] == [
        ("the receiver answered 500", "failed_temporarily"),
        ("no answer in time", "timed_out"),
    ]
    assert [said(each)["tai.attempt"] for each in found["attempt webhook"]] == [1, 2]
    assert {parent_of(each) for each in found["attempt webhook"]} == {(await requested(store))[:16]}


async def test_another_instance_goes_on_from_the_same_decision(store: FaultyStore) -> None:
    first, second, hand = Keeping(ratio=1), Keeping(ratio=1), Hand()
    clock = HandClock()
    async with acting(store, Hand(None), clock, tracer=first.traces) as one:
        one.executor.stop_taking()
        span = within(first.traces)
        await alarm(one, span)
        span.end()
    async with acting(store, hand, clock, tracer=second.traces) as other:
        clock.advance(10)
        await other.timers.wake_due()
        await at_rest(other)
    (attempted,), (decided, _) = second.by_name()["attempt webhook"], first.spans()[:2]
    assert (trace_of(attempted), parent_of(attempted)) == (TRACE, id_of(decided))
    assert hand.traces[0]["traceparent"].startswith(f"00-{TRACE}-")


async def test_of_a_trace_that_is_not_recorded_the_receiver_hears_that(store: FaultyStore) -> None:
    keeping, hand = Keeping(ratio=0), Hand()
    async with acting(store, hand, HandClock(), tracer=keeping.traces) as one:
        await alarm(one, None)
        await at_rest(one)
    assert hand.traces == [{"traceparent": f"00-{TRACE}-{(await requested(store))[:16]}-00"}]
    assert keeping.spans() == []
    assert [orjson.loads(each.body).get("trace") for each in await ledger(store)] == [None, TRACE, None, None]


async def test_an_action_whose_receipt_has_no_trace_is_attempted_without_one(store: FaultyStore) -> None:
    keeping, hand = Keeping(ratio=1), Hand()
    async with acting(store, hand, HandClock(), tracer=keeping.traces) as one:
        await alarm(one, None, trace=None)
        await at_rest(one)
    assert (hand.traces, keeping.spans()) == ([{}], [])


async def test_an_action_whose_receipt_cannot_be_read_is_attempted_all_the_same(store: FaultyStore) -> None:
    keeping, hand = Keeping(), Hand()
    span = within(keeping.traces)
    async with acting(store, hand, HandClock(), tracer=keeping.traces) as one:
        await one.grant()
        store.failing["receipt"] = 1
        await one.submit(observed(90, 90, 90), span=span, trace=TRACE)
        await at_rest(one)
        span.end()
        assert one.witness.count("store_failed") == 1
    assert hand.traces == [{}]


async def test_an_error_of_ours_about_a_trace_is_told_and_costs_no_attempt(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping, hand = Keeping(), Hand()

    def fails(*_: object) -> NoReturn:
        raise RuntimeError("forced")

    monkeypatch.setattr(keeping.traces, "decision", fails)
    async with acting(store, hand, HandClock(), tracer=keeping.traces) as one:
        await alarm(one, None)
        await at_rest(one)
        assert one.witness.count("failed") == 1
    assert (hand.traces, keeping.spans()) == ([{}], [])


async def test_an_action_whose_receipt_is_archived_is_attempted_all_the_same(store: FaultyStore) -> None:
    keeping, hand = Keeping(ratio=1), Hand(NotDone("not yet", temporary=True), Done("done"))
    clock = HandClock()
    async with acting(store, hand, clock, tracer=keeping.traces) as one:
        await alarm(one, None)
        await at_rest(one)
        await begin_after(store, seq=3)
        clock.advance(10)
        await one.timers.wake_due()
        await at_rest(one)
    assert [bool(each) for each in hand.traces] == [True, False]
    assert keeping.spans()
