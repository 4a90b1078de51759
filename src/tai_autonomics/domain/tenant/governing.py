"""What the autonomic governor decides, put in its place: the gates before it, and what follows for the tenant after."""

from typing import Final

from msgspec.structs import replace

from tai_autonomics.domain import fleet
from tai_autonomics.domain.actions import SuspendEntitlements
from tai_autonomics.domain.budgets import use_at as budget_use_at
from tai_autonomics.domain.compliance import is_closed
from tai_autonomics.domain.decider import Accepted, Refused, fold
from tai_autonomics.domain.entitlement import IN_SERVICE, Suspend
from tai_autonomics.domain.entitlement import decide as decide_entitlement
from tai_autonomics.domain.gates import (
    Ask,
    Failed,
    Passed,
    action_is_within_budget,
    compliance_permits,
    governor_is_not_refusing,
)
from tai_autonomics.domain.governor import (
    ActionRequested,
    ActionSettled,
    ActionTimer,
    ApproveAction,
    BeginAttempt,
    EndBudget,
    EndThrottle,
    GovernorEvent,
    LapseApproval,
    LoseAttempt,
    Observe,
    PassDeadline,
    PauseGovernor,
    ReportResult,
    ResumeGovernor,
    Surroundings,
    UngatedCommand,
    budget_use,
    decide,
    elapse,
    reconsider,
    stage_of,
    status_of,
)
from tai_autonomics.domain.identifiers import ActionId, QuotaName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan, Plans
from tai_autonomics.domain.quota import use_at
from tai_autonomics.domain.rules import QuotaFacts
from tai_autonomics.domain.tenant.asking import effective_plan, tenant_is_entitled
from tai_autonomics.domain.tenant.decisions import Bounds, Decision, Kind, Subject, refused_by, with_consequences
from tai_autonomics.domain.tenant.events import Event
from tai_autonomics.domain.tenant.evolving import evolve
from tai_autonomics.domain.tenant.state import TenantState

GOVERNOR: Final = Subject("governor", "autonomic")
SUSPENDED_MAX: Final = 64
"""As many entitlements one receipt can suspend; an action that would have to suspend more fails."""


def surroundings(state: TenantState, now: Moment, plans: Plans, bounds: Bounds, action_id: ActionId) -> Surroundings:
    """What the governor is told of the tenant."""
    plan = effective_plan(state, plans)
    closed = is_closed(() if plan is None else plan.requires, "actions", state.compliance, now)
    facts = _quota_facts(state, plan, now)
    return Surroundings(now, plan, facts, action_id, bounds.observed_ahead_seconds_max, closed)


def observe(command: Observe, state: TenantState, around: Surroundings, ask: Ask) -> Decision:
    """Signals; with the gates of the action that they lead to, if they do."""
    was = status_of(state.governor)
    entitled = ask(tenant_is_entitled, None, state, around.plan)
    if isinstance(entitled, Failed):
        return refused_by(GOVERNOR, was, (), entitled)
    match decide(command, state.governor, around):
        case Refused() as refused:
            return Decision(GOVERNOR, was, was, (entitled,), refused)
        case Accepted(events):
            acts = any(isinstance(each, ActionRequested) for each in events)
            gates = _gates_of_act(state, around, ask) if acts else (entitled,)
            return _governors(events, gates, state, around)


def steer(
    command: PauseGovernor | ResumeGovernor | EndBudget | EndThrottle, state: TenantState, around: Surroundings
) -> Decision:
    """What stops the governor's rules and lets them go on, and the end of a throttle."""
    was = status_of(state.governor)
    match command:
        case EndBudget() | EndThrottle():
            outcome = elapse(command, state.governor, around)
        case _:
            outcome = decide(command, state.governor, around)
    match outcome:
        case Refused() as refused:
            return Decision(GOVERNOR, was, was, (), refused)
        case Accepted(events):
            return _governors(events, (), state, around)


def approve(command: ApproveAction, state: TenantState, around: Surroundings, ask: Ask) -> Decision:
    """A person's approval meets the gates again that the rule met."""
    subject, was = Subject("action", command.action_id), _stage(state, command.action_id)
    passed: tuple[Passed, ...] = ()
    for gate in _gates_of_act(state, around, ask):
        if isinstance(gate, Failed):
            return refused_by(subject, was, passed, gate)
        passed = (*passed, gate)
    match decide(command, state.governor, around):
        case Refused() as refused:
            return Decision(subject, was, was, passed, refused)
        case Accepted(events):
            after = fold(evolve, state, events)
            to = _stage(after, command.action_id)
            return Decision(
                subject, was, to, passed, Accepted(with_consequences(events, state, around.plan, around.now))
            )


