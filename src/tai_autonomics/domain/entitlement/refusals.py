"""Why an entitlement does not change, each with what the caller can do."""

from tai_autonomics.domain.decider import Refused, name_of, name_of_type
from tai_autonomics.domain.entitlement.commands import EntitlementCommand, EntitlementTimer
from tai_autonomics.domain.entitlement.states import EntitlementState
from tai_autonomics.domain.entitlement.table import FROM
from tai_autonomics.domain.identifiers import PlanName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans, offered, shown


def not_allowed(command: EntitlementCommand, state: EntitlementState) -> Refused:
    """The table does not list the command for this status."""
    allowed = ", ".join(name_of_type(command_type) for command_type, states in FROM.items() if state.status in states)
    next_step = (
        f"allowed while {state.status}: {allowed}" if allowed else "request a new entitlement id: this one is final"
    )
    return Refused("invalid_transition", f"cannot {name_of(command)} while {state.status}", next_step)


def not_due(timer: EntitlementTimer, state: EntitlementState) -> Refused:
    """The timer is early, or is one that is not set any more."""
    detail = f"cannot {name_of(timer)} while {state.status}: not set for {timer.due}, or not due yet"
    return Refused("invalid_transition", detail, "nothing to do: the timer was moved or settled")


def too_far_ahead(observed_at: Moment, *, now: Moment, ahead_seconds_max: int) -> Refused:
    """The source's clock and ours disagree."""
    detail = f"observed_at {observed_at} is more than {ahead_seconds_max} s ahead of {now}"
    return Refused("clock_skew", detail, "correct the source's clock, then send the command again")


def stale(observed_at: Moment, *, applied: Moment) -> Refused:
    """Something newer was applied already."""
    detail = f"observed_at {observed_at} is older than {applied}, which was applied already"
    return Refused("stale", detail, "nothing to do: what the source said later holds")


def unknown_plan(plan: PlanName, plans: Plans) -> Refused:
    """The plan is not offered."""
    why = "is retired: it can be kept, not taken" if plan in plans.plans else "is not in the plans file"
    return Refused("unknown_plan", f"the plan {plan} {why}", _name_one(plans))


def no_plan(plans: Plans) -> Refused:
    """A grant names no plan, and no request did."""
    return Refused("unknown_plan", "a plan is required: none was requested", _name_one(plans))


def too_early(expires_at: Moment, *, floor: Moment) -> Refused:
    """The term would end before it begins, or before the present one."""
    return Refused(
        "invalid_time", f"expires_at {expires_at} is not after {floor}", f"send an expires_at later than {floor}"
    )


def _name_one(plans: Plans) -> str:
    return f"name one of the plans: {shown(plan.name for plan in offered(plans))}"
