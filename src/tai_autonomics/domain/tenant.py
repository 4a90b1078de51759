"""
The governors of one tenant side by side, behind the gates.

    command --> gates, in order --> its governor --> events (Accepted) or a reason (Refused) --> state

`decide` answers, `evolve` applies; nothing else changes a tenant.
"""

from typing import Final, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.domain.decider import Accepted, Recorded, Refused, fold
from tai_autonomics.domain.decider import name_of as name_of
from tai_autonomics.domain.entitlement import (
    FINAL,
    Activate,
    ApplyPlanChange,
    Cancel,
    ChangePlan,
    EndTerm,
    EntitlementActivated,
    EntitlementCancellationScheduled,
    EntitlementCancelled,
    EntitlementEvent,
    EntitlementExpired,
    EntitlementGranted,
    EntitlementPlanChanged,
    EntitlementPlanChangeScheduled,
    EntitlementReinstated,
    EntitlementRejected,
    EntitlementRenewed,
    EntitlementRequested,
    EntitlementResumed,
    EntitlementRevoked,
    EntitlementScheduled,
    EntitlementState,
    EntitlementSuspended,
    EntitlementTimer,
    EntitlementVerified,
    Expire,
    Grant,
    Reinstate,
    Reject,
    Renew,
    Request,
    Resume,
    Revoke,
    Suspend,
    TimerKind,
    Verify,
    elapse,
    plan_in_service,
)
from tai_autonomics.domain.entitlement import INITIAL_STATE as NO_ENTITLEMENT
from tai_autonomics.domain.entitlement import decide as decide_entitlement
from tai_autonomics.domain.entitlement import evolve as evolve_entitlement
from tai_autonomics.domain.gates import (
    CheckReason,
    Failed,
    Passed,
    entitlement_is_in_service,
    plan_includes_feature,
    quota_is_available,
    quota_is_in_plan,
    some_entitlement_is_in_service,
)
from tai_autonomics.domain.identifiers import EntitlementId, FeatureName, PlanName, QuotaName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plan, Plans, Quota, highest
from tai_autonomics.domain.quota import (
    Consume,
    QuotaConsumed,
    QuotaEvent,
    QuotaReleased,
    QuotaReset,
    QuotaUse,
    Release,
    Reset,
    ThresholdCrossed,
    consume,
    use_at,
)
from tai_autonomics.domain.quota import decide as decide_quota
from tai_autonomics.domain.quota import evolve as evolve_quota

TIMER_KINDS: Final[tuple[TimerKind, ...]] = get_args(TimerKind)


class Erase(Struct, frozen=True, gc=False):
    """Takes an erasable part away from the receipt `seq`."""

    seq: int
    part: str


class PartErased(Recorded, frozen=True):
    seq: int
    part: str


class EffectivePlanChanged(Recorded, frozen=True):
    """The highest-ranked plan in service is another one now. None is no plan."""

    was: PlanName | None = None
    plan: PlanName | None = None


LifecycleCommand = Request | Grant | Reject | ChangePlan | Suspend | Resume | Cancel | Reinstate | Renew | Revoke
Command = Verify | Consume | Release | Reset | LifecycleCommand | EntitlementTimer | Erase
Event = QuotaEvent | EntitlementEvent | EffectivePlanChanged | PartErased


class Timer(Struct, frozen=True, gc=False):
    """At `due` the subject ("entitlement/<id>") changes by itself."""

    subject: str
    kind: TimerKind
    due: Moment


class SetTimer(Struct, frozen=True, gc=False):
    """Replaces the subject's timer of that kind."""

    subject: str
    kind: TimerKind
    due: Moment


class SettleTimer(Struct, frozen=True, gc=False):
    """Takes the subject's timer of that kind away, if it is set."""

    subject: str
    kind: TimerKind


class TenantState(Struct, frozen=True):
    """Everything that is known of a tenant: a fold of its events, and nothing else."""

    plan: PlanName | None = None
    """The effective plan as of the last event that changed it."""
    entitlements: dict[EntitlementId, EntitlementState] = {}
    in_service: dict[PlanName, int] = {}
    """How many entitlements in service hold each plan: kept, so that no decision walks over all entitlements."""
    quotas: dict[QuotaName, QuotaUse] = {}
    timers: dict[str, Timer] = {}
    due: Moment | None = None
    """When the earliest timer is due."""


