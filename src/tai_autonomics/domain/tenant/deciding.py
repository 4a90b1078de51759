"""The answer to one command: gates in order, its governor, then what that means for the tenant's plan."""

from typing import Literal

from msgspec import Struct

from tai_autonomics.domain.decider import Accepted, Refused, fold
from tai_autonomics.domain.entitlement import (
    Activate,
    ApplyPlanChange,
    EndTerm,
    EntitlementEvent,
    EntitlementTimer,
    Expire,
    Verify,
    elapse,
)
from tai_autonomics.domain.entitlement import decide as decide_entitlement
from tai_autonomics.domain.entitlement import evolve as evolve_entitlement
from tai_autonomics.domain.gates import Failed, Passed, entitlement_is_in_service, quota_is_available, quota_is_in_plan
from tai_autonomics.domain.identifiers import EntitlementId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan, Plans, highest
from tai_autonomics.domain.quota import Consume, Release, Reset, consume, use_at
from tai_autonomics.domain.quota import decide as decide_quota
from tai_autonomics.domain.tenant.asking import effective_plan, tenant_is_entitled
from tai_autonomics.domain.tenant.commands import Command, Erase, LifecycleCommand, Restore
from tai_autonomics.domain.tenant.events import EffectivePlanChanged, Event, LedgerRestored, PartErased, RestoredHead
from tai_autonomics.domain.tenant.state import TenantState, entitlement_of, recounted


class Bounds(Struct, frozen=True):
    """
    `entitlements_max` counts every entitlement of the tenant, final ones too, because each takes memory.

    `observed_ahead_seconds_max` is how far a source's own time may be ahead of ours.
    """

    entitlements_max: int
    observed_ahead_seconds_max: int


class Subject(Struct, frozen=True, gc=False):
    """What a command is about. A receipt's id is its seq, a ledger's its ULID."""

    kind: Literal["entitlement", "quota", "receipt", "ledger"]
    id: str


class Decision(Struct, frozen=True):
    """
    The answer to one command. `gates` are those that were asked, up to and including the first failure.

    `was` and `to` are the status before and after, of a subject with a lifecycle; both the present one in a refusal.
    """

    subject: Subject
    was: str | None
    to: str | None
    gates: tuple[Passed | Failed, ...]
    outcome: Accepted[Event] | Refused


def decide(command: Command, state: TenantState, *, now: Moment, plans: Plans, bounds: Bounds) -> Decision:
    """
    The answer to the command at `now`, which is never earlier than the last decision's time.

    The caller decides first what `next_timer(state, now)` names, until that is nothing; but a Restore goes before all,
    because time passes on in a ledger only after it is said that it was restored.
    """
    match command:
        case Consume():
            return _consume(command, state, now, plans)
        case Verify():
            return _verify(command, state, now, plans, bounds)
        case Release() | Reset():
            return _correct(command, state, now, plans)
        case Activate() | Expire() | EndTerm() | ApplyPlanChange():
            return _elapse(command, state, now, plans)
        case Erase():
            return _erase(command, state, plans)
        case Restore():
            return _restore(command, state, plans)
        case _:
            return _change(command, state, now, plans, bounds)


def _consume(command: Consume, state: TenantState, now: Moment, plans: Plans) -> Decision:
    subject = Subject("quota", command.quota)
    plan = effective_plan(state, plans)
    entitled = tenant_is_entitled(command.entitlement_id, state, plan)
    if isinstance(entitled, Failed):
        return _refused(subject, None, (), entitled)
    quota = None if plan is None else plan.quotas.get(command.quota)
    if quota is None:
        return _refused(subject, None, (entitled,), quota_is_in_plan(command.quota, plan))
    use = use_at(now, quota.per, state.quotas.get(command.quota))
    available = quota_is_available(quota, use, command.amount)
    if isinstance(available, Failed):
        return _refused(subject, None, (entitled,), available)
    events = _with_plan(consume(command, quota, use), state, plan)
    return Decision(subject, None, None, (entitled, available), Accepted(events))


