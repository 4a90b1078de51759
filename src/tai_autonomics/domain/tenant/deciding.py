"""The answer to one command: gates in order, its governor, then what that means for the tenant's plan."""

from typing import Final

from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.compliance import Attest, ExpireHold, LapseAttestation, PlaceHold, ReleaseHold
from tai_autonomics.domain.decider import Accepted, Refused, fold
from tai_autonomics.domain.entitlement import (
    Activate,
    ApplyPlanChange,
    ChangePlan,
    EndTerm,
    EntitlementEvent,
    EntitlementTimer,
    Expire,
    Grant,
    Reinstate,
    Renew,
    Request,
    Resume,
    Verify,
    elapse,
)
from tai_autonomics.domain.entitlement import decide as decide_entitlement
from tai_autonomics.domain.entitlement import evolve as evolve_entitlement
from tai_autonomics.domain.fleet import Reserve
from tai_autonomics.domain.gates import (
    Ask,
    Failed,
    Passed,
    compliance_permits,
    entitlement_is_in_service,
    plainly,
    quota_is_available,
    quota_is_in_plan,
    rate_is_within_throttle,
)
from tai_autonomics.domain.governor import (
    ActionSettled,
    ApproveAction,
    BeginAttempt,
    CancelAction,
    DenyAction,
    EndBudget,
    EndThrottle,
    GiveUp,
    LapseApproval,
    LoseAttempt,
    Observe,
    PassDeadline,
    PauseGovernor,
    ReportResult,
    ResumeGovernor,
    Surroundings,
    restored,
    throttle_use,
)
from tai_autonomics.domain.identifiers import ActionId, EntitlementId
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import Plans, highest, retention_of
from tai_autonomics.domain.quota import Consume, Release, Reset, consume, use_at
from tai_autonomics.domain.quota import decide as decide_quota
from tai_autonomics.domain.tenant import complying, governing
from tai_autonomics.domain.tenant.asking import effective_plan, tenant_is_entitled
from tai_autonomics.domain.tenant.commands import Archive, Command, Erase, LifecycleCommand, NoteExport, Restore
from tai_autonomics.domain.tenant.decisions import Bounds, Decision, Kind, Subject, refused_by, with_consequences
from tai_autonomics.domain.tenant.events import AuditExported, LedgerArchived, LedgerRestored, PartErased, RestoredHead
from tai_autonomics.domain.tenant.governing import surroundings
from tai_autonomics.domain.tenant.state import TenantState, entitlement_of, recounted, throttle_in_force

PERMITTED: Final = (Request, Grant, ChangePlan, Resume, Reinstate, Renew)
"""What compliance must permit. What takes service away, or gives back what was used, is never held up."""


def decide(
    command: Command,
    state: TenantState,
    *,
    now: Moment,
    plans: Plans,
    bounds: Bounds,
    action_id: ActionId,
    counted: BudgetUse | None = None,
    ask: Ask = plainly,
) -> Decision:
    """
    The answer to the command at `now`, which is never earlier than the last decision's time.

    Every gate is asked through `ask`.
    `action_id` names the action that the decision may ask for, or the hold that it places; it has named no other one
    before. `counted` is what was asked of this instance under the tenant's throttle, for a consume while one is in
    force.
    The caller decides first what `next_timer(state, now)` names, until that is nothing; but a Restore goes before all,
    because time passes on in a ledger only after it is said that it was restored.
    """
    match command:
        case Consume():
            return _consume(command, state, now, plans, counted, ask)
        case Verify():
            return _verify(command, state, now, plans, bounds, ask)
        case Release() | Reset():
            return _correct(command, state, now, plans)
        case Activate() | Expire() | EndTerm() | ApplyPlanChange():
            return _elapse(command, state, now, plans)
        case PlaceHold() | ReleaseHold() | Attest() | ExpireHold() | LapseAttestation():
            return complying.decide(command, state, now, plans, action_id)
        case Erase():
            return _erase(command, state, now, plans, ask)
        case Archive():
            return _archive(command, state, now, plans, ask)
        case NoteExport():
            return _note_export(command, state, now, plans)
        case Restore():
            return _restore(command, state, surroundings(state, now, plans, bounds, action_id), plans)
        case Observe():
            return governing.observe(command, state, surroundings(state, now, plans, bounds, action_id), ask)
        case PauseGovernor() | ResumeGovernor() | EndBudget() | EndThrottle():
            return governing.steer(command, state, surroundings(state, now, plans, bounds, action_id))
        case ApproveAction():
            return governing.approve(command, state, surroundings(state, now, plans, bounds, action_id), ask)
        case (
            DenyAction()
            | CancelAction()
            | BeginAttempt()
            | ReportResult()
            | GiveUp()
            | LoseAttempt()
            | LapseApproval()
            | PassDeadline()
        ):
            return governing.act_on(command, state, surroundings(state, now, plans, bounds, action_id), plans, ask)
        case Reserve():
            return governing.reserve_in_fleet(command, state, now, plans, ask)
        case _:
            return _change(command, state, now, plans, bounds, ask)


