"""What rules did, counted from events: the same for a ledger's and for those of a rehearsal."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct, field

from tai_autonomics.domain.actions import ActionType, type_of
from tai_autonomics.domain.governor import ActionRequested, ActionSettled, RuleEvaluated, WouldHaveActed
from tai_autonomics.domain.identifiers import RuleName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.tenant import Event


class Act(Struct, frozen=True, order=True):
    """A rule asked for its action, or only said that it would have (mode shadow)."""

    at: Moment
    rule: RuleName
    action: ActionType
    kind: Literal["requested", "would_have"]


class Tally(Struct):
    """What one rule did. `withheld` counts why its act_when held in vain, `settled` how its actions ended."""

    warnings: int = 0
    requested: int = 0
    would_have: int = 0
    withheld: dict[str, int] = field(default_factory=Counter)
    settled: dict[str, int] = field(default_factory=Counter)


Tallies = dict[RuleName, Tally]


def count(events: Iterable[Event], tallies: Tallies) -> None:
    """Adds what the events say."""
    for event in events:
        match event:
            case RuleEvaluated(rule, level, was):
                tally = _of(rule, tallies)
                tally.warnings += level == "warning" and was == "clear"
                if event.withheld is not None:
                    tally.withheld[event.withheld] += 1
            case ActionRequested():
                _of(event.rule, tallies).requested += 1
            case WouldHaveActed():
                _of(event.rule, tallies).would_have += 1
            case ActionSettled():
                _of(event.rule, tallies).settled[event.result] += 1
            case _:
                continue


def acts_of(events: Iterable[Event]) -> Iterator[Act]:
    for event in events:
        match event:
            case ActionRequested():
                yield Act(event.requested_at, event.rule, type_of(event.order), "requested")
            case WouldHaveActed():
                yield Act(event.at, event.rule, event.action, "would_have")
            case _:
                continue


def _of(rule: RuleName, tallies: Tallies) -> Tally:
    return tallies.setdefault(rule, Tally())
