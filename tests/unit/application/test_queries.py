"""What is shown: durable state alone, evaluated as of now."""

import pytest
from tests.builders import BIG, CALLS, ENT, PRO, plan, plans, quota
from tests.unit.application.faulty_store import FaultyStore, Gate, held
from tests.unit.application.instance import START, Instance, consume, opened, verify

from tai_autonomics.application.compliance import ControlView, HoldView
from tai_autonomics.application.ports import Caller
from tai_autonomics.application.queries import AsOf, TenantListed
from tai_autonomics.domain.compliance import Attest, PlaceHold
from tai_autonomics.domain.entitlement import Grant, Suspend
from tai_autonomics.domain.identifiers import ControlName, EntitlementId, PlanName
from tai_autonomics.domain.moments import moment_of, plus_seconds
from tai_autonomics.domain.tenant import Check
from tai_autonomics.errors import ClockUntrusted, StoreUnavailable

pytestmark = pytest.mark.anyio

MOMENT = moment_of(START)
ANYONE = Caller("anyone", frozenset(), None)


async def test_a_check_is_answered_from_the_durable_state_and_writes_nothing(store: FaultyStore, one: Instance) -> None:
    await one.grant()
    gate = Gate()
    store.faults.append(held(gate))
    consuming = one.begin(consume(100))
    await gate.reached.wait()
    answer = await one.queries.check("acme", (Check(quota=CALLS, amount=100), Check(entitlement_id=ENT)))
    assert ([each.allowed for each in answer.results], answer.seq, answer.time) == ([True, True], 1, MOMENT)
    gate.open()
    await consuming
    answer = await one.queries.check("acme", (Check(quota=CALLS),))
    assert (answer.results[0].reason, answer.seq) == ("quota_exceeded", 2)
    assert len(store.appends) == 2


async def test_a_check_sees_what_time_has_done_though_no_receipt_says_so_yet(store: FaultyStore, one: Instance) -> None:
    await one.grant(expires_at=plus_seconds(MOMENT, 30))
    one.clock.advance(60)
    answer = await one.queries.check("acme", (Check(entitlement_id=ENT),))
    assert (answer.results[0].reason, answer.seq) == ("entitlement_inactive", 1)


async def test_a_check_of_a_tenant_without_a_ledger_is_answered(one: Instance) -> None:
    answer = await one.queries.check("nobody", (Check(),))
    assert (answer.results[0].reason, answer.seq) == ("entitlement_inactive", 0)


async def test_a_check_needs_a_store_that_answers_and_a_clock_that_is_trusted(
    store: FaultyStore, one: Instance
) -> None:
    store.failing["read"] = 10**9
    with pytest.raises(StoreUnavailable):
        await one.corridor.durable("acme", timeout_seconds=0.01)
    store.failing.clear()
    await one.grant()
    one.clock.jump(1_000)
    with pytest.raises(ClockUntrusted):
        await one.queries.check("acme", (Check(),))


async def test_a_tenant_is_shown_as_of_now(one: Instance) -> None:
    assert await one.queries.tenant("acme") is None
    await one.grant(expires_at=plus_seconds(MOMENT, 30))
    await one.submit(Grant(EntitlementId("e2"), BIG))
    await one.submit(Suspend(EntitlementId("e2")))
    await one.submit(consume(40))
    shown = await one.queries.tenant("acme")
    assert shown is not None
    assert (shown.plan, shown.as_of) == (PRO, AsOf(4, MOMENT))
    assert [(each.entitlement_id, each.status, each.expires_at) for each in shown.entitlements] == [
        (ENT, "active", plus_seconds(MOMENT, 30)),
        ("e2", "suspended", None),
    ]
    (calls,) = shown.quotas
    assert (calls.quota, calls.used, calls.limit, calls.remaining) == (CALLS, 40, 100, 60)
    assert calls.resets_at == "2026-11-25T00:00:00.000000Z"
    one.clock.advance(60)
    later = await one.queries.tenant("acme")
    assert later is not None
    assert (later.plan, later.quotas, later.entitlements[0].status) == (None, (), "expired")