INITIAL_STATE: Final = TenantState()


class Bounds(Struct, frozen=True):
    """`entitlements_max` counts every entitlement of the tenant, final ones too, because each takes memory."""

    entitlements_max: int
    observed_ahead_seconds_max: int


class Subject(Struct, frozen=True, gc=False):
    """What a command is about. A receipt's id is its seq."""

    kind: Literal["entitlement", "quota", "receipt"]
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


class Check(Struct, frozen=True, gc=False):
    """May the tenant do this? `amount` is what it would consume of the quota."""

    entitlement_id: EntitlementId | None = None
    feature: FeatureName | None = None
    quota: QuotaName | None = None
    amount: int = 1


class Limit(Struct, frozen=True, gc=False):
    """How a quota stands. `limit` and `remaining` None is unlimited; `resets_at` None is never."""

    limit: int | None
    used: int
    remaining: int | None
    resets_at: Moment | None = None


class CheckResult(Struct, frozen=True):
    """`reason` is the first failed gate's. `gates` are all that could be asked, also after a failure."""

    allowed: bool
    reason: CheckReason | None
    limits: dict[QuotaName, Limit]
    gates: tuple[Passed | Failed, ...]


def decide(command: Command, state: TenantState, *, now: Moment, plans: Plans, bounds: Bounds) -> Decision:
    """
    The answer to the command at `now`, which is never earlier than the last decision's time.

    The caller decides first what `next_timer(state, now)` names, until that is nothing.
    """
    match command:
        case Consume():
            return _consume(command, state, now, plans)
        case Verify():
            return _verify(command, state, now, plans, bounds)
        case Release() | Reset():
            return _correct(command, state, now, plans)
        case Activate() | Expire() | EndTerm() | ApplyPlanChange():
            outcome = elapse(command, _entitlement(state, command.entitlement_id), now=now)
            return _concluded(command.entitlement_id, outcome, state, plans)
        case Erase(seq, part):
            events = _with_plan((PartErased(seq, part),), state, highest(state.in_service, plans))
            return Decision(Subject("receipt", str(seq)), None, None, (), Accepted(events))
        case _:
            return _change(command, state, now, plans, bounds)


def evolve(state: TenantState, event: Event) -> TenantState:
    """The tenant after the event: knows no plans and no clock, so that replay needs nothing but events."""
    match event:
        case QuotaConsumed() | QuotaReleased() | QuotaReset() | ThresholdCrossed():
            quotas = {**state.quotas, event.quota: evolve_quota(state.quotas.get(event.quota), event)}
            return TenantState(state.plan, state.entitlements, state.in_service, quotas, state.timers, state.due)
        case EntitlementVerified() | PartErased():
            return state
        case EffectivePlanChanged():
            return replace(state, plan=event.plan)
        case (
            EntitlementRequested()
            | EntitlementGranted()
            | EntitlementScheduled()
            | EntitlementActivated()
            | EntitlementRejected()
            | EntitlementPlanChangeScheduled()
            | EntitlementPlanChanged()
            | EntitlementSuspended()
            | EntitlementResumed()
            | EntitlementCancellationScheduled()
            | EntitlementCancelled()
            | EntitlementReinstated()
            | EntitlementRenewed()
            | EntitlementRevoked()
            | EntitlementExpired()
        ):
            return _evolve_entitlement(state, event)


def due_of(event: Event) -> tuple[SetTimer | SettleTimer, ...]:
    """Which timers the event sets and which it makes stale."""
    match event:
        case (
            QuotaConsumed()
            | QuotaReleased()
            | QuotaReset()
            | ThresholdCrossed()
            | EffectivePlanChanged()
            | PartErased()
            | EntitlementVerified()
            | EntitlementRequested()
            | EntitlementSuspended()
            | EntitlementResumed()
        ):
            return ()
        case EntitlementGranted():
            return (_settle(event, "activate"), _set(event, "expire", event.expires_at))
        case EntitlementScheduled():
            return (_set(event, "activate", event.effective_at), _set(event, "expire", event.expires_at))
        case EntitlementActivated():
            return (_settle(event, "activate"),)
        case EntitlementPlanChangeScheduled():
            return (_set(event, "plan_change", event.effective_at),)
        case EntitlementPlanChanged():
            return (_settle(event, "plan_change"),)
        case EntitlementCancellationScheduled():
            return (_set(event, "end_of_term", event.at),)
        case EntitlementReinstated():
            return (_settle(event, "end_of_term"),)
        case EntitlementRenewed():
            return (_set(event, "expire", event.expires_at), _set(event, "end_of_term", event.ends_at))
        case EntitlementRejected() | EntitlementCancelled() | EntitlementRevoked() | EntitlementExpired():
            return tuple(_settle(event, kind) for kind in TIMER_KINDS)


