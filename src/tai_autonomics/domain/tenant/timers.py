r"""
What becomes due by an event: when the tenant changes by itself (timers), and what is to be carried out (effects).

    event --due_of--> SetTimer | SettleTimer --moved--> the timers of the state
                  \-> SetEffect | SettleEffect: the executor's; the state has the action itself
"""

from typing import Final, Literal, get_args

from msgspec import Struct

from tai_autonomics.domain.compliance import (
    AttestationLapsed,
    ControlAttested,
    ExpireHold,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
    LapseAttestation,
)
from tai_autonomics.domain.compliance import TimerKind as ComplianceTimerKind
from tai_autonomics.domain.entitlement import (
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
    EntitlementSuspended,
    EntitlementVerified,
)
from tai_autonomics.domain.entitlement import TimerKind as EntitlementTimerKind
from tai_autonomics.domain.fleet import FleetReserved
from tai_autonomics.domain.governor import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    AttemptEnded,
    EndBudget,
    EndThrottle,
    LapseApproval,
    LateResultRecorded,
    LoseAttempt,
    PassDeadline,
    RefusalBegun,
    RefusalEnded,
    RuleEvaluated,
    RulesForgotten,
    SignalObserved,
    SignalRefused,
    ThrottleEnded,
    ThrottleSet,
    WouldHaveActed,
)
from tai_autonomics.domain.governor import TimerKind as GovernorTimerKind
from tai_autonomics.domain.identifiers import ActionId, ControlName, HoldId
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.quota import QuotaConsumed, QuotaReleased, QuotaReset, ThresholdCrossed
from tai_autonomics.domain.tenant.commands import TimerCommand
from tai_autonomics.domain.tenant.events import (
    AuditExported,
    EffectivePlanChanged,
    Event,
    LedgerArchived,
    LedgerRestored,
    PartErased,
)

TimerKind = EntitlementTimerKind | GovernorTimerKind | ComplianceTimerKind
EffectKind = Literal["attempt"]

ENTITLEMENT_TIMERS: Final[tuple[EntitlementTimerKind, ...]] = get_args(EntitlementTimerKind)
TIMER_KINDS: Final[tuple[TimerKind, ...]] = (
    *ENTITLEMENT_TIMERS,
    *get_args(GovernorTimerKind),
    *get_args(ComplianceTimerKind),
)
GOVERNOR: Final = "governor"
FIRST_LEASE_SECONDS: Final = 10
"""The instance whose append asks for an action attempts it at once; the row is due for all others that much later."""


class Timer(Struct, frozen=True, gc=False):
    """
    At `due` the subject changes by itself.

    It is "entitlement/<id>", "action/<id>", "governor", "hold/<id>" or "control/<name>".
    """

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


class SetEffect(Struct, frozen=True, gc=False):
    """From `due` on the subject ("action/<id>") is to be attempted by whoever leases the row."""

    subject: str
    kind: EffectKind
    due: Moment


class SettleEffect(Struct, frozen=True, gc=False):
    """Takes the row away."""

    subject: str
    kind: EffectKind


Change = SetTimer | SettleTimer | SetEffect | SettleEffect