async def test_compliance_is_shown_as_of_now_though_no_timer_was_decided(store: FaultyStore) -> None:
    requiring = plans(plan(PRO, requires=("dpa", "soc2")))
    async with opened(store, plans_in_force=requiring) as one:
        await one.grant()
        await one.submit(PlaceHold("erasure", "urn:case", "olga", plus_seconds(MOMENT, 30)))
        await one.submit(Attest(ControlName("soc2"), "compliant", "urn:soc2", "eve", plus_seconds(MOMENT, 60)))
        await one.submit(Attest(ControlName("spare"), "non_compliant", "urn:x", "eve", plus_seconds(MOMENT, 60)))
        shown = await one.queries.tenant("acme")
        assert shown is not None
        (hold,) = shown.compliance.holds
        assert hold == HoldView(hold.hold_id, "erasure", "urn:case", "olga", MOMENT, plus_seconds(MOMENT, 30))
        assert "-2-" in hold.hold_id
        ended = plus_seconds(MOMENT, 60)
        assert shown.compliance.controls == (
            ControlView("dpa", "missing", required=True),
            ControlView("soc2", "compliant", True, "urn:soc2", "eve", MOMENT, ended),
            ControlView("spare", "non_compliant", False, "urn:x", "eve", MOMENT, ended),
        )
        assert shown.compliance.closed == ("service", "actions", "erasure")
        one.clock.advance(60)
        later = await one.queries.tenant("acme")
        assert later is not None
        assert (later.compliance.closed, later.compliance.holds) == (("service", "actions"), ())
        assert [each.standing for each in later.compliance.controls] == ["missing", "lapsed", "lapsed"]


async def test_an_unlimited_quota_has_nothing_that_remains(store: FaultyStore) -> None:
    unlimited = plans(plan(PlanName(PRO), quota(limit=None, per="lifetime")))
    async with opened(store, plans_in_force=unlimited) as one:
        await one.grant()
        shown = await one.queries.tenant("acme")
    assert shown is not None
    (calls,) = shown.quotas
    assert (calls.limit, calls.remaining, calls.resets_at) == (None, None, None)


async def test_tenants_are_listed_in_order_as_far_as_the_caller_reaches(one: Instance) -> None:
    heads = {tenant: await one.grant(tenant) for tenant in ("c", "a", "b")}
    everyone = await one.queries.tenants(ANYONE, "", 2)
    assert everyone == tuple(TenantListed(t, 1, heads[t].hash, heads[t].time) for t in ("a", "b"))
    assert [each.tenant_id for each in await one.queries.tenants(ANYONE, "b", 2)] == ["c"]
    some = Caller("some", frozenset(), frozenset({"c", "b", "nobody"}))
    assert [each.tenant_id for each in await one.queries.tenants(some, "", 10)] == ["b", "c"]
    assert [each.tenant_id for each in await one.queries.tenants(some, "", 1)] == ["b"]
    assert [each.tenant_id for each in await one.queries.tenants(some, "b", 10)] == ["c"]


async def test_receipts_come_with_the_parts_that_still_exist(one: Instance) -> None:
    first = (await one.submit(Grant(ENT, PRO), parts=(("metadata", b'{"a":1}'),))).receipt
    second = (await one.submit(verify())).receipt
    shown = await one.queries.receipts("acme", 0, 10, None, None)
    assert [(each.receipt, [part.text for part in each.parts]) for each in shown] == [
        (first, [b'{"a":1}']),
        (second, []),
    ]
    assert await one.queries.receipt("acme", 1) == shown[0]
    assert await one.queries.head("acme") == shown[1]
    assert await one.queries.receipts("acme", 1, 10, "transition", f"entitlement/{ENT}") == shown[1:]


async def test_what_does_not_exist_is_not_shown(one: Instance) -> None:
    assert await one.queries.receipts("nobody", 0, 10, None, None) == ()
    assert await one.queries.receipt("nobody", 1) is None
    assert await one.queries.head("nobody") is None
    assert await one.queries.policy("0" * 64) is None


async def test_the_plans_of_a_receipt_can_be_read(store: FaultyStore, one: Instance) -> None:
    await store.real.keep_policy("d" * 64, b"plans: {}", MOMENT)
    assert await one.queries.policy("d" * 64) == b"plans: {}"
