"""What happened to a tenant's autonomic governor, and to its rules, a sentence an event."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tai_autonomics.cli.explaining.words import budget_words, grounds_words, json_text
from tai_autonomics.domain.governor import (
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

RuleEvent = (
    SignalObserved
    | SignalRefused
    | RuleEvaluated
    | RulesForgotten
    | WouldHaveActed
    | RefusalBegun
    | RefusalEnded
    | ThrottleSet
    | ThrottleEnded
)

WITHHELD: Final[Mapping[str, str]] = MappingProxyType(
    {
        "in_flight": "another action is in flight; once it is settled, every rule is asked again",
        "cooling_down": "its cool-down is not over",
        "governor_refusing": "the governor is refusing",
        "action_budget_exhausted": "the plan's budget of actions is used up",
    }
)
"""Why a rule did not act though its act_when held."""

UNUSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "unknown_metric": "no rule of the tenant's plan names its metric",
        "stale": "something newer was observed already",
        "clock_skew": "its time is too far ahead of ours",
    }
)
"""Why a signal changed nothing."""

CAUSES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pause": "a person paused it, or its ledger was restored",
        "breaker": "too many actions in a row failed, so the breaker is open",
        "unknown": "nobody knows whether an action was done, and a person must look",
        "budget": "the plan's budget of actions is used up",
        "hold": "compliance is closed for actions: a hold is on, or a required control is not attested",
    }
)
"""Why a governor refuses."""

LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {"clear": "clear", "warning": "warning", "acted": "acted (it has, and was not clear since)"}
)
"""Where a rule stands."""


def sentence_of(event: RuleEvent) -> str:
    """What the event says, all of it."""
    match event:
        case SignalObserved(metric, value, observed_at, kept, labels):
            carrying = f", with the labels {json_text(labels)}" if labels else ""
            return (
                f"{metric} was {value}, as of {observed_at}{carrying};"
                f" measurements of it kept for the rules, the newest: {kept}."
            )
        case SignalRefused():
            return _unused(event)
        case RuleEvaluated():
            return _evaluated(event)
        case RulesForgotten(at, rules, metrics):
            names = f"the rules {', '.join(rules)}" if rules else ""
            measured = f"the measurements of {', '.join(metrics)}" if metrics else ""
            both = " and ".join(each for each in (names, measured) if each) or "nothing"
            return f"What the tenant's plan has no more was forgotten at {at}: {both}."
        case WouldHaveActed(rule, action, at, cooldown_until, grounds, budget):
            used = "" if budget is None else f" Shadows would have used {budget_words(budget)}."
            return (
                f"The rule {rule} is in mode shadow, so nothing is done; at {at} it would have acted ({action}):"
                f" {grounds_words(grounds)}. It would not have acted again before {cooldown_until}.{used}"
            )
        case RefusalBegun():
            return _begun(event)
        case RefusalEnded(causes, at, failures):
            said = "; ".join(f"{cause} ({CAUSES[cause]})" for cause in causes)
            return (
                f"At {at} ended what had stopped the rules: {said}. Once nothing else stops them, they begin anew at"
                f" clear; failed actions in a row are counted on from {failures}."
            )
        case ThrottleSet(action_id, requests, per_seconds, until):
            return (
                f"From now on until {until} the tenant has at most {requests} checks and consumes in {per_seconds} s on"
                f" each instance, by the action {action_id}; an earlier throttle is replaced."
            )
        case ThrottleEnded(at):
            return f"The tenant's throttle ended at {at}."


def _unused(event: SignalRefused) -> str:
    of = "" if event.observed_at is None else f", as of {event.observed_at}"
    newest = "" if event.newest is None else f", of {event.newest}"
    carrying = f", with the labels {json_text(event.labels)}" if event.labels else ""
    return (
        f"{event.metric} was {event.value}{of}{carrying}, and that changes nothing:"
        f" {UNUSED[event.reason]}{newest} ({event.reason})."
    )


def _evaluated(event: RuleEvaluated) -> str:
    moved = (
        f"stays at {LEVELS[event.level]}"
        if event.level == event.was
        else f"went from {LEVELS[event.was]} to {LEVELS[event.level]}"
    )
    because = "" if event.grounds is None else f": {grounds_words(event.grounds)}"
    until = "" if event.until is None else f" until {event.until}"
    withheld = (
        until and f" Until {event.until} that holds."
        if event.withheld is None
        else f" It does not act, because {WITHHELD[event.withheld]}{until} ({event.withheld})."
    )
    unanswered = (
        "" if event.unanswered is None else f" A condition had no answer, and so did not hold: {event.unanswered}."
    )
    return f"The rule {event.rule} {moved}{because}.{withheld}{unanswered}"


def _begun(event: RefusalBegun) -> str:
    waits = "until that is over" if event.cause == "hold" else "until a person resumes it"
    ends = waits if event.until is None else f"until {event.until}"
    facts = [
        None if event.rule is None else f"the rule {event.rule} would have acted",
        None if event.budget is None else f"used are {budget_words(event.budget)}",
        None if event.failures is None else f"{event.failures} actions in a row failed",
        None if event.failures_max is None else f"the breaker opens at {event.failures_max}",
        None if event.action_id is None else f"it is the action {event.action_id}",
    ]
    known = "; ".join(fact for fact in facts if fact)
    said = f": {known}" if known else ""
    return f"From {event.at} on no rule acts, {ends}, because {CAUSES[event.cause]} ({event.cause}){said}."