def _correct(command: Release | Reset, state: TenantState, now: Moment, plans: Plans) -> Decision:
    subject = Subject("quota", command.quota)
    plan = effective_plan(state, plans)
    quota = None if plan is None else plan.quotas.get(command.quota)
    match decide_quota(command, quota, state.quotas.get(command.quota), now=now):
        case Refused() as refused:
            return Decision(subject, None, None, (), refused)
        case Accepted(events):
            return Decision(subject, None, None, (), Accepted(_with_plan(events, state, plan)))


def _verify(command: Verify, state: TenantState, now: Moment, plans: Plans, bounds: Bounds) -> Decision:
    before = entitlement_of(state, command.entitlement_id)
    entitled = entitlement_is_in_service(command.entitlement_id, before)
    if isinstance(entitled, Failed):
        return _refused(Subject("entitlement", command.entitlement_id), before.status, (), entitled)
    outcome = decide_entitlement(
        command, before, now=now, plans=plans, observed_ahead_seconds_max=bounds.observed_ahead_seconds_max
    )
    return _concluded(command.entitlement_id, outcome, state, plans, (entitled,))


def _change(command: LifecycleCommand, state: TenantState, now: Moment, plans: Plans, bounds: Bounds) -> Decision:
    outcome = decide_entitlement(
        command,
        entitlement_of(state, command.entitlement_id),
        now=now,
        plans=plans,
        observed_ahead_seconds_max=bounds.observed_ahead_seconds_max,
    )
    is_new = command.entitlement_id not in state.entitlements
    if is_new and isinstance(outcome, Accepted) and len(state.entitlements) >= bounds.entitlements_max:
        outcome = _too_many(bounds.entitlements_max)
    return _concluded(command.entitlement_id, outcome, state, plans)


def _elapse(timer: EntitlementTimer, state: TenantState, now: Moment, plans: Plans) -> Decision:
    outcome = elapse(timer, entitlement_of(state, timer.entitlement_id), now=now)
    return _concluded(timer.entitlement_id, outcome, state, plans)


def _erase(command: Erase, state: TenantState, plans: Plans) -> Decision:
    events = _with_plan((PartErased(command.seq, command.part),), state, effective_plan(state, plans))
    return Decision(Subject("receipt", str(command.seq)), None, None, (), Accepted(events))


def _restore(command: Restore, state: TenantState, plans: Plans) -> Decision:
    restored = LedgerRestored(RestoredHead(command.seq, command.hash))
    events = _with_plan((restored,), state, effective_plan(state, plans))
    return Decision(Subject("ledger", command.ledger), None, None, (), Accepted(events))


def _concluded(
    entitlement_id: EntitlementId,
    outcome: Accepted[EntitlementEvent] | Refused,
    state: TenantState,
    plans: Plans,
    gates: tuple[Passed | Failed, ...] = (),
) -> Decision:
    """The decision on an entitlement, with what its events mean for the tenant's effective plan."""
    subject = Subject("entitlement", entitlement_id)
    before = entitlement_of(state, entitlement_id)
    match outcome:
        case Refused():
            return Decision(subject, before.status, before.status, gates, outcome)
        case Accepted(events):
            after = fold(evolve_entitlement, before, events)
            plan = highest(recounted(state.in_service, before=before, after=after), plans)
            return Decision(subject, before.status, after.status, gates, Accepted(_with_plan(events, state, plan)))


def _refused(subject: Subject, status: str | None, passed: tuple[Passed, ...], failed: Failed) -> Decision:
    assert failed.reason != "feature_not_in_plan"  # only a check asks for a feature
    refused = Refused(failed.reason, failed.detail, failed.next_step)
    return Decision(subject, status, status, (*passed, failed), refused)


def _with_plan(events: tuple[Event, ...], state: TenantState, plan: Plan | None) -> tuple[Event, ...]:
    """The events, and the change of the effective plan, if they or another plans file made one."""
    name = None if plan is None else plan.name
    if name == state.plan:
        return events
    return (*events, EffectivePlanChanged(was=state.plan, plan=name))


def _too_many(entitlements_max: int) -> Refused:
    detail = f"the tenant has {entitlements_max} entitlements already, final ones counted"
    return Refused("too_many_entitlements", detail, "an operator can raise TAI_ENTITLEMENTS_MAX")
