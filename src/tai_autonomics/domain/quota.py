"""
The quota governor: how much a tenant has used in the window that it is now.

Windows are calendar minutes, hours, days and months in UTC, or the whole lifetime. A window rolls when it is touched.
"""

from typing import Final

from msgspec import Struct

from tai_autonomics.domain.decider import Accepted, Recorded, Refused
from tai_autonomics.domain.identifiers import EntitlementId, QuotaName
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import COUNT_MAX, Per, Quota

LONGEST_MONTH_SECONDS: Final = 31 * 86_400


class Consume(Struct, frozen=True, gc=False):
    """`amount` is 1 to 2^53-1."""

    quota: QuotaName
    amount: int
    entitlement_id: EntitlementId | None = None


class Release(Struct, frozen=True, gc=False):
    """Gives back what was consumed in the current window. `amount` is 1 to 2^53-1."""

    quota: QuotaName
    amount: int


class Reset(Struct, frozen=True, gc=False):
    """Sets the current window's use to 0."""

    quota: QuotaName


class QuotaConsumed(Recorded, frozen=True):
    """`used` is after it. `limit` is absent when there is none; the window when it is the lifetime."""

    quota: QuotaName
    amount: int
    used: int
    per: Per
    limit: int | None = None
    window_start: Moment | None = None
    window_end: Moment | None = None


class QuotaReleased(Recorded, frozen=True):
    """`used` is after it."""

    quota: QuotaName
    amount: int
    used: int
    per: Per
    window_start: Moment | None = None
    window_end: Moment | None = None


class QuotaReset(Recorded, frozen=True):
    """`was` is what had been used."""

    quota: QuotaName
    was: int
    used: int
    per: Per
    window_start: Moment | None = None
    window_end: Moment | None = None


class ThresholdCrossed(Recorded, frozen=True):
    """`percent` of the limit is used, for the first time in this window."""

    quota: QuotaName
    percent: int
    used: int
    limit: int


QuotaEvent = QuotaConsumed | QuotaReleased | QuotaReset | ThresholdCrossed


class QuotaUse(Struct, frozen=True, gc=False):
    """What is used in one window, and which thresholds it has crossed."""

    used: int
    per: Per
    window_start: Moment | None = None
    window_end: Moment | None = None
    crossed: tuple[int, ...] = ()


def use_at(now: Moment, per: Per, use: QuotaUse | None) -> QuotaUse:
    """The use in the window that holds `now`; another window, or another period, begins with nothing used."""
    start = _window_start(per, now)
    if use is not None and use.per == per and use.window_start == start:
        return use
    return QuotaUse(0, per, start, _window_end(per, start))


def is_available(quota: Quota, use: QuotaUse, amount: int) -> bool:
    """Whether the amount fits. No count, however soft its quota, may outgrow what a receipt can hold."""
    return use.used + amount <= (COUNT_MAX if quota.limit is None or quota.kind == "soft" else quota.limit)


def consume(command: Consume, quota: Quota, use: QuotaUse) -> tuple[QuotaEvent, ...]:
    """What follows for an amount that is available in `use`, the current window's."""
    used = use.used + command.amount
    consumed = QuotaConsumed(quota.name, command.amount, used, quota.per, quota.limit, use.window_start, use.window_end)
    if not quota.thresholds:
        return (consumed,)
    return (consumed, *_crossings(quota, use, used))


def decide(
    command: Release | Reset, quota: Quota | None, use: QuotaUse | None, *, now: Moment
) -> Accepted[QuotaEvent] | Refused:
    """
    Corrects the current window. `quota` is the effective plan's; one that no plan has any more can still be corrected
    while some of it is used.
    """
    current = _current(quota, use, now)
    if current is None:
        return _unknown_quota(command.quota)
    match command:
        case Release():
            return _release(command, current)
        case Reset(name):
            cleared = QuotaReset(name, current.used, 0, current.per, current.window_start, current.window_end)
            return Accepted((cleared,))


def evolve(use: QuotaUse | None, event: QuotaEvent) -> QuotaUse:
    """The use after the event."""
    match event:
        case QuotaConsumed() | QuotaReleased() | QuotaReset():
            same = use is not None and use.per == event.per and use.window_start == event.window_start
            crossed = use.crossed if use is not None and same else ()
            return QuotaUse(event.used, event.per, event.window_start, event.window_end, crossed)
        case ThresholdCrossed():
            assert use is not None
            return QuotaUse(use.used, use.per, use.window_start, use.window_end, (*use.crossed, event.percent))


def _release(command: Release, use: QuotaUse) -> Accepted[QuotaEvent] | Refused:
    used = use.used - command.amount
    if used < 0:
        detail = f"{command.amount} is more than the {use.used} of {command.quota} used in this window"
        next_step = f"release at most {use.used}" if use.used else "nothing to release: the window is empty"
        return Refused("release_exceeds_use", detail, next_step)
    return Accepted((QuotaReleased(command.quota, command.amount, used, use.per, use.window_start, use.window_end),))


def _current(quota: Quota | None, use: QuotaUse | None, now: Moment) -> QuotaUse | None:
    if quota is not None:
        return use_at(now, quota.per, use)
    if use is None:
        return None
    current = use_at(now, use.per, use)
    return current if current.used else None


def _crossings(quota: Quota, use: QuotaUse, used: int) -> tuple[ThresholdCrossed, ...]:
    limit = quota.limit
    if limit is None:
        return ()
    return tuple(
        ThresholdCrossed(quota.name, percent, used, limit)
        for percent in quota.thresholds
        if used * 100 >= limit * percent and percent not in use.crossed
    )


def _unknown_quota(name: QuotaName) -> Refused:
    detail = f"the tenant's plan has no quota {name}, and none of it is in use"
    return Refused("unknown_quota", detail, "name a quota of the tenant's plan")


def _window_start(per: Per, now: Moment) -> Moment | None:
    match per:
        case "day":
            return Moment(now[:11] + "00:00:00.000000Z")
        case "month":
            return Moment(now[:8] + "01T00:00:00.000000Z")
        case "hour":
            return Moment(now[:14] + "00:00.000000Z")
        case "minute":
            return Moment(now[:17] + "00.000000Z")
        case "lifetime":
            return None


def _window_end(per: Per, start: Moment | None) -> Moment | None:
    if start is None:
        return None
    match per:
        case "minute":
            return plus_seconds(start, 60)
        case "hour":
            return plus_seconds(start, 3_600)
        case "day":
            return plus_seconds(start, 86_400)
        case _:
            # From the first day, the longest month's length always lands in the next month.
            return _window_start(per, plus_seconds(start, LONGEST_MONTH_SECONDS))
