"""What became of an action, a sentence an event."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tai_autonomics.cli.explaining.words import budget_words, grounds_words, json_text, order_words
from tai_autonomics.cli.output import counted
from tai_autonomics.domain.actions import type_of
from tai_autonomics.domain.fleet import FleetReserved
from tai_autonomics.domain.governor import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    AttemptEnded,
    LateResultRecorded,
)

ActionEvent = (
    ActionRequested
    | ActionApproved
    | ActionAttempted
    | AttemptEnded
    | LateResultRecorded
    | ActionSettled
    | FleetReserved
)

RESULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "succeeded": "it was done",
        "failed": "it was not done",
        "timed_out": "no answer came in time, so it may have been done or not",
        "unknown": "nobody knows whether it was done",
        "lapsed": "its time was over before it was done",
        "cancelled": "it is not to be done any more",
    }
)
"""How an action, or an attempt of it, ends."""


def sentence_of(event: ActionEvent) -> str:
    """What the event says, all of it."""
    match event:
        case ActionRequested():
            return _requested(event)
        case ActionApproved():
            return _approved(event)
        case ActionAttempted(action_id, attempt, target, at, leased_until):
            return (
                f"At {at} attempt {attempt} of the action {action_id} is about to reach out, to make true"
                f" {json_text(target)}; without a result by {leased_until} it is taken for lost."
            )
        case AttemptEnded():
            return _ended(event)
        case LateResultRecorded(action_id, attempt, outcome, detail, duration_ms):
            return (
                f"Attempt {attempt} of the action {action_id}, which had been taken for lost, ended {outcome}"
                f" ({RESULTS[outcome]}) after {duration_ms} ms: {detail}."
            )
        case ActionSettled(action_id, rule, result, detail, at, attempts, failures, by):
            who = "" if by is None else f", by {by}"
            return (
                f"The action {action_id} of the rule {rule} was settled {result} ({RESULTS[result]}) at {at}{who}:"
                f" {detail}. It was attempted {counted(attempts, 'time')}; actions that failed in a row are {failures}"
                " now."
            )
        case FleetReserved(action_id, action, budget):
            used = (
                "that type has no budget over all tenants"
                if budget is None
                else f"of the budget over all tenants are used {budget_words(budget)}"
            )
            return f"The action {action_id} ({action}) may be carried out: {used}."


def _requested(event: ActionRequested) -> str:
    approval = event.approval
    begins = (
        ""
        if approval is None
        else f" {approval.people} people must approve it before {approval.until}; else nothing happens."
    )
    deadline = "" if event.deadline is None else f" It is attempted until {event.deadline}."
    used = "" if event.budget is None else f" With it are used {budget_words(event.budget)}."
    lost = "is repeated: a second one does no more" if event.idempotent else "is not repeated: it may have been done"
    return (
        f"At {event.requested_at} the rule {event.rule} acts on {event.metric}, which was {event.value}:"
        f" {grounds_words(event.grounds)}. It asks for the action {event.action_id} ({type_of(event.order)}):"
        f" {order_words(event.order)}; in at most {counted(event.attempts_max, 'attempt')} of {event.timeout_seconds} s"
        f" each. One that is lost {lost}.{begins}{deadline} The rule does not act again before"
        f" {event.cooldown_until}.{used}"
    )


def _approved(event: ActionApproved) -> str:
    deadline = "" if event.deadline is None else f" It is attempted until {event.deadline}."
    used = "" if event.budget is None else f" With it are used {budget_words(event.budget)}."
    return (
        f"{event.by} approved the action {event.action_id} at {event.at}: {event.approvals} of {event.people} approvals"
        f" are there.{deadline}{used}"
    )


def _ended(event: AttemptEnded) -> str:
    lost = " It is taken for lost: nobody said how it ended." if event.lost else ""
    after = "" if event.duration_ms is None else f" after {event.duration_ms} ms"
    retry = "" if event.retry_at is None else f" It is tried again at {event.retry_at}."
    deadline = "" if event.deadline is None else f" It may be attempted until {event.deadline}."
    return (
        f"Attempt {event.attempt} of the action {event.action_id} ended {event.outcome} ({RESULTS[event.outcome]})"
        f"{after}: {event.detail}.{lost}{retry}{deadline}"
    )
