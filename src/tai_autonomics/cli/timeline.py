"""What a rehearsal did, for a person: a line for each thing that happened, and what came of it in the end."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tai_autonomics.application.codec import events_to_json
from tai_autonomics.application.rehearsing import Assumed, Step
from tai_autonomics.application.tallying import Tallies, Tally, count
from tai_autonomics.cli.output import counted
from tai_autonomics.domain.actions import type_of
from tai_autonomics.domain.decider import Refused, name_of
from tai_autonomics.domain.governor import (
    ActionApproved,
    ActionAttempted,
    ActionRequested,
    ActionSettled,
    AttemptEnded,
    Grounds,
    RefusalBegun,
    RefusalEnded,
    RuleEvaluated,
    SignalObserved,
    ThrottleEnded,
    ThrottleSet,
    WouldHaveActed,
)
from tai_autonomics.domain.identifiers import MetricName
from tai_autonomics.domain.rules import Rule, Samples
from tai_autonomics.domain.tenant import Event


class Timeline:
    """Tells what is new: what is said again and again (withheld, refused) is said once, and counted."""

    def __init__(self) -> None:
        self.tallies: Tallies = {}
        self.signals = 0
        self.observed: Counter[MetricName] = Counter()
        self.refused: Counter[str] = Counter()
        self._said: set[tuple[str, ...]] = set()

    def lines_of(self, step: Step) -> Iterator[str]:
        """What is to be said of the step; it counts."""
        count(step.events, self.tallies)
        for said in self._sentences(step):
            # For a person: whole seconds without their six zeros.
            yield f"{step.at}  {step.to:<11}  {said}".replace(".000000Z", "Z")

    def summary(self, rules: Sequence[Rule]) -> list[str]:
        """What it all came to: the rules in the order in which they were heard of, then those that said nothing."""
        why = f", {sum(self.refused.values()):,} refused ({listed(self.refused)})" if self.refused else ""
        return [
            counted(self.signals, "signal") + why,
            *(f"{rule}: {said_of(each)}" for rule, each in self.tallies.items()),
            *(f"{rule.name}: {self._silence_of(rule)}" for rule in rules if rule.name not in self.tallies),
        ]

    def document(self) -> dict[str, Any]:
        """The same for a program."""
        return {"signals": self.signals, "refused": self.refused, "rules": self.tallies}

    def _silence_of(self, rule: Rule) -> str:
        seen = self.observed[rule.signal]
        match rule.over:
            case _ if not seen:
                return f"nothing: no signal of {rule.signal} was taken"
            case Samples(wanted) if seen < wanted:
                return f"waits: it needs {counted(wanted, 'measurement')} of {rule.signal}, and had {seen:,}"
            case _:
                asked = rule.act_when.text if rule.warn_when is None else f"{rule.warn_when.text}, {rule.act_when.text}"
                return f"nothing: none of its conditions held ({asked}) in {counted(seen, 'measurement')}"

    def _sentences(self, step: Step) -> Iterator[str]:
        if isinstance(step.outcome, Refused):
            yield from self._refused(name_of(step.command), step.outcome)
            return
        for event in step.events:
            match event:
                case SignalObserved():
                    self.signals += 1
                    self.observed[event.metric] += 1
                case RuleEvaluated():
                    yield from self._evaluated(event)
                case _:
                    yield _sentence(event)

    def _refused(self, command: str, refused: Refused) -> Iterator[str]:
        if command == "observe":
            self.signals += 1
            self.refused[refused.reason] += 1
            if not self._is_new("observe", refused.reason):
                return
        yield f"{command.replace('_', ' ')} refused: {refused.reason}: {refused.detail}"

    def _evaluated(self, event: RuleEvaluated) -> Iterator[str]:
        if event.level != event.was:
            self._said = {said for said in self._said if said[0] != event.rule}
            yield f"{event.rule}: {event.was} -> {event.level}{_because(event.grounds)}"
        if event.withheld is not None and self._is_new(event.rule, event.withheld, event.until or ""):
            until = "" if event.until is None else f" until {event.until}"
            yield f"{event.rule}: does not act: {event.withheld}{until}"
        if event.unanswered is not None and self._is_new(event.rule, event.unanswered):
            yield f"{event.rule}: no answer: {event.unanswered}"

    def _is_new(self, *said: str) -> bool:
        new = said not in self._said
        self._said.add(said)
        return new


def document_of(step: Step) -> dict[str, Any]:
    """A step for a program."""
    document = {"time": step.at, "command": name_of(step.command), "from": step.was, "to": step.to}
    if isinstance(step.outcome, Refused):
        return {**document, "refusal": step.outcome}
    return {**document, "events": events_to_json(step.events)}


def assumed_said(assumed: Assumed) -> str:
    """What is not rehearsed."""
    wait = assumed.approval_seconds
    people = "nobody approves" if wait is None else f"people approve after {wait:g} s"
    return f"assumed: an attempt takes {assumed.latency_seconds:g} s, its outcome is {assumed.outcome}; {people}"


def said_of(tally: Tally) -> str:
    """What a rule did, in a line."""
    said = [
        counted(tally.warnings, "warning") if tally.warnings else "",
        f"{counted(tally.requested, 'action')} requested" if tally.requested else "",
        f"would have acted {times(tally.would_have)}" if tally.would_have else "",
        listed(tally.settled),
        f"withheld ({listed(tally.withheld)})" if tally.withheld else "",
    ]
    return ", ".join(filter(None, said)) or "nothing"


def times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def listed(counts: "dict[str, int]") -> str:
    return ", ".join(f"{word} {count:,}" for word, count in counts.items())


def _sentence(event: Event) -> str:
    match event:
        case ActionRequested():
            wanted = event.approval
            people = "" if wanted is None else f", if {_people(wanted.people)} by {wanted.until}"
            return f"{event.rule}: acts: {type_of(event.order)}{people}{_because(event.grounds)}"
        case WouldHaveActed():
            return f"{event.rule}: would have acted: {event.action}{_because(event.grounds)}"
        case ActionApproved():
            return f"approved by {event.by}, {event.approvals} of {event.people}"
        case ActionAttempted():
            return f"attempt {event.attempt}"
        case AttemptEnded():
            again = "" if event.retry_at is None else f", again at {event.retry_at}"
            return f"attempt {event.attempt} {event.outcome}{again}"
        case ActionSettled():
            return f"{event.rule}: {event.result}: {event.detail}"
        case RefusalBegun():
            ends = "until that ends" if event.cause == "hold" else "until an operator resumes it"
            until = ends if event.until is None else f"until {event.until}"
            return f"refuses to act: {event.cause}, {until}"
        case RefusalEnded():
            return f"refuses no more: {', '.join(event.causes)}"
        case ThrottleSet():
            return f"throttled to {event.requests:,} in {event.per_seconds:,} s until {event.until}"
        case ThrottleEnded():
            return "no longer throttled"
        case _:
            return type(event).__name__


def _people(people: int) -> str:
    return "1 person approves" if people == 1 else f"{people} people approve"


def _because(grounds: Grounds | None) -> str:
    if grounds is None:
        return ""
    seen = grounds.window
    window = f"avg {seen.avg}, min {seen.min}, max {seen.max}, last {seen.last} of {counted(seen.count, 'measurement')}"
    return f", as {grounds.text} ({window})"
