"""What is shown of governors and actions: from the state while in flight, and from receipts for good."""

import pytest
from tests.builders import CPU, HIGH, HOOK, after, governed, observed, of_a_newer_release, rule
from tests.unit.application.faulty_store import FaultyStore
from tests.unit.application.instance import HandClock, Instance, begin_after, opened

from tai_autonomics.application import actions
from tai_autonomics.application.actions import BudgetView, CauseView, GovernorView, RuleView
from tai_autonomics.application.ports import Caller
from tai_autonomics.application.queries import ActionsPage
from tai_autonomics.application.restoring import Restoring
from tai_autonomics.application.sealing import request_seq
from tai_autonomics.domain.actions import Throttle
from tai_autonomics.domain.governor import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    ApproveAction,
    AttemptEnded,
    BeginAttempt,
    CancelAction,
    DenyAction,
    InFlight,
    PauseGovernor,
    ReportResult,
)
from tai_autonomics.domain.rules import Approval, Budget
from tai_autonomics.errors import LedgerNewerThanCode
from tai_autonomics.ledger.records import Append, Appended, Outcome, Receipt

pytestmark = pytest.mark.anyio

PLANS = governed(rule(mode="approve", cooldown=60), budget=Budget(9, 3_600), failures=3)
ANYONE = Caller("anyone", frozenset(), None)


async def requested(one: Instance, tenant: str = "acme") -> InFlight:
    await one.submit(observed(99), tenant=tenant)
    action = (await one.corridor.durable(tenant)).state.governor.in_flight
    assert action is not None
    return action


async def denied(one: Instance, count: int) -> list[str]:
    """So many actions, each denied in its turn; the oldest first."""
    found = []
    for _ in range(count):
        action = await requested(one)
        await one.submit(DenyAction(action.id, "eve"))
        one.clock.advance(60)
        found.append(action.id)
    return found