def _consume(
    command: Consume, state: TenantState, now: Moment, plans: Plans, counted: BudgetUse | None, ask: Ask
) -> Decision:
    subject = Subject("quota", command.quota)
    plan = effective_plan(state, plans)
    permitted = ask(compliance_permits, "service", state.compliance, plan, now)
    if isinstance(permitted, Failed):
        return refused_by(subject, None, (), permitted)
    entitled = ask(tenant_is_entitled, command.entitlement_id, state, plan)
    if isinstance(entitled, Failed):
        return refused_by(subject, None, (permitted,), entitled)
    passed: tuple[Passed, ...] = (permitted, entitled)
    throttle = throttle_in_force(state, now)
    if throttle is not None:
        within = ask(rate_is_within_throttle, throttle, throttle_use(now, throttle, counted))
        if isinstance(within, Failed):
            return refused_by(subject, None, passed, within)
        passed = (*passed, within)
    quota = None if plan is None else plan.quotas.get(command.quota)
    if quota is None:
        return refused_by(subject, None, passed, quota_is_in_plan(command.quota, plan))
    use = use_at(now, quota.per, state.quotas.get(command.quota))
    available = ask(quota_is_available, quota, use, command.amount)
    if isinstance(available, Failed):
        return refused_by(subject, None, passed, available)
    events = with_consequences(consume(command, quota, use), state, plan, now)
    return Decision(subject, None, None, (*passed, available), Accepted(events))


def _correct(command: Release | Reset, state: TenantState, now: Moment, plans: Plans) -> Decision:
    subject = Subject("quota", command.quota)
    plan = effective_plan(state, plans)
    quota = None if plan is None else plan.quotas.get(command.quota)
    match decide_quota(command, quota, state.quotas.get(command.quota), now=now):
        case Refused() as refused:
            return Decision(subject, None, None, (), refused)
        case Accepted(events):
            return Decision(subject, None, None, (), Accepted(with_consequences(events, state, plan, now)))


def _verify(command: Verify, state: TenantState, now: Moment, plans: Plans, bounds: Bounds, ask: Ask) -> Decision:
    before = entitlement_of(state, command.entitlement_id)
    subject = Subject("entitlement", command.entitlement_id)
    permitted = ask(compliance_permits, "service", state.compliance, effective_plan(state, plans), now)
    if isinstance(permitted, Failed):
        return refused_by(subject, before.status, (), permitted)
    entitled = ask(entitlement_is_in_service, command.entitlement_id, before)
    if isinstance(entitled, Failed):
        return refused_by(subject, before.status, (permitted,), entitled)
    outcome = decide_entitlement(
        command, before, now=now, plans=plans, observed_ahead_seconds_max=bounds.observed_ahead_seconds_max
    )
    return _concluded(command.entitlement_id, outcome, state, now, plans, (permitted, entitled))


def _change(
    command: LifecycleCommand, state: TenantState, now: Moment, plans: Plans, bounds: Bounds, ask: Ask
) -> Decision:
    before = entitlement_of(state, command.entitlement_id)
    gates: tuple[Passed, ...] = ()
    if isinstance(command, PERMITTED):
        permitted = ask(compliance_permits, "service", state.compliance, effective_plan(state, plans), now)
        if isinstance(permitted, Failed):
            return refused_by(Subject("entitlement", command.entitlement_id), before.status, (), permitted)
        gates = (permitted,)
    outcome = decide_entitlement(
        command,
        before,
        now=now,
        plans=plans,
        observed_ahead_seconds_max=bounds.observed_ahead_seconds_max,
    )
    is_new = command.entitlement_id not in state.entitlements
    if is_new and isinstance(outcome, Accepted) and len(state.entitlements) >= bounds.entitlements_max:
        outcome = _too_many(bounds.entitlements_max)
    return _concluded(command.entitlement_id, outcome, state, now, plans, gates)