def due_of(event: Event) -> tuple[Change, ...]:
    """Which timers and effects the event sets and which it makes stale."""
    match event:
        case (
            QuotaConsumed()
            | QuotaReleased()
            | QuotaReset()
            | ThresholdCrossed()
            | EffectivePlanChanged()
            | PartErased()
            | LedgerRestored()
            | LedgerArchived()
            | AuditExported()
            | EntitlementVerified()
            | EntitlementRequested()
            | EntitlementSuspended()
            | EntitlementResumed()
            | FleetReserved()
            | SignalObserved()
            | SignalRefused()
            | RuleEvaluated()
            | RulesForgotten()
            | WouldHaveActed()
            | LateResultRecorded()
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
            return tuple(_settle(event, kind) for kind in ENTITLEMENT_TIMERS)
        case ActionRequested() | ActionApproved() | ActionAttempted() | AttemptEnded() | ActionSettled():
            return _due_of_action(event)
        case RefusalBegun(until=until):
            return () if until is None else (SetTimer(GOVERNOR, "budget_end", until),)
        case RefusalEnded(causes):
            return (SettleTimer(GOVERNOR, "budget_end"),) if "budget" in causes else ()
        case ThrottleSet():
            return (SetTimer(GOVERNOR, "throttle_end", event.until),)
        case ThrottleEnded():
            return (SettleTimer(GOVERNOR, "throttle_end"),)
        case HoldPlaced(hold_id, expires_at=expires_at):
            return () if expires_at is None else (SetTimer(subject_of_hold(hold_id), "hold_expiry", expires_at),)
        case HoldReleased(hold_id) | HoldExpired(hold_id):
            return (SettleTimer(subject_of_hold(hold_id), "hold_expiry"),)
        case ControlAttested(control, valid_until=valid_until):
            return (SetTimer(subject_of_control(control), "attestation_lapse", valid_until),)
        case AttestationLapsed(control):
            return (SettleTimer(subject_of_control(control), "attestation_lapse"),)


def subject_of(timer: TimerCommand) -> str:
    """What the timer that has become a command was set for."""
    match timer:
        case EndBudget() | EndThrottle():
            return GOVERNOR
        case LoseAttempt() | LapseApproval() | PassDeadline():
            return subject_of_action(timer.action_id)
        case ExpireHold(hold_id):
            return subject_of_hold(hold_id)
        case LapseAttestation(control):
            return subject_of_control(control)
        case _:
            return f"entitlement/{timer.entitlement_id}"


def subject_of_action(action_id: ActionId) -> str:
    return f"action/{action_id}"


def subject_of_hold(hold_id: HoldId) -> str:
    return f"hold/{hold_id}"


def subject_of_control(control: ControlName) -> str:
    return f"control/{control}"


def _due_of_action(
    event: ActionRequested | ActionApproved | ActionAttempted | AttemptEnded | ActionSettled,
) -> tuple[Change, ...]:
    """The action in flight has one timer at a time, and an effect while it may be attempted."""
    subject = subject_of_action(event.action_id)
    match event:
        case ActionRequested(approval=approval) if approval is not None:
            return (SetTimer(subject, "approval_lapse", approval.until),)
        case ActionRequested(deadline=deadline, requested_at=at):
            return _to_attempt(subject, deadline, plus_seconds(at, FIRST_LEASE_SECONDS))
        case ActionApproved(deadline=None):
            return ()
        case ActionApproved(deadline=deadline, at=at):
            due = _to_attempt(subject, deadline, plus_seconds(at, FIRST_LEASE_SECONDS))
            return (SettleTimer(subject, "approval_lapse"), *due)
        case ActionAttempted(leased_until=until):
            lease = SetTimer(subject, "attempt_lease", until)
            return (SettleTimer(subject, "deadline"), lease, SettleEffect(subject, "attempt"))
        case AttemptEnded(retry_at=retry_at, deadline=deadline):
            ended = SettleTimer(subject, "attempt_lease")
            return (ended,) if retry_at is None else (ended, *_to_attempt(subject, deadline, retry_at))
        case ActionSettled():
            timers = tuple(SettleTimer(subject, kind) for kind in ("attempt_lease", "approval_lapse", "deadline"))
            return (*timers, SettleEffect(subject, "attempt"))


def _to_attempt(subject: str, deadline: Moment | None, due: Moment) -> tuple[Change, ...]:
    assert deadline is not None
    return SetTimer(subject, "deadline", deadline), SetEffect(subject, "attempt", due)


def moved(timers: dict[str, Timer], changes: tuple[Change, ...]) -> dict[str, Timer]:
    """The timers after the changes, by subject and kind: at most one of each kind."""
    after = dict(timers)
    for change in changes:
        key = f"{change.subject}/{change.kind}"
        match change:
            case SetTimer(subject, kind, due):
                after[key] = Timer(subject, kind, due)
            case SettleTimer():
                after.pop(key, None)
            case SetEffect() | SettleEffect():
                continue
    return after


def earliest(timers: dict[str, Timer]) -> Moment | None:
    """When the first of them is due."""
    return min((timer.due for timer in timers.values()), default=None)


def _set(event: EntitlementEvent, kind: EntitlementTimerKind, due: Moment | None) -> SetTimer | SettleTimer:
    return _settle(event, kind) if due is None else SetTimer(_subject_of(event), kind, due)


def _settle(event: EntitlementEvent, kind: EntitlementTimerKind) -> SettleTimer:
    return SettleTimer(_subject_of(event), kind)


def _subject_of(event: EntitlementEvent) -> str:
    return f"entitlement/{event.entitlement_id}"
