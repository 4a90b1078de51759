"""
When a tenant changes by itself: each event says which timers it sets and which it settles.

    event --due_of--> SetTimer | SettleTimer --moved--> the timers of the state
"""

from typing import Final, get_args

from msgspec import Struct

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
    TimerKind,
)
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.quota import QuotaConsumed, QuotaReleased, QuotaReset, ThresholdCrossed
from tai_autonomics.domain.tenant.events import EffectivePlanChanged, Event, LedgerRestored, PartErased

TIMER_KINDS: Final[tuple[TimerKind, ...]] = get_args(TimerKind)


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
            | LedgerRestored()
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


def moved(timers: dict[str, Timer], changes: tuple[SetTimer | SettleTimer, ...]) -> dict[str, Timer]:
    """The timers after the changes, by subject and kind: at most one of each kind."""
    after = dict(timers)
    for change in changes:
        key = f"{change.subject}/{change.kind}"
        match change:
            case SetTimer(subject, kind, due):
                after[key] = Timer(subject, kind, due)
            case SettleTimer():
                after.pop(key, None)
    return after


def earliest(timers: dict[str, Timer]) -> Moment | None:
    """When the first of them is due."""
    return min((timer.due for timer in timers.values()), default=None)


def _set(event: EntitlementEvent, kind: TimerKind, due: Moment | None) -> SetTimer | SettleTimer:
    return _settle(event, kind) if due is None else SetTimer(_subject_of(event), kind, due)


def _settle(event: EntitlementEvent, kind: TimerKind) -> SettleTimer:
    return SettleTimer(_subject_of(event), kind)


def _subject_of(event: EntitlementEvent) -> str:
    return f"entitlement/{event.entitlement_id}"