def _elapse(timer: EntitlementTimer, state: TenantState, now: Moment, plans: Plans) -> Decision:
    outcome = elapse(timer, entitlement_of(state, timer.entitlement_id), now=now)
    return _concluded(timer.entitlement_id, outcome, state, now, plans)


def _erase(command: Erase, state: TenantState, now: Moment, plans: Plans, ask: Ask) -> Decision:
    subject, plan = Subject("receipt", str(command.seq)), effective_plan(state, plans)
    until = _kept_until(command.made_at, retention_of(plan, plans).parts_seconds)
    permitted = () if command.again else (ask(compliance_permits, "erasure", state.compliance, plan, now, until),)
    for gate in permitted:
        if isinstance(gate, Failed):
            return refused_by(subject, None, (), gate)
    events = with_consequences((PartErased(command.seq, command.part),), state, plan, now)
    return Decision(subject, None, None, permitted, Accepted(events))


def _archive(command: Archive, state: TenantState, now: Moment, plans: Plans, ask: Ask) -> Decision:
    subject, plan = Subject("ledger", command.ledger), effective_plan(state, plans)
    permitted = may_archive(command.made_at, state, now, plans, ask)
    if isinstance(permitted, Failed):
        return refused_by(subject, None, (), permitted)
    said = LedgerArchived(
        command.first_seq, command.through_seq, command.hash, command.state_digest, command.archive_digest
    )
    events = with_consequences((said,), state, plan, now)
    return Decision(subject, None, None, (permitted,), Accepted(events))


def _note_export(command: NoteExport, state: TenantState, now: Moment, plans: Plans) -> Decision:
    """No gate: what was taken is written down in any case."""
    subject = Subject("ledger", command.ledger)
    if command.until <= command.since:
        detail = f"until {command.until} is not after since {command.since}"
        return Decision(subject, None, None, (), Refused("invalid_time", detail, "send a period that has a length"))
    said = AuditExported(
        command.since,
        command.until,
        command.receipts,
        command.head_seq,
        command.head_hash,
        command.manifest_digest,
    )
    events = with_consequences((said,), state, effective_plan(state, plans), now)
    return Decision(subject, None, None, (), Accepted(events))


def may_archive(
    made_at: Moment | None, state: TenantState, now: Moment, plans: Plans, ask: Ask = plainly
) -> Passed | Failed:
    """Whether compliance permits at `now` that receipts are dropped, the newest of them of that time."""
    plan = effective_plan(state, plans)
    until = _kept_until(made_at, retention_of(plan, plans).receipts_seconds)
    return ask(compliance_permits, "erasure", state.compliance, plan, now, until)


def _kept_until(made_at: Moment | None, seconds: int) -> Moment | None:
    """When the retention of what was made then ends, where there is one."""
    return plus_seconds(made_at, seconds) if made_at is not None and seconds else None


def _restore(command: Restore, state: TenantState, around: Surroundings, plans: Plans) -> Decision:
    said = (LedgerRestored(RestoredHead(command.seq, command.hash)), *restored(state.governor, around))
    events = with_consequences(said, state, effective_plan(state, plans), around.now)
    # What it says of the action in flight is that action's result.
    kind: Kind = "action_result" if any(isinstance(each, ActionSettled) for each in said) else "transition"
    return Decision(Subject("ledger", command.ledger), None, None, (), Accepted(events), kind)


def _concluded(
    entitlement_id: EntitlementId,
    outcome: Accepted[EntitlementEvent] | Refused,
    state: TenantState,
    now: Moment,
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
            return Decision(
                subject, before.status, after.status, gates, Accepted(with_consequences(events, state, plan, now))
            )


def _too_many(entitlements_max: int) -> Refused:
    detail = f"the tenant has {entitlements_max} entitlements already, final ones counted"
    return Refused("too_many_entitlements", detail, "an operator can raise TAI_ENTITLEMENTS_MAX")
