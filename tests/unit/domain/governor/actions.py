"""Histories of an action, told in a word."""

from tests.builders import ACTION, NOW, after
from tests.given_when_then import Given

from tai_autonomics.domain.governor import BeginAttempt, ReportResult
from tai_autonomics.domain.moments import Moment

TARGET: dict[str, str | int | bool] = {"until": after(600)}


def attempted(history: Given, *, at: Moment = NOW) -> Given:
    """The next attempt of the action in flight is under way."""
    action = history.state.governor.in_flight
    assert action is not None
    return history.when(BeginAttempt(action.id, action.attempts + 1, action.target or TARGET), at=at).and_then


def settled(history: Given, outcome: str = "succeeded", *, at: Moment = NOW) -> Given:
    """The action in flight was attempted and ended so."""
    under_way = attempted(history, at=at)
    action = under_way.state.governor.in_flight
    assert action is not None
    result = ReportResult(action.id, action.attempts, outcome, "so it ended", 5)  # type: ignore[arg-type]
    return under_way.when(result, at=at).and_then


__all__ = ["ACTION", "TARGET", "attempted", "settled"]
