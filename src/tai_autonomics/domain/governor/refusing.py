"""What makes a governor refuse, and what ends that: people, or the end of a window."""

from tai_autonomics.domain.decider import Accepted, Refused
from tai_autonomics.domain.governor import refusals
from tai_autonomics.domain.governor.commands import EndBudget, EndThrottle
from tai_autonomics.domain.governor.events import GovernorEvent, RefusalBegun, RefusalEnded, ThrottleEnded
from tai_autonomics.domain.governor.states import ENDED_BY_RESUME, GovernorState
from tai_autonomics.domain.moments import Moment


def pause(state: GovernorState, now: Moment) -> Accepted[GovernorEvent] | Refused:
    """Allowed in every status, also while something else refuses already."""
    if "pause" in state.refusing:
        return refusals.already_paused()
    return Accepted((RefusalBegun("pause", now),))


def resume(state: GovernorState, now: Moment) -> Accepted[GovernorEvent] | Refused:
    """Ends all that waits for a person; a budget's end is not moved."""
    causes = tuple(cause for cause in state.refusing if cause in ENDED_BY_RESUME)
    if not causes:
        return refusals.nothing_to_resume(state)
    failures = 0 if "breaker" in causes else state.failures
    return Accepted((RefusalEnded(causes, now, failures),))


def elapse(timer: EndBudget | EndThrottle, state: GovernorState, now: Moment) -> Accepted[GovernorEvent] | Refused:
    """The answer to a timer of the governor."""
    match timer:
        case EndBudget(due):
            budget = state.refusing.get("budget")
            if budget is None or budget.until != due or due > now:
                return refusals.not_due(timer)
            return Accepted((RefusalEnded(("budget",), now, state.failures),))
        case EndThrottle(due):
            if state.throttle is None or state.throttle.until != due or due > now:
                return refusals.not_due(timer)
            return Accepted((ThrottleEnded(now),))
