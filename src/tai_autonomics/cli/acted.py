"""
A governor and its actions from a store, as the service shows them: the state has what is in flight, receipts the rest.

    action id --the seq in it--> the receipt that requested it --> receipts about the action, or about the ledger
"""

import re
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from tai_autonomics.application.codec import events_of
from tai_autonomics.application.ports import Store
from tai_autonomics.domain.actions import type_of
from tai_autonomics.domain.budgets import BudgetUse, use_at
from tai_autonomics.domain.governor import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    AttemptEnded,
    GovernorState,
    InFlight,
    LateResultRecorded,
    stage_of,
    status_of,
)
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan
from tai_autonomics.domain.rules import Governance
from tai_autonomics.errors import Unknown
from tai_autonomics.ledger.records import Receipt

PAGE_RECEIPTS: Final = 500
NO_RULES: Final = Governance()
Happened = ActionRequested | ActionApproved | ActionAttempted | AttemptEnded | LateResultRecorded | ActionSettled


class _Cause(Struct):
    by: str


class _Caused(Struct):
    cause: _Cause


_ID: Final = re.compile(r"[0-9A-Z]+-(?P<seq>[1-9][0-9]{0,15})-[0-9a-f]+", re.ASCII)
_caused: Final = msgspec.json.Decoder(_Caused)


def governor_document(state: GovernorState, plan: Plan | None, now: Moment) -> dict[str, Any]:
    """How the governor stands under the effective plan; what is over by `now` is left out."""
    governance = NO_RULES if plan is None else plan.governor
    budget, throttle = governance.budget, state.throttle
    shadowed = None if budget is None or state.shadowed is None else use_at(now, budget, state.shadowed)
    return _without_none(
        state=status_of(state),
        since=_since(state),
        causes=[
            {"cause": cause, **_without_none(since=why.since, until=why.until, action_id=why.action_id)}
            for cause, why in sorted(state.refusing.items())
        ],
        rules=_rules(state, governance, now),
        failures=state.failures,
        failures_max=governance.failures_max,
        budget=None if budget is None else _budget(use_at(now, budget, state.budget)),
        shadowed=None if shadowed is None or not shadowed.used else _budget(shadowed),
        throttle=None if throttle is None or throttle.until <= now else msgspec.to_builtins(throttle),
    )


def in_flight_document(tenant: str, action: InFlight) -> dict[str, Any]:
    """The action in flight."""
    return _without_none(
        action_id=action.id,
        tenant_id=tenant,
        rule=action.rule,
        type=type_of(action.order),
        state=stage_of(action),
        requested_at=action.requested_at,
        metric=action.metric,
        value=action.value,
        attempts=action.attempts,
        attempts_max=action.attempts_max,
        timeout_seconds=action.timeout_seconds,
        order=msgspec.to_builtins(action.order),
        approval=None if action.approval is None else msgspec.to_builtins(action.approval),
        approved_by=list(action.approved_by) or None,
        deadline=action.deadline,
        leased_until=action.leased_until,
        retry_at=action.retry_at,
        target=action.target,
    )


async def settled_documents(
    store: Store, tenant: str, *, ledger: str, result: str | None, limit: int
) -> list[dict[str, Any]]:
    """The newest `limit` that are settled, or settled so; the newest first."""
    newest: deque[ActionSettled] = deque(maxlen=limit)
    async for receipt in _settling(store, tenant, ledger):
        newest.extend(
            event
            for event in events_of(receipt)
            if isinstance(event, ActionSettled) and (result is None or event.result == result)
        )
    return [_settled(tenant, (await _request(store, tenant, each.action_id))[1], each) for each in reversed(newest)]


async def whole_document(
    store: Store, tenant: str, action_id: str, *, ledger: str, in_flight: InFlight | None
) -> dict[str, Any]:
    """The action with everything that its receipts say of it, in order. Raises Unknown."""
    asking, requested = await _request(store, tenant, action_id)
    receipts = [asking]
    for subject in (f"action/{action_id}", f"ledger/{ledger}"):
        receipts += [each async for each in _receipts(store, tenant, asking.seq, subject=subject)]
    history = [
        (receipt, event)
        for receipt in sorted(receipts, key=lambda each: each.seq)
        for event in events_of(receipt)
        if isinstance(event, Happened) and event.action_id == action_id
    ]
    settled = next((event for _, event in history if isinstance(event, ActionSettled)), None)
    if settled is not None:
        document = {**_settled(tenant, requested, settled), **_meanwhile([event for _, event in history])}
    elif in_flight is not None and in_flight.id == action_id:
        document = in_flight_document(tenant, in_flight)
    else:
        raise Unknown(f"the action {action_id} of {tenant} was requested while it was read: ask again")
    told = [
        {"seq": receipt.seq, "time": receipt.time, "by": _by(receipt), "event": msgspec.to_builtins(event)}
        for receipt, event in history
    ]
    return {**document, "history": told}


