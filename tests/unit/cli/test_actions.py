"""A governor and its actions from a store: what is in flight, what is settled, and what each receipt said."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from tests.builders import ACTION, CPU, HIGH, PRO, after, governed, moment, observed, rule
from tests.unit.application.instance import HandClock, Instance, opened
from tests.unit.cli.exports import CommandLine

from tai_autonomics.application.actions import State, governor_view, in_flight_view
from tai_autonomics.cli import actions, governor
from tai_autonomics.cli.stored import Stored
from tai_autonomics.domain.actions import Result, Throttle
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.governor import (
    ApproveAction,
    BeginAttempt,
    CancelAction,
    GovernorState,
    InFlight,
    LostAttempt,
    Refusing,
    ReportResult,
    ResumeGovernor,
    RuleState,
    Throttled,
)
from tai_autonomics.domain.identifiers import ActionId, RuleName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan
from tai_autonomics.domain.rules import Budget
from tai_autonomics.domain.tenant import Restore
from tai_autonomics.errors import Unknown
from tai_autonomics.settings import Settings
from tai_autonomics.stores.sqlite.store import SQLiteStore

PLANS = governed(rule(cooldown=0, mode="approve"), budget=Budget(5, 3_600), failures=3)


def plan() -> Plan:
    return PLANS.plans[PRO]


@pytest.fixture
async def one() -> AsyncIterator[Instance]:
    """A tenant with a rule whose action waits for one approval; a test carries actions out by hand."""
    store = await SQLiteStore.open(None)
    async with opened(store, HandClock(), plans_in_force=PLANS) as instance:
        instance.executor.stop_taking()
        await instance.grant()
        yield instance
    await store.aclose()


async def asked(one: Instance) -> ActionId:
    await one.submit(observed(91.5))
    action = await in_flight(one)
    assert action is not None
    return action.id


async def in_flight(one: Instance) -> InFlight | None:
    return (await one.corridor.durable("acme")).state.governor.in_flight


async def attempted(one: Instance, action: ActionId, outcome: Any, detail: str) -> None:
    await one.submit(ApproveAction(action, "anna"), by="anna")
    await one.submit(BeginAttempt(action, 1, {"url": "https://x"}), by="executor:1")
    await one.submit(ReportResult(action, 1, outcome, detail, 7), by="executor:1")


async def whole(one: Instance, action: str) -> dict[str, Any]:
    return await stored_in(one).action("acme", action)


async def settled(one: Instance, result: Result | None = None, limit: int = 100) -> list[dict[str, Any]]:
    found = [each async for each in stored_in(one).actions("acme", result, limit)]
    return [each for each in found if "settled_at" in each]


def stored_in(one: Instance) -> Stored:
    return Stored(one.store, Settings.load({}).settings)


def governor_document(state: GovernorState, plan: Plan | None, now: Moment) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(governor_view(state, plan, now)))
    return document


def in_flight_document(tenant: str, action: InFlight) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(in_flight_view(tenant, action)))
    return document


@pytest.mark.anyio
async def test_an_action_in_flight_is_what_the_state_says(one: Instance) -> None:
    action = await asked(one)
    shown = await whole(one, action)
    assert [each["event"]["type"] for each in shown.pop("history")] == ["ActionRequested"]
    assert shown == {
        "action_id": action,
        "tenant_id": "acme",
        "rule": "cpu-high",
        "type": "webhook",
        "state": "awaiting_approval",
        "requested_at": after(0),
        "metric": "cpu",
        "value": "91.5",
        "attempts": 0,
        "attempts_max": 3,
        "timeout_seconds": 10,
        "order": {"type": "webhook", "url": "https://hooks.example/scale", "idempotent": True},
        "approval": {"people": 1, "until": after(900)},
    }


@pytest.mark.anyio
async def test_a_settled_action_is_what_its_receipts_say(one: Instance) -> None:
    action = await asked(one)
    await attempted(one, action, "failed", "410 Gone")
    shown = await whole(one, action)
    assert [(each["seq"], each["by"], each["event"]["type"]) for each in shown.pop("history")] == [
        (2, "me", "ActionRequested"),
        (3, "anna", "ActionApproved"),
        (4, "executor:1", "ActionAttempted"),
        (5, "executor:1", "AttemptEnded"),
        (5, "executor:1", "ActionSettled"),
    ]
    more = {name: shown.pop(name) for name in ("approved_by", "deadline", "target")}
    assert more == {"approved_by": ("anna",), "deadline": after(630), "target": {"url": "https://x"}}
    assert await settled(one) == [shown]
    assert (shown["state"], shown["attempts"], shown["settled_at"], shown["detail"]) == (
        "failed",
        1,
        after(0),
        "410 Gone",
    )


@pytest.mark.anyio
async def test_settled_actions_are_listed_the_newest_first_as_many_as_asked_and_by_result(one: Instance) -> None:
    first = await asked(one)
    await attempted(one, first, "failed", "410 Gone")
    # Its result asked for another one: the measurement is still high.
    second = await in_flight(one)
    assert second is not None
    await attempted(one, second.id, "succeeded", "204")
    third = await in_flight(one)
    assert third is not None
    await one.submit(observed(10))
    await one.submit(CancelAction(third.id, "bob"), by="bob")
    assert [(each["action_id"], each["state"], each.get("by")) for each in await settled(one)] == [
        (third.id, "cancelled", "bob"),
        (second.id, "succeeded", None),
        (first, "failed", None),
    ]
    assert [each["action_id"] for each in await settled(one, limit=1)] == [third.id]
    assert [each["action_id"] for each in await settled(one, "failed")] == [first]


@pytest.mark.anyio
async def test_an_action_that_a_restore_settled_is_found_in_the_ledgers_own_receipt(one: Instance) -> None:
    action = await asked(one)
    head = (await one.store.heads(["acme"]))["acme"]
    await one.submit(Restore(head.ledger, head.seq, head.hash), by="command-line")
    (unknown,) = await settled(one)
    assert (unknown["action_id"], unknown["state"]) == (action, "unknown")
    shown = await whole(one, action)
    assert [each["by"] for each in shown["history"]] == ["me", "command-line"]
    await one.submit(ResumeGovernor())
    later = await asked(one)
    await one.submit(CancelAction(later, "bob"), by="bob")
    assert [each["action_id"] for each in await settled(one)] == [later, action]


@pytest.mark.anyio
async def test_actions_in_flight_are_listed_over_all_tenants_and_before_those_settled(one: Instance) -> None:
    first = await asked(one)
    await one.grant("bob")
    await one.grant("carol")
    for tenant in ("bob", "carol"):
        await one.submit(observed(99), tenant=tenant)
    await one.submit(CancelAction(first, "me"))
    source = stored_in(one)

    async def listed(tenant: str | None, state: State | None = None, limit: int = 9) -> list[tuple[str, str]]:
        return [(each["tenant_id"], each["state"]) async for each in source.actions(tenant, state, limit)]

    waiting = "awaiting_approval"
    assert await listed(None) == [("acme", waiting), ("bob", waiting), ("carol", waiting)]
    assert await listed(None, limit=2) == [("acme", waiting), ("bob", waiting)]
    assert await listed(None, "ready") == []
    assert await listed("acme") == [("acme", waiting), ("acme", "cancelled")]
    assert await listed("acme", limit=1) == [("acme", waiting)]
    assert await listed("acme", "cancelled") == [("acme", "cancelled")]
    assert await listed("acme", waiting) == [("acme", waiting)]


@pytest.mark.anyio
@pytest.mark.parametrize("action", ["act_1", "01J-2-abc", "01J-99-abc", "01J-1-abc", "01J-99999999999999999999-abc"])
async def test_what_never_was_an_action_is_unknown(one: Instance, action: str) -> None:
    await asked(one)
    with pytest.raises(Unknown, match=f"acme has no action {action}"):
        await whole(one, action)


def test_stages_and_what_belongs_to_them() -> None:
    requested = InFlight(ACTION, HIGH, Throttle(10, 60, 300), 3, 10, after(0), CPU, "1", deadline=after(630))
    assert in_flight_document("acme", requested)["state"] == "ready"
    attempting = InFlight(
        *(ACTION, HIGH, Throttle(10, 60, 300), 3, 10, after(0), CPU, "1"),
        deadline=after(630),
        attempts=1,
        leased_until=after(20),
        target={"until": "t"},
    )
    document = in_flight_document("acme", attempting)
    assert (document["state"], document["leased_until"], document["target"]) == (
        "attempting",
        after(20),
        {"until": "t"},
    )
    retrying = InFlight(
        *(ACTION, HIGH, Throttle(10, 60, 300), 3, 10, after(0), CPU, "1"),
        deadline=after(630),
        attempts=1,
        retry_at=after(5),
    )
    assert in_flight_document("acme", retrying)["retry_at"] == after(5)


def test_a_governor_is_shown_with_everything_that_applies_and_nothing_that_is_over() -> None:
    start, end, now = moment("2026-11-24T12"), moment("2026-11-24T13"), after(0)
    state = GovernorState(
        started=True,
        rules={
            HIGH: RuleState("acted", after(60)),
            RuleName("gone"): RuleState("clear", after(30)),
            RuleName("rested"): RuleState("acted", now),
        },
        refusing={
            "unknown": Refusing(after(-5), action_id=ACTION),
            "budget": Refusing(after(-9), until=after(9)),
        },
        budget=BudgetUse(5, 5, 3_600, start, end),
        shadowed=BudgetUse(2, 5, 3_600, start, end),
        failures=2,
        throttle=Throttled(10, 60, after(1), ACTION),
        lost=(LostAttempt(ACTION, 1),),
    )
    shown = governor_document(state, plan(), now)
    window = {"max": 5, "per_seconds": 3_600, "window_start": start, "resets_at": end}
    assert shown == {
        "state": "refusing",
        "since": after(-9),
        "causes": [
            {"cause": "budget", "since": after(-9), "until": after(9)},
            {"cause": "unknown", "since": after(-5), "action_id": ACTION},
        ],
        "rules": [
            {"rule": "cpu-high", "level": "acted", "mode": "approve", "cooldown_until": after(60)},
            {"rule": "gone", "level": "clear", "cooldown_until": after(30)},
        ],
        "failures": 2,
        "failures_max": 3,
        "budget": {"used": 5, **window},
        "shadowed": {"used": 2, **window},
        "throttle": {"requests": 10, "per_seconds": 60, "until": after(1), "action_id": ACTION},
    }
    later = governor_document(state, plan(), after(7_200))
    assert "throttle" not in later
    assert "shadowed" not in later
    assert later["budget"]["used"] == 0
    assert [rule["rule"] for rule in later["rules"]] == ["cpu-high"]
    nothing = {"state": "boot", "causes": [], "rules": [], "failures": 0}
    assert governor_document(GovernorState(), None, now) == nothing


def test_a_governor_and_its_action_are_told_line_by_line() -> None:
    state = GovernorState(
        rules={HIGH: RuleState("acted", after(60)), RuleName("gone"): RuleState("clear", after(30))},
        refusing={
            "pause": Refusing(after(-5)),
            "budget": Refusing(after(-9), until=after(9)),
            "hold": Refusing(after(-1)),
        },
        throttle=Throttled(10, 60, after(1), ACTION),
    )
    action = InFlight(ACTION, HIGH, Throttle(10, 60, 300), 3, 10, after(0), CPU, "1", deadline=after(630))
    document = {
        "tenant_id": "acme",
        "as_of": {"seq": 7, "time": "t"},
        "governor": governor_document(state, plan(), after(0)),
        "action": in_flight_document("acme", action),
    }
    assert governor.lines_of(document) == [
        "tenant       acme",
        "as of        receipt 7, t",
        f"governor     refusing, since {after(-9)}",
        f"cause        budget, since {after(-9)}, until {after(9)}",
        f"cause        hold, since {after(-1)}, until compliance permits actions (holds list)",
        f"cause        pause, since {after(-5)}, until a person resumes it",
        f"rule         cpu-high: acted, mode approve, rests until {after(60)}",
        f"rule         gone: clear, not in the plan any more, rests until {after(30)}",
        "failures     0 in a row; the breaker opens at 3",
        "budget       0 of 5 actions per 3,600 s, resets at 2026-11-24T13:00:00.000000Z",
        f"throttle     10 in 60 s until {after(1)}, by the action act_1",
        f"action       {after(0)}  ready              acme  cpu-high  throttle  act_1",
    ]


@pytest.mark.anyio
async def test_an_action_is_told_line_by_line(one: Instance) -> None:
    action = await asked(one)
    assert "approval     1 approval wanted before 2026-11-24T12:45:15.000000Z; by nobody yet" in actions.lines_of(
        await whole(one, action)
    )
    await attempted(one, action, "failed", "410 Gone")
    shown = await whole(one, action)
    assert actions.lines_of(shown)[:8] == [
        f"action       {action} of acme",
        f"state        failed, since {after(0)}",
        f"rule         cpu-high: cpu was 91.5 at {after(0)}",
        'order        {"idempotent":true,"type":"webhook","url":"https://hooks.example/scale"}',
        "attempts     1 of 3, 10 s each",
        "approval     1 approval wanted before 2026-11-24T12:45:15.000000Z; by anna",
        'target       {"url":"https://x"}',
        f"deadline     {after(630)}",
    ]
    assert actions.lines_of(shown)[-1] == f"receipt      5  {after(0)}  ActionSettled by executor:1"
    assert actions.summary_of(shown) == (f"{after(0)}  failed             acme  cpu-high  webhook  {action}  410 Gone")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("actions", "list", "--status", "done"), 2, "--status 'done' is none of awaiting_approval, ready"),
        (("actions", "list", "--status", "failed"), 2, "without --tenant, those in flight are listed"),
        (("actions", "list", "-t", "carol"), 1, "carol has no ledger"),
        (("actions", "list", "-t", "a/b"), 2, "a tenant id is 1 to 128"),
        (("actions", "show", "acme", "a-1"), 1, "acme has no action a-1"),
        (("actions", "show", "acme", "a/1"), 2, "a name is 1 to 128"),
        (("actions", "deny", "acme", "../x"), 2, "a name is 1 to 128"),
        (("actions", "approve", "acme", "a-1"), 2, "an approval is a person's: give --url"),
        (("governor", "show", "carol"), 1, "carol has no ledger"),
        (("governor", "pause", "carol"), 1, "carol has no ledger"),
        (("governor", "pause", "a/b"), 2, "a tenant id is 1 to 128"),
    ],
)
def test_what_is_not_there_or_not_meant_is_said(
    stored: CommandLine, arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert stored(*arguments) == status
    assert said in stored.err
    assert stored("tenants", "list", "--json") == 0
    assert [each["tenant_id"] for each in stored.documents] == ["acme", "bob"]


def test_a_place_without_a_store_is_not_made_into_one(cli: CommandLine) -> None:
    assert cli("governor", "pause", "acme") == 69
    assert not (cli.directory / "data" / "tai.db").exists()


def test_a_store_without_actions_lists_none(stored: CommandLine) -> None:
    assert (stored("actions", "list"), stored.out) == (0, "")
    assert (stored("actions", "list", "-t", "acme"), stored.out) == (0, "")


def test_what_is_told_to_the_store_is_sealed_by_the_command_line(stored: CommandLine) -> None:
    assert stored("governor", "pause", "acme", "--reason", "night", "--json") == 0
    (decided,) = stored.documents
    assert decided["receipt"]["cause"]["by"] == "command-line"
    assert stored("governor", "pause", "acme") == 1
    assert "refused   invalid_transition: the governor is paused already." in stored.out
    assert stored("receipts", "show", "-t", "acme", "--seq", "4") == 0
    assert 'part      reason: "night"' in stored.out
    assert stored("governor", "resume", "acme", "-q") == 0
    assert stored.out == ""
