"""
What is shown of a governor and of actions: the one in flight from the state, every settled one from its receipts.

    action id --the seq in it--> the receipt that requested it --> receipts that concern actions, from there on
"""

import asyncio
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct

from tai_autonomics.application.codec import events_of
from tai_autonomics.application.ports import Store
from tai_autonomics.application.sealing import request_seq
from tai_autonomics.domain.actions import ActionType, Order, Result, Target, type_of
from tai_autonomics.domain.budgets import BudgetUse, use_at
from tai_autonomics.domain.governor import (
    INITIAL_STATE,
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    ApprovalWanted,
    AttemptEnded,
    GovernorState,
    InFlight,
    LateResultRecorded,
    Stage,
    Throttled,
    evolve,
    rule_state_of,
    stage_of,
    status_of,
)
from tai_autonomics.domain.identifiers import RuleName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan
from tai_autonomics.domain.rules import Governance, Mode
from tai_autonomics.ledger.records import Receipt

State: TypeAlias = Stage | Result
"""Where an action stands: its stage while it is in flight, and then its result."""
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
RESULTS: Final[tuple[Result, ...]] = get_args(Result)

ActionEvent: TypeAlias = (
    ActionRequested | ActionApproved | ActionAttempted | AttemptEnded | LateResultRecorded | ActionSettled
)

SCANNED_MAX: Final = 500
"""Receipts that one page of settled actions is made of; an action has two at least, the request aside."""
HISTORY_RECEIPTS_MAX: Final = 500
"""
Receipts that one action's history is looked for in, from its request on.

Only one is in flight at a time, so until it is settled they are its own, but for late results of older attempts.
"""
READS_AT_ONCE_MAX: Final = 8


class CauseView(Struct, frozen=True, gc=False, omit_defaults=True):
    """Why no rule acts. `until`: it ends by itself; `action_id`: the action of which nobody knows."""

    cause: str
    since: Moment
    until: Moment | None = None
    action_id: str | None = None


class RuleView(Struct, frozen=True, gc=False, omit_defaults=True):
    """A rule; without a `mode`, one that the plan has no more. `cooldown_until` is there while it rests."""

    rule: str
    level: str
    mode: Mode | None = None
    cooldown_until: Moment | None = None


class BudgetView(Struct, frozen=True, gc=False):
    """What is used of a budget in its present window."""

    used: int
    max: int
    per_seconds: int
    window_start: Moment
    resets_at: Moment


class GovernorView(Struct, frozen=True, gc=False, omit_defaults=True):
    """
    A governor as of now; members that do not apply are absent.

    `since`: when it began to refuse or to intervene; of other states nobody asks. `failures` in a row, and with
    `failures_max` the breaker opens. `shadowed`: what rules in shadow mode would have used of the budget, besides.
    """

    state: str
    causes: tuple[CauseView, ...]
    rules: tuple[RuleView, ...]
    failures: int
    since: Moment | None = None
    failures_max: int | None = None
    budget: BudgetView | None = None
    shadowed: BudgetView | None = None
    throttle: Throttled | None = None


