"""Signals: each is taken or refused, in order; those that are taken move windows, and rules are asked."""

from tai_autonomics.domain.decider import Accepted, Refused
from tai_autonomics.domain.governor import refusals
from tai_autonomics.domain.governor.commands import Observe
from tai_autonomics.domain.governor.evaluating import Evaluation, Surroundings
from tai_autonomics.domain.governor.events import (
    GovernorEvent,
    RulesForgotten,
    SignalObserved,
    SignalReason,
    SignalRefused,
)
from tai_autonomics.domain.governor.signals import Signal, text_of
from tai_autonomics.domain.governor.states import GovernorState, Sample
from tai_autonomics.domain.governor.windows import kept
from tai_autonomics.domain.identifiers import MetricName
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.rules import Rule

FORGOTTEN_MAX = 8


def observe(command: Observe, state: GovernorState, around: Surroundings) -> Accepted[GovernorEvent] | Refused:
    """
    The answer to signals.

    Refused only where every signal is refused for one and the same reason; otherwise the events say, in the signals'
    order, which were observed and which were refused.
    """
    evaluation = Evaluation(state, around)
    refused = [_take(signal, evaluation) for signal in command.signals]
    reasons = {None if each is None else each.reason for each in refused}
    first = refused[0]
    if len(reasons) == 1 and first is not None:
        return first
    if None in reasons:
        _forget(evaluation)
    return Accepted(evaluation.close())


def _take(signal: Signal, evaluation: Evaluation) -> Refused | None:
    rules = tuple(rule for rule in evaluation.around.governance.rules if rule.signal == signal.metric)
    newest = _newest(evaluation.state, signal.metric)
    around = evaluation.around
    reason = _reason_against(signal, rules, newest, around)
    if reason is not None:
        event = _refused_event(signal, reason, newest)
        evaluation.add(event)
        return refusals.signal(event, around.now, around.observed_ahead_seconds_max)
    evaluation.add(_observed(signal, rules, newest, evaluation))
    for rule in rules:
        evaluation.evaluate(rule)
    return None


def _reason_against(
    signal: Signal, rules: tuple[Rule, ...], newest: Moment | None, around: Surroundings
) -> SignalReason | None:
    if not rules:
        return "unknown_metric"
    if signal.observed_at is None:
        return None
    if signal.observed_at > plus_seconds(around.now, around.observed_ahead_seconds_max):
        return "clock_skew"
    return "stale" if newest is not None and signal.observed_at < newest else None


def _refused_event(signal: Signal, reason: SignalReason, newest: Moment | None) -> SignalRefused:
    return SignalRefused(
        signal.metric,
        text_of(signal.value),
        reason,
        signal.observed_at,
        newest if reason == "stale" else None,
        signal.labels,
    )


def _observed(signal: Signal, rules: tuple[Rule, ...], newest: Moment | None, evaluation: Evaluation) -> SignalObserved:
    # Without a time of its own it is as new as the newest, whose source's clock may be ahead of ours.
    observed_at = signal.observed_at or max(evaluation.around.now, newest or evaluation.around.now)
    known = evaluation.state.metrics.get(signal.metric)
    samples = (*(() if known is None else known.samples), Sample(observed_at, signal.value))
    return SignalObserved(signal.metric, text_of(signal.value), observed_at, kept(samples, rules), signal.labels)


def _newest(state: GovernorState, metric: MetricName) -> Moment | None:
    measured = state.metrics.get(metric)
    return None if measured is None else measured.samples[-1].at


def _forget(evaluation: Evaluation) -> None:
    """What no rule of the plan names any more, but for cool-downs; a few at a time, as a receipt has its bound."""
    state, now, rules = evaluation.state, evaluation.around.now, evaluation.around.governance.rules
    named, measured = {rule.name for rule in rules}, {rule.signal for rule in rules}
    over = [
        name
        for name, rule in state.rules.items()
        if name not in named and (rule.level != "clear" or rule.cooldown_until is None or rule.cooldown_until <= now)
    ]
    metrics = [name for name in state.metrics if name not in measured]
    if over or metrics:
        evaluation.add(RulesForgotten(now, tuple(over[:FORGOTTEN_MAX]), tuple(metrics[:FORGOTTEN_MAX])))