def act_on(
    command: UngatedCommand | ActionTimer, state: TenantState, around: Surroundings, plans: Plans, ask: Ask
) -> Decision:
    """What becomes of an action; once it is settled, every rule is asked about what came meanwhile."""
    subject, was = Subject("action", command.action_id), _stage(state, command.action_id)
    match command:
        case LoseAttempt() | LapseApproval() | PassDeadline():
            outcome = elapse(command, state.governor, around)
        case _:
            outcome = decide(_within_bounds(command, state), state.governor, around)
    match outcome:
        case Refused() as refused:
            return Decision(subject, was, was, (), refused)
        case Accepted(said):
            return _followed(command, subject, was, said, state, around, plans, ask)


def reserve_in_fleet(command: fleet.Reserve, state: TenantState, now: Moment, plans: Plans, ask: Ask) -> Decision:
    """One action more of its type over all tenants; decided in the fleet's own ledger."""
    subject = Subject("action", command.action_id)
    budget = plans.fleet.get(command.type)
    use = None if budget is None else budget_use_at(now, budget, state.fleet.get(command.type))
    within = ask(action_is_within_budget, use, of="fleet")
    if isinstance(within, Failed):
        return refused_by(subject, None, (), within)
    return Decision(subject, None, None, (within,), Accepted(fleet.reserve(command, use).events))


def _followed(
    command: UngatedCommand | ActionTimer,
    subject: Subject,
    was: str | None,
    said: tuple[Event, ...],
    state: TenantState,
    around: Surroundings,
    plans: Plans,
    ask: Ask,
) -> Decision:
    settled = next((event for event in said if isinstance(event, ActionSettled)), None)
    gates: tuple[Passed | Failed, ...] = ()
    if settled is not None:
        said = (*said, *_suspensions(settled, state, around.now, plans))
    after = fold(evolve, state, said)
    plan = effective_plan(after, plans)
    if settled is not None and plan is around.plan:
        more = reconsider(after.governor, around)
        said = (*said, *more)
        if any(isinstance(event, ActionRequested) for event in more):
            gates = _gates_of_act(after, around, ask)
    to = _stage(after, command.action_id) if settled is None else settled.result
    kind: Kind = "action_attempt" if isinstance(command, BeginAttempt) else "action_result"
    return Decision(subject, was, to, gates, Accepted(with_consequences(said, state, plan, around.now)), kind)


def _governors(
    events: tuple[GovernorEvent, ...], gates: tuple[Passed | Failed, ...], state: TenantState, around: Surroundings
) -> Decision:
    """A decision whose subject is the governor."""
    said = with_consequences(events, state, around.plan, around.now)
    to = status_of(fold(evolve, state, said).governor)
    return Decision(GOVERNOR, status_of(state.governor), to, gates, Accepted(said))


def _gates_of_act(state: TenantState, around: Surroundings, ask: Ask) -> tuple[Passed | Failed, ...]:
    return (
        ask(compliance_permits, "actions", state.compliance, around.plan, around.now),
        ask(tenant_is_entitled, None, state, around.plan),
        ask(governor_is_not_refusing, state.governor),
        ask(action_is_within_budget, budget_use(state.governor, around)),
    )


def _within_bounds(command: UngatedCommand, state: TenantState) -> UngatedCommand:
    """A suspension of more than one receipt holds has failed."""
    action = state.governor.in_flight
    if not isinstance(command, ReportResult) or action is None or not isinstance(action.order, SuspendEntitlements):
        return command
    if command.outcome != "succeeded" or sum(state.in_service.values()) <= SUSPENDED_MAX:
        return command
    detail = f"more than {SUSPENDED_MAX} entitlements are in service: nothing was suspended"
    return replace(command, outcome="failed", detail=detail)


def _suspensions(settled: ActionSettled, state: TenantState, now: Moment, plans: Plans) -> tuple[Event, ...]:
    """What the entitlement governor makes of a suspension that succeeded."""
    action = state.governor.in_flight
    if settled.result != "succeeded" or action is None or not isinstance(action.order, SuspendEntitlements):
        return ()
    events: tuple[Event, ...] = ()
    for entitlement_id, entitlement in state.entitlements.items():
        if entitlement.status in IN_SERVICE:
            outcome = decide_entitlement(
                Suspend(entitlement_id), entitlement, now=now, plans=plans, observed_ahead_seconds_max=0
            )
            assert isinstance(outcome, Accepted)
            events = (*events, *outcome.events)
    return events


def _stage(state: TenantState, action_id: ActionId) -> str | None:
    action = state.governor.in_flight
    return stage_of(action) if action is not None and action.id == action_id else None


def _quota_facts(state: TenantState, plan: Plan | None, now: Moment) -> dict[QuotaName, QuotaFacts]:
    facts: dict[QuotaName, QuotaFacts] = {}
    for quota in () if plan is None else plan.quotas.values():
        used = use_at(now, quota.per, state.quotas.get(quota.name)).used
        facts[quota.name] = QuotaFacts(quota.limit, used, None if quota.limit is None else max(quota.limit - used, 0))
    return facts