async def test_a_governor_that_nothing_happened_to_shows_its_rules(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        await one.grant()
        shown = await one.queries.tenant("acme")
    assert shown is not None
    budget = BudgetView(0, 9, 3_600, "2026-11-24T12:00:00.000000Z", "2026-11-24T13:00:00.000000Z")  # type: ignore[arg-type]
    assert shown.governor == GovernorView("boot", (), (RuleView(HIGH, "clear", "approve"),), 0, None, 3, budget)
    assert not shown.action


async def test_a_governor_shows_why_it_refuses_since_when_and_what_rests(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        await one.grant()
        action = await requested(one)
        shown = await one.queries.tenant("acme")
        assert shown is not None
        assert (shown.governor.state, shown.governor.since) == ("intervening", action.requested_at)
        assert shown.governor.rules == (RuleView(HIGH, "acted", "approve", after(60)),)
        assert shown.action == actions.in_flight_view("acme", action)
        one.clock.advance(60)
        await one.submit(PauseGovernor())
        shown = await one.queries.tenant("acme")
        assert shown is not None
        assert (shown.governor.state, shown.governor.since) == ("refusing", after(60))
        assert shown.governor.causes == (CauseView("pause", after(60)),)
        assert shown.governor.rules == (RuleView(HIGH, "acted", "approve"),)
        # Another plans file, without the rule or a budget: what it left behind rests no more, and is not shown.
        one.plans = governed(rule("other"))
        shown = await one.queries.tenant("acme")
        assert shown is not None
        assert (shown.governor.rules, shown.governor.budget) == ((RuleView("other", "clear", "enforce"),), None)


async def test_a_rule_that_left_the_plan_is_shown_while_it_rests(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        await one.grant()
        await requested(one)
        one.plans = governed(rule("other"))
        shown = await one.queries.tenant("acme")
    assert shown is not None
    assert shown.governor.rules == (
        RuleView("other", "clear", "enforce"),
        RuleView(HIGH, "acted", cooldown_until=after(60)),
    )


async def test_what_shadows_would_have_used_and_a_throttle_are_shown_until_they_end(store: FaultyStore) -> None:
    slow = rule("slow", order=Throttle(5, 60, 300), cooldown=60)
    shadows = governed(slow, rule(mode="shadow"), budget=Budget(9, 600))
    async with opened(store, plans_in_force=shadows) as one:
        one.executor.stop_taking()
        await one.grant()
        action = await requested(one)
        await one.submit(BeginAttempt(action.id, 1, {"until": after(300)}))
        await one.submit(ReportResult(action.id, 1, "succeeded", "done", 3))
        shown = await one.queries.tenant("acme")
        assert shown is not None
        assert (shown.governor.budget or shown).used == 1  # type: ignore[union-attr]
        assert (shown.governor.shadowed or shown).used == 1  # type: ignore[union-attr]
        assert shown.governor.throttle is not None
        assert shown.governor.throttle.until == after(300)
        one.clock.advance(900)
        shown = await one.queries.tenant("acme")
    assert shown is not None
    assert (shown.governor.shadowed, shown.governor.throttle) == (None, None)


async def test_an_action_is_shown_at_every_stage_with_what_its_receipts_say(store: FaultyStore) -> None:
    two_people = governed(rule(mode="approve", approval=Approval(900, people=2)))
    async with opened(store, plans_in_force=two_people) as one:
        one.executor.stop_taking()
        await one.grant()
        action = await requested(one)

        async def shown() -> actions.ActionShown:
            found = await one.queries.action("acme", action.id)
            assert found is not None
            listed = await one.queries.actions("acme", None, 10, found.state)
            assert listed is not None
            assert [each.action_id for each in listed.items] == [action.id]
            return found

        waiting = await shown()
        assert (waiting.state, waiting.type, waiting.order, waiting.rule) == (
            "awaiting_approval",
            "webhook",
            HOOK,
            HIGH,
        )
        assert (waiting.metric, waiting.value, waiting.attempts) == (CPU, "99", 0)
        await one.submit(ApproveAction(action.id, "ann"), by="ann")
        await one.submit(ApproveAction(action.id, "bob"), by="bob")
        assert ((await shown()).state, (await shown()).approved_by) == ("ready", ("ann", "bob"))
        await one.submit(BeginAttempt(action.id, 1, {"url": "u"}))
        begun = await shown()
        assert (begun.state, begun.attempts, begun.target, begun.leased_until) == (
            "attempting",
            1,
            {"url": "u"},
            after(20),
        )
        await one.submit(ReportResult(action.id, 1, "failed", "503", 3, temporary=True, retry_at=after(1)))
        again = await shown()
        assert (again.state, again.retry_at, again.leased_until) == ("retrying", after(1), None)
        one.clock.advance(1)
        await one.submit(BeginAttempt(action.id, 2, {"url": "u"}))
        await one.submit(ReportResult(action.id, 2, "succeeded", "204", 3))
        done = await shown()
    assert (done.state, done.attempts, done.detail, done.settled_at) == ("succeeded", 2, "204", after(1))
    assert (done.approved_by, done.target, done.leased_until, done.retry_at) == (
        ("ann", "bob"),
        {"url": "u"},
        None,
        None,
    )
    assert [(each.by, type(each.event)) for each in done.history] == [
        ("me", ActionRequested),
        ("ann", ActionApproved),
        ("bob", ActionApproved),
        ("me", ActionAttempted),
        ("me", AttemptEnded),
        ("me", ActionAttempted),
        ("me", AttemptEnded),
        ("me", ActionSettled),
    ]


async def test_settled_actions_come_newest_first_in_pages_and_after_the_one_in_flight(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        await one.grant()
        assert await one.queries.actions("acme", None, 10, None) == ActionsPage((), None)
        ids = await denied(one, 5)
        now = (await requested(one)).id
        await one.submit(observed(1), tenant="acme")
        seen, before = [], None
        while True:
            page = await one.queries.actions("acme", before, 2, None)
            assert page is not None
            seen += [(each.action_id, each.state, each.by) for each in page.items]
            if (before := page.before) is None:
                break
        assert seen == [(now, "awaiting_approval", None), *((each, "cancelled", "eve") for each in ids[::-1])]
        only = await one.queries.actions("acme", None, 3, "cancelled")
        assert only is not None
        assert [each.action_id for each in only.items] == ids[:1:-1]
        none = await one.queries.actions("acme", None, 3, "succeeded")
        assert none == ActionsPage((), None)
        waits = await one.queries.actions("acme", None, 3, "ready")
        assert waits == ActionsPage((), None)


async def test_an_action_whose_request_is_archived_is_neither_listed_nor_shown(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        await one.grant()
        first, second = await denied(one, 2)
        request = request_seq(first)
        assert request is not None
        await begin_after(store, seq=request)
        listed = await one.queries.actions("acme", None, 10, "cancelled")
        assert listed is not None
        assert [each.action_id for each in listed.items] == [second]
        assert await one.queries.action("acme", first) is None
        assert await one.queries.action("acme", second) is not None


async def test_a_page_ends_where_enough_receipts_were_read(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "SCANNED_MAX", 2)
    async with opened(store, plans_in_force=PLANS) as one:
        await one.grant()
        ids = await denied(one, 4)
        pages, before = [], None
        while True:
            page = await one.queries.actions("acme", before, 9, None)
            assert page is not None
            pages.append([each.action_id for each in page.items])
            if (before := page.before) is None:
                break
    assert pages == [ids[3:1:-1], ids[1::-1], []]


async def test_what_was_never_requested_is_not_shown(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        assert await one.queries.actions("acme", None, 10, None) is None
        await one.grant()
        action = await requested(one)
        other = action.id[:-1] + ("0" if action.id[-1] != "0" else "1")
        for absent in ("x", "a-b-c", "a-0-c", "a-99-c", f"{action.id}-1", other, "-1-"):
            assert await one.queries.action("acme", absent) is None
        assert await one.queries.action("beta", action.id) is None


async def test_actions_in_flight_are_found_over_all_tenants_by_stage_and_in_pages(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        one.executor.stop_taking()
        for tenant in ("a", "b", "c", "d", "idle"):
            await one.grant(tenant)
        waiting = {tenant: await requested(one, tenant) for tenant in ("a", "b", "c", "d")}
        await one.submit(ApproveAction(waiting["b"].id, "ann"), tenant="b")
        await one.submit(ApproveAction(waiting["c"].id, "ann"), tenant="c")
        await one.submit(BeginAttempt(waiting["c"].id, 1, {}), tenant="c")
        await one.submit(CancelAction(waiting["d"].id, "ann"), tenant="d")

        async def found(caller: Caller, stage: actions.Stage | None, limit: int = 2) -> list[str]:
            seen, after = [], ""
            while True:
                page = await one.queries.actions_in_flight(caller, after, limit, stage)
                seen += [each.tenant_id for each in page.items]
                if page.after is None:
                    return seen
                after = page.after

        assert await found(ANYONE, None) == ["a", "b", "c"]
        assert [await found(ANYONE, stage) for stage in actions.STAGES] == [["a"], ["b"], ["c"], []]
        some = Caller("some", frozenset(), frozenset({"c", "idle", "nobody", "b"}))
        assert await found(some, None, limit=1) == ["b", "c"]
        assert await found(some, "awaiting_approval") == []


async def test_a_tenant_that_cannot_be_read_is_named_and_hides_no_other(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock, plans_in_force=PLANS) as newer:
        for tenant in ("a", "b", "c"):
            await newer.grant(tenant)
            await requested(newer, tenant)
    await written_by_a_newer_release(store, "b")
    async with opened(store, clock, plans_in_force=PLANS) as one:
        page = await one.queries.actions_in_flight(ANYONE, "", 2, None)
        assert ([each.tenant_id for each in page.items], page.unreadable, page.after) == (["a"], ("b",), "b")
        page = await one.queries.actions_in_flight(ANYONE, "b", 2, None)
        assert ([each.tenant_id for each in page.items], page.unreadable, page.after) == (["c"], (), None)
        assert [type(error) for what, error in one.witness.failures if what == "queries"] == [LedgerNewerThanCode]


async def written_by_a_newer_release(store: FaultyStore, tenant: str) -> None:
    """The newest receipt of the tenant holds an event that this release does not know."""
    head = (await store.heads((tenant,)))[tenant]
    receipt = of_a_newer_release(tenant, ledger=head.ledger, seq=head.seq + 1, prev=head.hash, time=head.time)
    told: list[Outcome] = []
    await store.append([Append(tenant, head.seq, head.hash, (receipt,))], lambda _, outcome: told.append(outcome))
    assert told == [Appended()]


async def test_an_action_that_a_restore_settled_is_listed_as_one_of_which_nobody_knows(store: FaultyStore) -> None:
    clock = HandClock()
    async with opened(store, clock, plans_in_force=PLANS) as one:
        await one.grant()
        action = await requested(one)
    async with opened(store, clock, plans_in_force=PLANS) as again:
        await Restoring(store, again.corridor, by="ops", timeout_seconds=10).run("r", (), lambda count: None)
        page = await again.queries.actions("acme", None, 10, None)
        shown = await again.queries.action("acme", action.id)
    assert page is not None
    assert [(each.action_id, each.state) for each in page.items] == [(action.id, "unknown")]
    assert shown is not None
    assert (shown.state, shown.detail) == ("unknown", "the ledger was restored from a backup")


async def test_an_action_that_is_cancelled_between_attempts_waits_for_no_other_one(store: FaultyStore) -> None:
    async with opened(store, plans_in_force=governed()) as one:
        one.executor.stop_taking()
        await one.grant()
        action = await requested(one)
        await one.submit(BeginAttempt(action.id, 1, {}))
        await one.submit(ReportResult(action.id, 1, "failed", "503", 3, temporary=True, retry_at=after(1)))
        await one.submit(CancelAction(action.id, "ann"))
        shown = await one.queries.action("acme", action.id)
    assert shown is not None
    assert (shown.state, shown.retry_at, shown.by) == ("cancelled", None, "ann")


async def test_an_action_that_is_settled_while_it_is_looked_for_is_listed_once(
    store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(store, plans_in_force=PLANS) as one:
        await one.grant()
        action = await requested(one)
        read = store.real.action_receipts_before

        async def late(tenant: str, before: int, limit: int) -> tuple[Receipt, ...]:
            await one.submit(DenyAction(action.id, "eve"))
            return await read(tenant, before, limit)

        monkeypatch.setattr(store.real, "action_receipts_before", late)
        page = await one.queries.actions("acme", None, 10, None)
    assert page is not None
    assert [each.state for each in page.items] == ["cancelled"]