async def _settling(store: Store, tenant: str, ledger: str) -> AsyncIterator[Receipt]:
    """Receipts that can settle an action, in order: results, and a restored ledger's first word."""
    restorations = [each async for each in _receipts(store, tenant, 0, subject=f"ledger/{ledger}")]
    async for receipt in _receipts(store, tenant, 0, type="action_result"):
        while restorations and restorations[0].seq < receipt.seq:
            yield restorations.pop(0)
        yield receipt
    for each in restorations:
        yield each


async def _receipts(
    store: Store, tenant: str, after: int, *, type: str | None = None, subject: str | None = None
) -> AsyncIterator[Receipt]:
    while page := await store.receipts(tenant, after, PAGE_RECEIPTS, type=type, subject=subject):
        for receipt in page:
            yield receipt
        after = page[-1].seq


async def _request(store: Store, tenant: str, action_id: str) -> tuple[Receipt, ActionRequested]:
    """The receipt that requested the action, which its id names by its seq. Raises Unknown."""
    named = _ID.fullmatch(action_id)
    asking = None if named is None else await store.receipt(tenant, int(named["seq"]))
    for event in () if asking is None else events_of(asking):
        if isinstance(event, ActionRequested) and event.action_id == action_id:
            assert asking is not None
            return asking, event
    raise Unknown(f"{tenant} has no action {action_id}")


def _settled(tenant: str, requested: ActionRequested, settled: ActionSettled) -> dict[str, Any]:
    return _without_none(
        action_id=requested.action_id,
        tenant_id=tenant,
        rule=requested.rule,
        type=type_of(requested.order),
        state=settled.result,
        requested_at=requested.requested_at,
        metric=requested.metric,
        value=requested.value,
        attempts=settled.attempts,
        attempts_max=requested.attempts_max,
        timeout_seconds=requested.timeout_seconds,
        order=msgspec.to_builtins(requested.order),
        approval=None if requested.approval is None else msgspec.to_builtins(requested.approval),
        settled_at=settled.at,
        detail=settled.detail,
        by=settled.by,
    )


def _meanwhile(history: list[Happened]) -> dict[str, Any]:
    """What a settled action's request, approvals and attempts say of it besides."""
    approvals = [event for event in history if isinstance(event, ActionApproved)]
    attempts = [event for event in history if isinstance(event, ActionAttempted)]
    deadlines = [
        event.deadline
        for event in history
        if isinstance(event, ActionRequested | ActionApproved) and event.deadline is not None
    ]
    return _without_none(
        approved_by=[event.by for event in approvals] or None,
        deadline=deadlines[-1] if deadlines else None,
        target=attempts[-1].target if attempts else None,
    )


def _rules(state: GovernorState, governance: Governance, now: Moment) -> list[dict[str, Any]]:
    """Every rule of the plan, in its order, and those that left it and still rest."""
    modes = {rule.name: rule.mode for rule in governance.rules}
    left = [name for name in state.rules if name not in modes]
    documents = []
    for name in (*modes, *left):
        known = state.rules.get(name)
        until = None if known is None else known.cooldown_until
        rests = until if until is not None and now < until else None
        if name in modes or rests is not None:
            level = "clear" if known is None else known.level
            documents.append(_without_none(rule=name, level=level, mode=modes.get(name), cooldown_until=rests))
    return documents


def _since(state: GovernorState) -> Moment | None:
    if state.refusing:
        return min(why.since for why in state.refusing.values())
    return None if state.in_flight is None else state.in_flight.requested_at


def _budget(use: BudgetUse) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.to_builtins(use)
    members["resets_at"] = members.pop("window_end")
    return members


def _by(receipt: Receipt) -> str:
    return _caused.decode(receipt.body).cause.by


def _without_none(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
