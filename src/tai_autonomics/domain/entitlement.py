"""
The entitlement governor: may this tenant use the product?

    none --request--> requested --grant--> active --suspend--> suspended --resume--> what it was
      \\--grant--> scheduled --its time--> active --cancel--> pending_cancellation --end of term--> cancelled
                                           active --its term--> expired

FROM says what is allowed. What is not listed there is refused.
"""

from typing import ClassVar, Final, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.domain.decider import Accepted, Recorded, Refused, name_of, name_of_type
from tai_autonomics.domain.identifiers import EntitlementId, PlanName
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import Plans, is_offered, offered, shown

Status = Literal[
    "none",
    "requested",
    "scheduled",
    "active",
    "pending_cancellation",
    "suspended",
    "rejected",
    "cancelled",
    "expired",
    "revoked",
]
InService = Literal["active", "pending_cancellation"]
TimerKind = Literal["end_of_term", "expire", "activate", "plan_change"]
"""In the order in which they are decided when they are due at the same time."""

IN_SERVICE: Final = frozenset(get_args(InService))
FINAL: Final[frozenset[Status]] = frozenset({"rejected", "cancelled", "expired", "revoked"})


class Verify(Struct, frozen=True, gc=False):
    """Asks, for the record, whether the entitlement is in service."""

    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Request(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    plan: PlanName
    observed_at: Moment | None = None


class Grant(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    plan: PlanName | None = None
    effective_at: Moment | None = None
    expires_at: Moment | None = None
    observed_at: Moment | None = None


class Reject(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class ChangePlan(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    plan: PlanName
    effective_at: Moment | None = None
    observed_at: Moment | None = None


class Suspend(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Resume(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Cancel(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    effective_at: Moment | None = None
    observed_at: Moment | None = None


class Reinstate(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Renew(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    expires_at: Moment
    observed_at: Moment | None = None


class Revoke(Struct, frozen=True, gc=False):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class Activate(Struct, frozen=True, gc=False):
    """The timer of a scheduled entitlement."""

    kind: ClassVar[TimerKind] = "activate"
    entitlement_id: EntitlementId
    due: Moment


class Expire(Struct, frozen=True, gc=False):
    """The timer of `expires_at`."""

    kind: ClassVar[TimerKind] = "expire"
    entitlement_id: EntitlementId
    due: Moment


class EndTerm(Struct, frozen=True, gc=False):
    """The timer of a cancellation that waits."""

    kind: ClassVar[TimerKind] = "end_of_term"
    entitlement_id: EntitlementId
    due: Moment


class ApplyPlanChange(Struct, frozen=True, gc=False):
    """The timer of a plan change that waits."""

    kind: ClassVar[TimerKind] = "plan_change"
    entitlement_id: EntitlementId
    due: Moment


EntitlementCommand = (
    Verify | Request | Grant | Reject | ChangePlan | Suspend | Resume | Cancel | Reinstate | Renew | Revoke
)
EntitlementTimer = Activate | Expire | EndTerm | ApplyPlanChange

FROM: Final[dict[type[Struct], tuple[Status, ...]]] = {
    Verify: ("active", "pending_cancellation"),
    Request: ("none",),
    Grant: ("none", "requested", "scheduled"),
    Reject: ("requested", "scheduled"),
    ChangePlan: ("active", "pending_cancellation"),
    Suspend: ("active", "pending_cancellation"),
    Resume: ("suspended",),
    Cancel: ("active", "suspended"),
    Reinstate: ("pending_cancellation",),
    Renew: ("active", "pending_cancellation", "suspended"),
    Revoke: ("requested", "scheduled", "active", "pending_cancellation", "suspended"),
}
"""From which states a command is allowed."""

FROM_TIMER: Final[dict[type[Struct], tuple[Status, ...]]] = {
    Activate: ("scheduled",),
    Expire: ("active", "suspended"),
    EndTerm: ("pending_cancellation", "suspended"),
    ApplyPlanChange: ("active", "pending_cancellation", "suspended"),
}
"""The same for timers."""


class EntitlementRequested(Recorded, frozen=True):
    entitlement_id: EntitlementId
    plan: PlanName
    observed_at: Moment | None = None


class EntitlementGranted(Recorded, frozen=True):
    """In service from now on."""

    entitlement_id: EntitlementId
    plan: PlanName
    expires_at: Moment | None = None
    observed_at: Moment | None = None


class EntitlementScheduled(Recorded, frozen=True):
    """Granted, in service from `effective_at` on."""

    entitlement_id: EntitlementId
    plan: PlanName
    effective_at: Moment
    expires_at: Moment | None = None
    observed_at: Moment | None = None


class EntitlementActivated(Recorded, frozen=True):
    entitlement_id: EntitlementId


class EntitlementRejected(Recorded, frozen=True):
    entitlement_id: EntitlementId
    at: Moment


class EntitlementPlanChangeScheduled(Recorded, frozen=True):
    entitlement_id: EntitlementId
    plan: PlanName
    effective_at: Moment
    observed_at: Moment | None = None


class EntitlementPlanChanged(Recorded, frozen=True):
    entitlement_id: EntitlementId
    was: PlanName
    plan: PlanName
    observed_at: Moment | None = None


class EntitlementSuspended(Recorded, frozen=True):
    """`was` is what a resume restores."""

    entitlement_id: EntitlementId
    was: InService
    observed_at: Moment | None = None


class EntitlementResumed(Recorded, frozen=True):
    entitlement_id: EntitlementId
    to: InService
    observed_at: Moment | None = None


class EntitlementCancellationScheduled(Recorded, frozen=True):
    """It ends `at`; `effective_at` is the date that the caller gave, if any, which no renewal moves."""

    entitlement_id: EntitlementId
    to: Literal["pending_cancellation", "suspended"]
    at: Moment
    effective_at: Moment | None = None
    observed_at: Moment | None = None


class EntitlementCancelled(Recorded, frozen=True):
    entitlement_id: EntitlementId
    at: Moment


class EntitlementReinstated(Recorded, frozen=True):
    entitlement_id: EntitlementId
    observed_at: Moment | None = None


class EntitlementRenewed(Recorded, frozen=True):
    """`ends_at` is when a cancellation that waits ends it now."""

    entitlement_id: EntitlementId
    expires_at: Moment
    ends_at: Moment | None = None
    observed_at: Moment | None = None


class EntitlementRevoked(Recorded, frozen=True):
    entitlement_id: EntitlementId
    at: Moment


class EntitlementExpired(Recorded, frozen=True):
    entitlement_id: EntitlementId
    at: Moment


class EntitlementVerified(Recorded, frozen=True):
    entitlement_id: EntitlementId
    plan: PlanName


EntitlementEvent = (
    EntitlementVerified
    | EntitlementRequested
    | EntitlementGranted
    | EntitlementScheduled
    | EntitlementActivated
    | EntitlementRejected
    | EntitlementPlanChangeScheduled
    | EntitlementPlanChanged
    | EntitlementSuspended
    | EntitlementResumed
    | EntitlementCancellationScheduled
    | EntitlementCancelled
    | EntitlementReinstated
    | EntitlementRenewed
    | EntitlementRevoked
    | EntitlementExpired
)


class EntitlementState(Struct, frozen=True, gc=False, omit_defaults=True):
    """One entitlement. A final one keeps only its status and when it ended."""

    status: Status = "none"
    plan: PlanName | None = None
    effective_at: Moment | None = None
    """When a scheduled one becomes active."""
    expires_at: Moment | None = None
    ends_at: Moment | None = None
    """When a cancellation that waits ends it: never later than `expires_at`."""
    cancellation_date: Moment | None = None
    """The date that the cancellation named, if it named one; `ends_at` is this or an earlier `expires_at`."""
    next_plan: PlanName | None = None
    next_plan_at: Moment | None = None
    was: InService | None = None
    """What a resume restores."""
    observed_at: Moment | None = None
    """The newest of the source's own times that was applied."""
    ended_at: Moment | None = None


INITIAL_STATE: Final = EntitlementState()


def plan_in_service(state: EntitlementState) -> PlanName | None:
    """The plan that the entitlement gives its tenant now."""
    return state.plan if state.status in IN_SERVICE else None


def decide(
    command: EntitlementCommand,
    state: EntitlementState,
    *,
    now: Moment,
    plans: Plans,
    observed_ahead_seconds_max: int,
) -> Accepted[EntitlementEvent] | Refused:
    """A caller's command."""
    if refused := _out_of_order(command.observed_at, state, now, observed_ahead_seconds_max):
        return refused
    if state.status not in FROM[type(command)]:
        return _not_allowed(command, state)
    match command:
        case Verify(entitlement_id):
            return Accepted((EntitlementVerified(entitlement_id, _plan_of(state)),))
        case Request():
            return _request(command, plans)
        case Grant():
            return _grant(command, state, now, plans)
        case Reject(entitlement_id):
            return Accepted((EntitlementRejected(entitlement_id, at=now),))
        case ChangePlan():
            return _change_plan(command, state, now, plans)
        case Suspend(entitlement_id, observed_at):
            return Accepted(
                (EntitlementSuspended(entitlement_id, was=_in_service(state.status), observed_at=observed_at),)
            )
        case Resume(entitlement_id, observed_at):
            return Accepted((EntitlementResumed(entitlement_id, to=_in_service(state.was), observed_at=observed_at),))
        case Cancel():
            return _cancel(command, state, now)
        case Reinstate(entitlement_id, observed_at):
            return Accepted((EntitlementReinstated(entitlement_id, observed_at=observed_at),))
        case Renew():
            return _renew(command, state, now)
        case Revoke(entitlement_id):
            return Accepted((EntitlementRevoked(entitlement_id, at=now),))


def elapse(timer: EntitlementTimer, state: EntitlementState, *, now: Moment) -> Accepted[EntitlementEvent] | Refused:
    """A timer: only when its time has come, and only while it is still set for that time."""
    if state.status not in FROM_TIMER[type(timer)] or _set_for(timer.kind, state) != timer.due or timer.due > now:
        return _not_due(timer, state)
    match timer:
        case Activate(entitlement_id):
            return Accepted((EntitlementActivated(entitlement_id),))
        case Expire(entitlement_id, due):
            return Accepted((EntitlementExpired(entitlement_id, at=due),))
        case EndTerm(entitlement_id, due):
            return Accepted((EntitlementCancelled(entitlement_id, at=due),))
        case ApplyPlanChange(entitlement_id):
            assert state.next_plan is not None
            return Accepted((EntitlementPlanChanged(entitlement_id, was=_plan_of(state), plan=state.next_plan),))


def evolve(state: EntitlementState, event: EntitlementEvent) -> EntitlementState:
    """The entitlement after the event."""
    match event:
        case EntitlementVerified():
            return state
        case EntitlementRequested(_, plan, observed_at):
            return EntitlementState("requested", plan, observed_at=observed_at)
        case EntitlementGranted(_, plan, expires_at, observed_at):
            return EntitlementState("active", plan, expires_at=expires_at, observed_at=observed_at or state.observed_at)
        case EntitlementScheduled(_, plan, effective_at, expires_at, observed_at):
            newest = observed_at or state.observed_at
            return EntitlementState("scheduled", plan, effective_at, expires_at, observed_at=newest)
        case EntitlementActivated():
            return replace(state, status="active", effective_at=None)
        case EntitlementPlanChangeScheduled(_, plan, effective_at, observed_at):
            newest = observed_at or state.observed_at
            return replace(state, next_plan=plan, next_plan_at=effective_at, observed_at=newest)
        case EntitlementPlanChanged(_, _, plan, observed_at):
            newest = observed_at or state.observed_at
            return replace(state, plan=plan, next_plan=None, next_plan_at=None, observed_at=newest)
        case EntitlementSuspended(_, was, observed_at):
            return replace(state, status="suspended", was=was, observed_at=observed_at or state.observed_at)
        case EntitlementResumed(_, to, observed_at):
            return replace(state, status=to, was=None, observed_at=observed_at or state.observed_at)
        case EntitlementCancellationScheduled():
            return _cancelling(state, event)
        case EntitlementReinstated(_, observed_at):
            newest = observed_at or state.observed_at
            return replace(state, status="active", ends_at=None, cancellation_date=None, observed_at=newest)
        case EntitlementRenewed(_, expires_at, ends_at, observed_at):
            newest = observed_at or state.observed_at
            return replace(state, expires_at=expires_at, ends_at=ends_at, observed_at=newest)
        case EntitlementRejected(_, at):
            return EntitlementState("rejected", ended_at=at)
        case EntitlementCancelled(_, at):
            return EntitlementState("cancelled", ended_at=at)
        case EntitlementRevoked(_, at):
            return EntitlementState("revoked", ended_at=at)
        case EntitlementExpired(_, at):
            return EntitlementState("expired", ended_at=at)


def _request(command: Request, plans: Plans) -> Accepted[EntitlementEvent] | Refused:
    if not is_offered(plans, command.plan):
        return _unknown_plan(command.plan, plans)
    return Accepted((EntitlementRequested(command.entitlement_id, command.plan, command.observed_at),))


def _grant(command: Grant, state: EntitlementState, now: Moment, plans: Plans) -> Accepted[EntitlementEvent] | Refused:
    plan = command.plan or state.plan
    if plan is None:
        return Refused("unknown_plan", "a plan is required: none was requested", _name_one(plans))
    if not is_offered(plans, plan):
        return _unknown_plan(plan, plans)
    effective_at = _ahead(command.effective_at, now)
    expires_at = command.expires_at or state.expires_at
    if expires_at is not None and expires_at <= (effective_at or now):
        return _too_early(expires_at, effective_at or now)
    if effective_at is None:
        return Accepted((EntitlementGranted(command.entitlement_id, plan, expires_at, command.observed_at),))
    return Accepted(
        (EntitlementScheduled(command.entitlement_id, plan, effective_at, expires_at, command.observed_at),)
    )


def _change_plan(
    command: ChangePlan, state: EntitlementState, now: Moment, plans: Plans
) -> Accepted[EntitlementEvent] | Refused:
    if not is_offered(plans, command.plan):
        return _unknown_plan(command.plan, plans)
    effective_at = _ahead(command.effective_at, now)
    if effective_at is None:
        changed = EntitlementPlanChanged(command.entitlement_id, _plan_of(state), command.plan, command.observed_at)
        return Accepted((changed,))
    return Accepted(
        (EntitlementPlanChangeScheduled(command.entitlement_id, command.plan, effective_at, command.observed_at),)
    )


def _cancel(command: Cancel, state: EntitlementState, now: Moment) -> Accepted[EntitlementEvent]:
    at = _earlier(command.effective_at, state.expires_at)
    if at is None or at <= now:
        return Accepted((EntitlementCancelled(command.entitlement_id, at=now),))
    to: Literal["pending_cancellation", "suspended"] = (
        "suspended" if state.status == "suspended" else "pending_cancellation"
    )
    return Accepted(
        (
            EntitlementCancellationScheduled(
                command.entitlement_id, to, at=at, effective_at=command.effective_at, observed_at=command.observed_at
            ),
        )
    )


def _renew(command: Renew, state: EntitlementState, now: Moment) -> Accepted[EntitlementEvent] | Refused:
    floor = state.expires_at or now  # a term that is over has expired before anything else was decided
    if command.expires_at <= floor:
        return _too_early(command.expires_at, floor)
    ends_at = None if state.ends_at is None else _earlier(state.cancellation_date, command.expires_at)
    return Accepted((EntitlementRenewed(command.entitlement_id, command.expires_at, ends_at, command.observed_at),))


def _cancelling(state: EntitlementState, event: EntitlementCancellationScheduled) -> EntitlementState:
    return replace(
        state,
        status=event.to,
        was="pending_cancellation" if event.to == "suspended" else None,
        ends_at=event.at,
        cancellation_date=event.effective_at,
        observed_at=event.observed_at or state.observed_at,
    )


def _out_of_order(
    observed_at: Moment | None, state: EntitlementState, now: Moment, ahead_seconds_max: int
) -> Refused | None:
    if observed_at is None:
        return None
    if observed_at > plus_seconds(now, ahead_seconds_max):
        detail = f"observed_at {observed_at} is more than {ahead_seconds_max} s ahead of {now}"
        return Refused("clock_skew", detail, "correct the source's clock, then send the command again")
    if state.observed_at is not None and observed_at < state.observed_at:
        detail = f"observed_at {observed_at} is older than {state.observed_at}, which was applied already"
        return Refused("stale", detail, "nothing to do: what the source said later holds")
    return None


def _not_allowed(command: EntitlementCommand, state: EntitlementState) -> Refused:
    allowed = ", ".join(name_of_type(command_type) for command_type, states in FROM.items() if state.status in states)
    next_step = (
        f"allowed while {state.status}: {allowed}" if allowed else "request a new entitlement id: this one is final"
    )
    return Refused("invalid_transition", f"cannot {name_of(command)} while {state.status}", next_step)


def _not_due(timer: EntitlementTimer, state: EntitlementState) -> Refused:
    detail = f"cannot {name_of(timer)} while {state.status}: not set for {timer.due}, or not due yet"
    return Refused("invalid_transition", detail, "nothing to do: the timer was moved or settled")


def _unknown_plan(plan: PlanName, plans: Plans) -> Refused:
    why = "is retired: it can be kept, not taken" if plan in plans.plans else "is not in the plans file"
    return Refused("unknown_plan", f"the plan {plan} {why}", _name_one(plans))


def _name_one(plans: Plans) -> str:
    return f"name one of the plans: {shown(plan.name for plan in offered(plans))}"


def _too_early(expires_at: Moment, floor: Moment) -> Refused:
    return Refused(
        "invalid_time", f"expires_at {expires_at} is not after {floor}", f"send an expires_at later than {floor}"
    )


def _ahead(moment: Moment | None, now: Moment) -> Moment | None:
    """The moment if it is still to come; None means now."""
    return moment if moment is not None and moment > now else None


def _earlier(one: Moment | None, other: Moment | None) -> Moment | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)


def _set_for(kind: TimerKind, state: EntitlementState) -> Moment | None:
    match kind:
        case "activate":
            return state.effective_at
        case "expire":
            return state.expires_at
        case "end_of_term":
            return state.ends_at
        case "plan_change":
            return state.next_plan_at


def _plan_of(state: EntitlementState) -> PlanName:
    assert state.plan is not None
    return state.plan


def _in_service(status: Status | None) -> InService:
    assert status == "active" or status == "pending_cancellation"
    return status
