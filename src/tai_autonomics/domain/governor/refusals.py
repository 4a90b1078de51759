"""Why a governor does not do what it is asked, each with what the caller can do."""

from tai_autonomics.domain.decider import Refused, name_of
from tai_autonomics.domain.governor.commands import ActionCommand, BeginAttempt, GovernorTimer
from tai_autonomics.domain.governor.events import SignalRefused
from tai_autonomics.domain.governor.states import GovernorState, InFlight, stage_of
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment


def signal(event: SignalRefused, now: Moment, ahead_seconds_max: int | None = None) -> Refused:
    """Why a signal was refused at `now`; `ahead_seconds_max` is left out where only the receipt is known."""
    match event.reason:
        case "unknown_metric":
            detail = f"no rule names the metric {event.metric}"
            return Refused("unknown_metric", detail, "name a metric of the tenant's plan's rules")
        case "stale":
            detail = f"observed_at {event.observed_at} is older than the newest {event.metric}, of {event.newest}"
            return Refused("stale", detail, "nothing to do: what was measured later holds")
        case "clock_skew":
            bound = "too far" if ahead_seconds_max is None else f"more than {ahead_seconds_max} s"
            detail = f"observed_at {event.observed_at} is {bound} ahead of {now}"
            return Refused("clock_skew", detail, "correct the source's clock, then send the signal again")


def already_paused() -> Refused:
    return Refused("invalid_transition", "the governor is paused already", "resume it when it may act again")


def nothing_to_resume(state: GovernorState) -> Refused:
    """What else holds it ends by itself."""
    until = [refusing.until for refusing in state.refusing.values() if refusing.until is not None]
    if "hold" in state.refusing:
        next_step = "release the hold, or have the required controls attested"
    else:
        next_step = f"wait until {max(until)}, when it ends by itself" if until else "nothing to do: it may act"
    return Refused("invalid_transition", "the governor is not paused, and waits for nobody", next_step)


def not_in_flight(action_id: ActionId) -> Refused:
    """Another action is in flight, or none."""
    return Refused(
        "invalid_transition", f"the action {action_id} is not in flight", "nothing to do: it is settled, or never was"
    )


def not_now(command: ActionCommand, action: InFlight, next_step: str) -> Refused:
    """The action's stage does not allow it."""
    return Refused("invalid_transition", f"cannot {name_of(command)} while it is {stage_of(action)}", next_step)


def not_yet(command: BeginAttempt, retry_at: Moment) -> Refused:
    """Time cures it, so the reason is one that leaves the attempt's command id free: it is said again at that time."""
    detail = f"attempt {command.attempt} may not begin before {retry_at}"
    return Refused("governor_refusing", detail, f"wait until {retry_at}")


def approved_already(by: str) -> Refused:
    """Different people must approve."""
    return Refused("invalid_transition", f"{by} has approved it already", "let another person approve it")


def another_target(action: InFlight) -> Refused:
    """Every attempt sends what the first one's receipt holds."""
    return Refused(
        "invalid_transition", f"the action {action.id} has another target", "send the first attempt's target"
    )


def not_due(timer: GovernorTimer) -> Refused:
    """The timer is early, or is one that is not set any more."""
    detail = f"cannot {name_of(timer)}: not set for {timer.due}, or not due yet"
    return Refused("invalid_transition", detail, "nothing to do: the timer was moved or settled")