class ActionView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    An action; members that do not apply are absent.

    `attempts` is how many were begun. `order` is the rule's; `target` what it came to, in absolute terms. `detail` and
    `settled_at` come with the result; `by` is who denied or cancelled it.
    """

    action_id: str
    tenant_id: str
    rule: str
    type: ActionType
    state: State
    requested_at: Moment
    metric: str
    value: str
    attempts: int
    attempts_max: int
    timeout_seconds: int
    order: Order
    approval: ApprovalWanted | None = None
    approved_by: tuple[str, ...] = ()
    deadline: Moment | None = None
    leased_until: Moment | None = None
    retry_at: Moment | None = None
    target: Target | None = None
    settled_at: Moment | None = None
    detail: str | None = None
    by: str | None = None


class Happened(Struct, frozen=True):
    """What a receipt says of an action. `by` is who caused it: a caller, an executor, or time."""

    seq: int
    time: Moment
    by: str
    event: ActionEvent


class ActionShown(ActionView, frozen=True, kw_only=True, omit_defaults=True):
    """An action, with everything that its receipts say of it, in order."""

    history: tuple[Happened, ...]


class SettledPage(Struct, frozen=True):
    """Settled actions, the newest first; the next page is of those before the receipt `before`, None: there is none."""

    items: tuple[ActionView, ...]
    before: int | None


class _Cause(Struct, frozen=True):
    by: str


class _Caused(Struct, frozen=True):
    cause: _Cause


_caused: Final = msgspec.json.Decoder(_Caused)
_NO_RULES: Final = Governance()


# ---- from the state


def governor_view(governor: GovernorState, plan: Plan | None, now: Moment) -> GovernorView:
    """What is shown of a governor under the effective plan; what is over at `now` is left out."""
    governance = _NO_RULES if plan is None else plan.governor
    budget, throttle = governance.budget, governor.throttle
    used = None if budget is None else use_at(now, budget, governor.budget)
    shadowed = None if budget is None else use_at(now, budget, governor.shadowed)
    return GovernorView(
        state=status_of(governor),
        causes=tuple(
            CauseView(cause, why.since, why.until, why.action_id) for cause, why in sorted(governor.refusing.items())
        ),
        rules=_rules(governor, governance, now),
        failures=governor.failures,
        since=_since(governor),
        failures_max=governance.failures_max,
        budget=None if used is None else budget_view(used),
        shadowed=None if shadowed is None or not shadowed.used else budget_view(shadowed),
        throttle=throttle if throttle is not None and now < throttle.until else None,
    )


def in_flight_view(tenant: str, action: InFlight) -> ActionView:
    return ActionView(**_in_flight_members(tenant, action))


def _since(governor: GovernorState) -> Moment | None:
    if governor.refusing:
        return min(why.since for why in governor.refusing.values())
    return None if governor.in_flight is None else governor.in_flight.requested_at


def _rules(governor: GovernorState, governance: Governance, now: Moment) -> tuple[RuleView, ...]:
    def shown(name: RuleName, mode: Mode | None) -> RuleView:
        known = rule_state_of(governor, name)
        until = known.cooldown_until
        return RuleView(name, known.level, mode, until if until is not None and now < until else None)

    named = {rule.name for rule in governance.rules}
    left = (shown(name, None) for name in governor.rules if name not in named)
    return (
        *(shown(rule.name, rule.mode) for rule in governance.rules),
        *(each for each in left if each.cooldown_until is not None),
    )


def budget_view(use: BudgetUse) -> BudgetView:
    return BudgetView(use.used, use.max, use.per_seconds, use.window_start, use.window_end)


def _in_flight_members(tenant: str, action: InFlight) -> dict[str, Any]:
    return {
        "action_id": action.id,
        "tenant_id": tenant,
        "rule": action.rule,
        "type": type_of(action.order),
        "state": stage_of(action),
        "requested_at": action.requested_at,
        "metric": action.metric,
        "value": action.value,
        "attempts": action.attempts,
        "attempts_max": action.attempts_max,
        "timeout_seconds": action.timeout_seconds,
        "order": action.order,
        "approval": action.approval,
        "approved_by": action.approved_by,
        "deadline": action.deadline,
        "leased_until": action.leased_until,
        "retry_at": action.retry_at if action.leased_until is None else None,
        "target": action.target,
    }


# ---- from the receipts


async def settled_actions(store: Store, tenant: str, before: int, limit: int, state: State | None) -> SettledPage:
    """At most `limit`, and no more than SCANNED_MAX receipts say; so a page may be short of what comes after it."""
    receipts = await store.action_receipts_before(tenant, before, SCANNED_MAX)
    found: list[ActionSettled] = []
    more = receipts[-1].seq if len(receipts) == SCANNED_MAX else None
    for receipt in receipts:
        if len(found) >= limit:
            more = receipt.seq + 1
            break
        found.extend(
            event for event in events_of(receipt) if isinstance(event, ActionSettled) and state in (None, event.result)
        )
    requests = await _requests(store, tenant, found)
    views = [
        ActionView(**_settled_members(tenant, _in_flight(evolve(INITIAL_STATE, requested)), settled))
        for requested, settled in zip(requests, found, strict=True)
        if requested is not None
    ]
    return SettledPage(tuple(views), more)


async def action_shown(store: Store, tenant: str, action_id: str) -> ActionShown | None:
    """The action with its history, or None where the tenant's ledger has no such one."""
    seq = request_seq(action_id)
    asking = None if seq is None else await store.receipt(tenant, seq)
    begun = () if asking is None else _said_of(action_id, asking)
    if asking is None or not begun or not isinstance(begun[0].event, ActionRequested):
        return None
    later = await store.action_receipts(tenant, asking.seq, HISTORY_RECEIPTS_MAX)
    history = (*begun, *(each for receipt in later for each in _said_of(action_id, receipt)))
    state = INITIAL_STATE
    for each in history:
        if isinstance(each.event, ActionSettled):
            return ActionShown(**_settled_members(tenant, _in_flight(state), each.event), history=history)
        state = evolve(state, each.event)
    return ActionShown(**_in_flight_members(tenant, _in_flight(state)), history=history)


async def _requests(store: Store, tenant: str, settled: list[ActionSettled]) -> list[ActionRequested | None]:
    """The receipt that requested an action is found by the seq in its id; None where it is archived."""
    at_once = asyncio.Semaphore(READS_AT_ONCE_MAX)

    async def one(event: ActionSettled) -> ActionRequested | None:
        seq = request_seq(event.action_id)
        assert seq is not None, f"{event.action_id} is no action's id"
        async with at_once:
            receipt = await store.receipt(tenant, seq)
        if receipt is None:
            return None
        said = _said_of(event.action_id, receipt)
        requested = next((each.event for each in said if isinstance(each.event, ActionRequested)), None)
        assert requested is not None, f"the action {event.action_id} of {tenant} was settled and never requested"
        return requested

    return list(await asyncio.gather(*map(one, settled)))


def _said_of(action_id: str, receipt: Receipt) -> tuple[Happened, ...]:
    said = [event for event in events_of(receipt) if isinstance(event, ActionEvent) and event.action_id == action_id]
    if not said:
        return ()
    by = _caused.decode(receipt.body).cause.by
    return tuple(Happened(receipt.seq, Moment(receipt.time), by, event) for event in said)


def _in_flight(state: GovernorState) -> InFlight:
    assert state.in_flight is not None, "an action is in flight from its request until it is settled"
    return state.in_flight


def _settled_members(tenant: str, action: InFlight, settled: ActionSettled) -> dict[str, Any]:
    """The action as it was, with its end."""
    return {
        **_in_flight_members(tenant, action),
        "state": settled.result,
        "attempts": settled.attempts,
        "retry_at": None,
        "settled_at": settled.at,
        "detail": settled.detail,
        "by": settled.by,
    }


TimerOfStage: TypeAlias = Literal["approval_lapse", "deadline", "attempt_lease"]
_KINDS: Final[dict[Stage, TimerOfStage]] = {
    "awaiting_approval": "approval_lapse",
    "ready": "deadline",
    "attempting": "attempt_lease",
    "retrying": "deadline",
}


def due_kinds(stage: Stage | None) -> tuple[TimerOfStage, ...]:
    """Of which kind the one timer of an action in flight is, at that stage or any."""
    return tuple(dict.fromkeys(_KINDS.values())) if stage is None else (_KINDS[stage],)