def next_timer(state: TenantState, by: Moment) -> EntitlementTimer | None:
    """The timer to decide first among those due by then: the earliest; at equal times by kind, then by entitlement."""
    if state.due is None or state.due > by:
        return None
    return _command_of(min(state.timers.values(), key=_order))


def effective_plan(state: TenantState, plans: Plans) -> Plan | None:
    """The highest-ranked plan among the entitlements in service, as the plans in force have it."""
    return highest(state.in_service, plans)


def check(checks: tuple[Check, ...], state: TenantState, *, now: Moment, plans: Plans) -> tuple[CheckResult, ...]:
    """What would be decided at `now`, after the timers due by then. Writes nothing."""
    current = after_timers(state, now)
    plan = highest(current.in_service, plans)
    return tuple(_checked(each, current, plan, now, plans) for each in checks)


def after_timers(state: TenantState, now: Moment) -> TenantState:
    """
    The state once every timer due by then is decided, but for `plan`, which says what was last recorded.

    In one pass: folding them one by one copies the whole tenant for each, and a thousand may be due at one midnight.
    """
    if state.due is None or state.due > now:
        return state
    entitlements = dict(state.entitlements)
    in_service = state.in_service
    for command in map(_command_of, sorted((t for t in state.timers.values() if t.due <= now), key=_order)):
        before = entitlements[command.entitlement_id]
        outcome = elapse(command, before, now=now)
        if isinstance(outcome, Accepted):  # an entitlement that ended has settled its other timers
            after = fold(evolve_entitlement, before, outcome.events)
            entitlements[command.entitlement_id] = after
            in_service = _recounted(in_service, before, after)
    timers = {
        key: timer
        for key, timer in state.timers.items()
        if timer.due > now and entitlements[_command_of(timer).entitlement_id].status not in FINAL
    }
    return TenantState(state.plan, entitlements, in_service, state.quotas, timers, _earliest(timers))


def _consume(command: Consume, state: TenantState, now: Moment, plans: Plans) -> Decision:
    subject = Subject("quota", command.quota)
    plan = highest(state.in_service, plans)
    entitled = _entitled(command.entitlement_id, state, plan)
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
    plan = highest(state.in_service, plans)
    quota = None if plan is None else plan.quotas.get(command.quota)
    match decide_quota(command, quota, state.quotas.get(command.quota), now=now):
        case Refused() as refused:
            return Decision(subject, None, None, (), refused)
        case Accepted(events):
            return Decision(subject, None, None, (), Accepted(_with_plan(events, state, plan)))


def _verify(command: Verify, state: TenantState, now: Moment, plans: Plans, bounds: Bounds) -> Decision:
    before = _entitlement(state, command.entitlement_id)
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
        _entitlement(state, command.entitlement_id),
        now=now,
        plans=plans,
        observed_ahead_seconds_max=bounds.observed_ahead_seconds_max,
    )
    is_new = command.entitlement_id not in state.entitlements
    if is_new and isinstance(outcome, Accepted) and len(state.entitlements) >= bounds.entitlements_max:
        outcome = _too_many(bounds.entitlements_max)
    return _concluded(command.entitlement_id, outcome, state, plans)


def _concluded(
    entitlement_id: EntitlementId,
    outcome: Accepted[EntitlementEvent] | Refused,
    state: TenantState,
    plans: Plans,
    gates: tuple[Passed | Failed, ...] = (),
) -> Decision:
    """The decision on an entitlement, with what its events mean for the tenant's effective plan."""
    subject = Subject("entitlement", entitlement_id)
    before = _entitlement(state, entitlement_id)
    match outcome:
        case Refused():
            return Decision(subject, before.status, before.status, gates, outcome)
        case Accepted(events):
            after = fold(evolve_entitlement, before, events)
            plan = highest(_recounted(state.in_service, before, after), plans)
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


