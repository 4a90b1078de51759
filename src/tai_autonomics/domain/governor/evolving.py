"""The governor after an event: knows no plans and no clock, so that replay needs nothing but events."""

from decimal import Decimal

from msgspec.structs import replace

from tai_autonomics.domain.governor.events import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    AttemptEnded,
    GovernorEvent,
    LateResultRecorded,
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
from tai_autonomics.domain.governor.states import (
    LOST_MAX,
    GovernorState,
    InFlight,
    LostAttempt,
    Measured,
    Refusing,
    RuleState,
    Sample,
    Throttled,
    rule_state_of,
)
from tai_autonomics.domain.identifiers import RuleName


def evolve(state: GovernorState, event: GovernorEvent) -> GovernorState:
    """The governor after the event."""
    match event:
        case SignalRefused():
            return state
        case SignalObserved():
            return _observed(state, event)
        case RuleEvaluated(rule, level):
            return _with_rule(state, rule, replace(rule_state_of(state, rule), level=level))
        case RulesForgotten():
            return _forgotten(state, event)
        case ActionRequested():
            return _requested(state, event)
        case WouldHaveActed(rule):
            acted = _with_rule(state, rule, RuleState("acted", event.cooldown_until))
            return replace(acted, shadowed=event.budget or state.shadowed)
        case ActionApproved():
            action = _in_flight(state)
            approved = replace(action, approved_by=(*action.approved_by, event.by), deadline=event.deadline)
            return replace(state, in_flight=approved, budget=event.budget or state.budget)
        case ActionAttempted(_, attempt, target):
            begun = replace(
                _in_flight(state), attempts=attempt, target=target, leased_until=event.leased_until, retry_at=None
            )
            return replace(state, in_flight=begun)
        case AttemptEnded():
            return _attempt_ended(state, event)
        case LateResultRecorded(action_id, attempt):
            late = LostAttempt(action_id, attempt)
            return replace(state, lost=tuple(lost for lost in state.lost if lost != late))
        case ActionSettled():
            return replace(state, in_flight=None, failures=event.failures)
        case RefusalBegun(cause, at, until):
            refusing = Refusing(at, until, event.action_id)
            return replace(state, refusing={**state.refusing, cause: refusing})
        case RefusalEnded():
            return _refusal_ended(state, event)
        case ThrottleSet(action_id, requests, per_seconds, until):
            return replace(state, throttle=Throttled(requests, per_seconds, until, action_id))
        case ThrottleEnded():
            return replace(state, throttle=None)


def _observed(state: GovernorState, event: SignalObserved) -> GovernorState:
    known = state.metrics.get(event.metric)
    samples = (*(() if known is None else known.samples), Sample(event.observed_at, Decimal(event.value)))
    measured = Measured(samples[-event.kept :], event.labels)
    return replace(state, started=True, metrics={**state.metrics, event.metric: measured})


def _forgotten(state: GovernorState, event: RulesForgotten) -> GovernorState:
    rules = dict(state.rules)
    for name in event.rules:
        until = rules.pop(name).cooldown_until
        if until is not None and until > event.at:
            rules[name] = RuleState(cooldown_until=until)
    metrics = {name: measured for name, measured in state.metrics.items() if name not in event.metrics}
    return replace(state, rules=rules, metrics=metrics)


def _requested(state: GovernorState, event: ActionRequested) -> GovernorState:
    action = InFlight(
        id=event.action_id,
        rule=event.rule,
        order=event.order,
        attempts_max=event.attempts_max,
        timeout_seconds=event.timeout_seconds,
        requested_at=event.requested_at,
        metric=event.metric,
        value=event.value,
        approval=event.approval,
        deadline=event.deadline,
    )
    acted = _with_rule(state, event.rule, RuleState("acted", event.cooldown_until))
    return replace(acted, in_flight=action, budget=event.budget or state.budget)


def _attempt_ended(state: GovernorState, event: AttemptEnded) -> GovernorState:
    action = replace(_in_flight(state), leased_until=None, retry_at=event.retry_at)
    lost = (*state.lost, LostAttempt(event.action_id, event.attempt)) if event.lost else state.lost
    return replace(state, in_flight=action, lost=lost[-LOST_MAX:])


def _refusal_ended(state: GovernorState, event: RefusalEnded) -> GovernorState:
    refusing = {cause: why for cause, why in state.refusing.items() if cause not in event.causes}
    ended = replace(state, started=True, refusing=refusing, failures=event.failures)
    if refusing:
        return ended
    return replace(ended, rules={name: replace(rule, level="clear") for name, rule in state.rules.items()})


def _with_rule(state: GovernorState, name: RuleName, rule: RuleState) -> GovernorState:
    return replace(state, rules={**state.rules, name: rule})


def _in_flight(state: GovernorState) -> InFlight:
    assert state.in_flight is not None
    return state.in_flight