def _entitlement(state: TenantState, entitlement_id: EntitlementId) -> EntitlementState:
    return state.entitlements.get(entitlement_id, NO_ENTITLEMENT)


def _entitled(entitlement_id: EntitlementId | None, state: TenantState, plan: Plan | None) -> Passed | Failed:
    if entitlement_id is None:
        return some_entitlement_is_in_service(state.in_service, plan)
    return entitlement_is_in_service(entitlement_id, _entitlement(state, entitlement_id))


def _evolve_entitlement(state: TenantState, event: EntitlementEvent) -> TenantState:
    before = _entitlement(state, event.entitlement_id)
    after = evolve_entitlement(before, event)
    timers = _timers_after(state.timers, due_of(event))
    return TenantState(
        plan=state.plan,
        entitlements={**state.entitlements, event.entitlement_id: after},
        in_service=_recounted(state.in_service, before, after),
        quotas=state.quotas,
        timers=timers,
        due=_earliest(timers),
    )


def _recounted(
    in_service: dict[PlanName, int], before: EntitlementState, after: EntitlementState
) -> dict[PlanName, int]:
    was, plan = plan_in_service(before), plan_in_service(after)
    if was == plan:
        return in_service
    counts = dict(in_service)
    if plan is not None:
        counts[plan] = counts.get(plan, 0) + 1
    if was is not None:
        counts[was] -= 1
    return {name: count for name, count in counts.items() if count}


def _timers_after(timers: dict[str, Timer], changes: tuple[SetTimer | SettleTimer, ...]) -> dict[str, Timer]:
    after = dict(timers)
    for change in changes:
        key = f"{change.subject}/{change.kind}"
        match change:
            case SetTimer(subject, kind, due):
                after[key] = Timer(subject, kind, due)
            case SettleTimer():
                after.pop(key, None)
    return after


def _earliest(timers: dict[str, Timer]) -> Moment | None:
    return min((timer.due for timer in timers.values()), default=None)


def _set(event: EntitlementEvent, kind: TimerKind, due: Moment | None) -> SetTimer | SettleTimer:
    return _settle(event, kind) if due is None else SetTimer(f"entitlement/{event.entitlement_id}", kind, due)


def _settle(event: EntitlementEvent, kind: TimerKind) -> SettleTimer:
    return SettleTimer(f"entitlement/{event.entitlement_id}", kind)


def _order(timer: Timer) -> tuple[Moment, int, str]:
    return timer.due, TIMER_KINDS.index(timer.kind), timer.subject


def _command_of(timer: Timer) -> EntitlementTimer:
    entitlement_id = EntitlementId(timer.subject.removeprefix("entitlement/"))
    match timer.kind:
        case "end_of_term":
            return EndTerm(entitlement_id, timer.due)
        case "expire":
            return Expire(entitlement_id, timer.due)
        case "activate":
            return Activate(entitlement_id, timer.due)
        case "plan_change":
            return ApplyPlanChange(entitlement_id, timer.due)


def _checked(asked: Check, state: TenantState, plan: Plan | None, now: Moment, plans: Plans) -> CheckResult:
    gates = [_entitled(asked.entitlement_id, state, plan)]
    limits: dict[QuotaName, Limit] = {}
    # Without anything in service there is no plan that could be asked.
    if plan is not None or isinstance(gates[0], Passed):
        if asked.feature is not None:
            gates.append(plan_includes_feature(asked.feature, plan, plans))
        if asked.quota is not None:
            quota = None if plan is None else plan.quotas.get(asked.quota)
            if quota is None:
                gates.append(quota_is_in_plan(asked.quota, plan))
            else:
                use = use_at(now, quota.per, state.quotas.get(quota.name))
                gates.append(quota_is_available(quota, use, asked.amount))
                limits[quota.name] = _limit(quota, use)
    reason = next((gate.reason for gate in gates if isinstance(gate, Failed)), None)
    return CheckResult(reason is None, reason, limits, tuple(gates))


def _limit(quota: Quota, use: QuotaUse) -> Limit:
    remaining = None if quota.limit is None else max(quota.limit - use.used, 0)
    return Limit(quota.limit, use.used, remaining, use.window_end)
