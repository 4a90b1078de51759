"""
What the rules say to the measurements, and what they do about it.

    clear --warn_when--> warning --act_when--> acted --clear_when--> clear
      \\-------------------act_when------------/  ^ again, once its cool-down is over

Between act_when and clear_when nothing changes. A rule whose act_when holds may be withheld; the event says why.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from tai_autonomics.domain.actions import is_idempotent, type_of
from tai_autonomics.domain.budgets import BudgetUse, spent, use_at
from tai_autonomics.domain.governor.events import (
    ActionRequested,
    Condition,
    GovernorEvent,
    Grounds,
    RefusalBegun,
    RefusalEnded,
    RuleEvaluated,
    WindowSeen,
    Withheld,
    WouldHaveActed,
)
from tai_autonomics.domain.governor.evolving import evolve
from tai_autonomics.domain.governor.signals import text_of
from tai_autonomics.domain.governor.states import ApprovalWanted, GovernorState, Level, rule_state_of
from tai_autonomics.domain.governor.windows import window_of
from tai_autonomics.domain.identifiers import ActionId, QuotaName, RuleName
from tai_autonomics.domain.moments import Moment, plus_seconds
from tai_autonomics.domain.plans import Plan
from tai_autonomics.domain.rules import Condition as Question
from tai_autonomics.domain.rules import ConditionFailed, Facts, Governance, QuotaFacts, Rule, Window

TEXT_BYTES_MAX: Final = 160
"""As much of a condition is in an event, counted as JSON; the plans file, which the receipt names, has the rest."""
UNANSWERED_BYTES_MAX: Final = 240
WAITING_SECONDS_MAX: Final = 600
"""How long an action may wait in all, for a worker and between its attempts."""
NO_RULES: Final = Governance()

_encode: Final = msgspec.json.Encoder().encode


class Surroundings(Struct, frozen=True):
    """
    What the governor is told of its tenant and the moment. `action_id` is the next action's, should there be one.

    `closed`: compliance does not permit actions.
    """

    now: Moment
    plan: Plan | None
    quota: Mapping[QuotaName, QuotaFacts]
    action_id: ActionId
    observed_ahead_seconds_max: int
    closed: bool = False

    @property
    def governance(self) -> Governance:
        return NO_RULES if self.plan is None else self.plan.governor


class _Hindrance(NamedTuple):
    why: Withheld
    until: Moment | None


class Evaluation:
    """One decision's: holds the state that its events lead to. What rules say is told at its close, once each."""

    def __init__(self, state: GovernorState, around: Surroundings) -> None:
        self.state, self.around = state, around
        self.events: list[GovernorEvent] = []
        self._said: dict[RuleName, RuleEvaluated] = {}
        self._acted: set[RuleName] = set()

    def add(self, event: GovernorEvent) -> None:
        self.events.append(event)
        self.state = evolve(self.state, event)

    def evaluate(self, rule: Rule) -> None:
        """Ask the rule about its metric's window as it stands; it may act."""
        plan, measured = self.around.plan, self.state.metrics.get(rule.signal)
        window = None if measured is None else window_of(measured.samples, rule.over)
        if plan is None or measured is None or window is None:
            return
        asked = _Asked(Facts(window.last, window, measured.labels, plan.name, self.around.quota))
        held: Condition | None = None
        hindrance: _Hindrance | None = None
        if asked.holds("act_when", rule.act_when):
            held = "act_when"
            hindrance = self._act(rule, window)
            if hindrance is None:
                return
        level = self._level_of(rule.name)
        if level == "clear":
            if rule.warn_when is not None and asked.holds("warn_when", rule.warn_when):
                level, held = "warning", held or "warn_when"
        elif held is None and asked.holds("clear_when", rule.clear_when):
            level, held = "clear", "clear_when"
        grounds = None if held is None else _grounds(held, rule, window)
        self._say(rule.name, level, grounds, hindrance, asked.unanswered)

    def evaluate_all(self) -> None:
        """Every rule once."""
        for rule in self.around.governance.rules:
            self.evaluate(rule)

    def close(self) -> tuple[GovernorEvent, ...]:
        """All events of the decision."""
        for said in self._said.values():
            was = rule_state_of(self.state, said.rule).level
            if said.level != was or said.withheld is not None or said.unanswered is not None:
                self.add(msgspec.structs.replace(said, was=was))
        self._said.clear()
        return tuple(self.events)

    def _level_of(self, rule: RuleName) -> Level:
        said = self._said.get(rule)
        return rule_state_of(self.state, rule).level if said is None else said.level

    def _say(
        self,
        rule: RuleName,
        level: Level,
        grounds: Grounds | None,
        hindrance: _Hindrance | None,
        unanswered: str | None,
    ) -> None:
        """The last word on a rule stands; of one that acted in this decision there is only its level left to say."""
        if rule in self._acted:
            self._said[rule] = RuleEvaluated(rule, level, was=level)
        elif level != self._level_of(rule) or hindrance is not None or unanswered is not None:
            why, until = hindrance or (None, None)
            self._said[rule] = RuleEvaluated(rule, level, level, grounds, why, until, unanswered)

    def _act(self, rule: Rule, window: Window) -> _Hindrance | None:
        """Request the rule's action, or say what it would have done; or why not."""
        self._note_hold()
        now, state = self.around.now, self.state
        if state.in_flight is not None:
            return _Hindrance("in_flight", None)
        until = rule_state_of(state, rule.name).cooldown_until
        if rule.name in self._acted or (until is not None and now < until):
            return _Hindrance("cooling_down", until)
        if state.refusing:
            return _Hindrance("governor_refusing", refusing_until(state))
        if (opened := breaker(state.failures, state, self.around)) is not None:
            # The last failure was settled under another plan, or while none was in service.
            self.add(opened)
            return _Hindrance("governor_refusing", None)
        use = self._budget_use()
        if use is not None and self._is_exhausted(use, rule):
            if rule.mode != "shadow":
                self.add(RefusalBegun("budget", now, use.window_end, rule.name, use))
            return _Hindrance("action_budget_exhausted", use.window_end)
        self._said.pop(rule.name, None)
        self._acted.add(rule.name)
        self.add(self._shadow(rule, window) if rule.mode == "shadow" else self._request(rule, window, use))
        return None

    def _note_hold(self) -> None:
        """What compliance says now, where another plans file came since the last decision."""
        noted = hold_noted(self.state, self.around.now, closed=self.around.closed)
        if noted is not None:
            self.add(noted)

    def _budget_use(self) -> BudgetUse | None:
        budget = self.around.governance.budget
        return None if budget is None else use_at(self.around.now, budget, self.state.budget)

    def _shadow_use(self) -> BudgetUse | None:
        budget = self.around.governance.budget
        return None if budget is None else use_at(self.around.now, budget, self.state.shadowed)

    def _is_exhausted(self, use: BudgetUse, rule: Rule) -> bool:
        shadowed = self._shadow_use() if rule.mode == "shadow" else None
        return use.used + (0 if shadowed is None else shadowed.used) >= use.max

    def _shadow(self, rule: Rule, window: Window) -> WouldHaveActed:
        use = self._shadow_use()
        return WouldHaveActed(
            rule=rule.name,
            action=type_of(rule.order),
            at=self.around.now,
            cooldown_until=plus_seconds(self.around.now, rule.cooldown_seconds),
            grounds=_grounds("act_when", rule, window),
            budget=None if use is None else spent(use),
        )

    def _request(self, rule: Rule, window: Window, use: BudgetUse | None) -> ActionRequested:
        now, approval = self.around.now, rule.approval
        wanted = (
            None if approval is None else ApprovalWanted(approval.people, plus_seconds(now, approval.within_seconds))
        )
        return ActionRequested(
            action_id=self.around.action_id,
            rule=rule.name,
            order=rule.order,
            idempotent=is_idempotent(rule.order),
            attempts_max=rule.attempts_max,
            timeout_seconds=rule.timeout_seconds,
            requested_at=now,
            cooldown_until=plus_seconds(now, rule.cooldown_seconds),
            metric=rule.signal,
            value=text_of(window.last),
            grounds=_grounds("act_when", rule, window),
            approval=wanted,
            deadline=None if wanted else deadline_of(now, rule.attempts_max, rule.timeout_seconds),
            budget=None if wanted or use is None else spent(use),
        )


def reconsider(state: GovernorState, around: Surroundings) -> tuple[GovernorEvent, ...]:
    """What every rule says, once, when an action is settled: signals that came meanwhile are not lost."""
    evaluation = Evaluation(state, around)
    evaluation.evaluate_all()
    return evaluation.close()


def deadline_of(now: Moment, attempts_max: int, timeout_seconds: int) -> Moment:
    """By when the last attempt of an action must have ended that may be attempted from `now` on."""
    return plus_seconds(now, attempts_max * timeout_seconds + WAITING_SECONDS_MAX)


def breaker(failures: int, state: GovernorState, around: Surroundings) -> RefusalBegun | None:
    """It opens if so many failures in a row are one too many for the plan, and it is not open already."""
    failures_max = around.governance.failures_max
    if failures_max is None or failures < failures_max or "breaker" in state.refusing:
        return None
    return RefusalBegun("breaker", around.now, failures=failures, failures_max=failures_max)


def hold_noted(state: GovernorState, now: Moment, *, closed: bool) -> RefusalBegun | RefusalEnded | None:
    """What begins or ends where compliance is closed for actions, or is not any more; None where that is known."""
    if closed is ("hold" in state.refusing):
        return None
    return RefusalBegun("hold", now) if closed else RefusalEnded(("hold",), now, state.failures)


def refusing_until(state: GovernorState) -> Moment | None:
    """When refusing ends by itself; None where a person must end it."""
    ends = [refusing.until for refusing in state.refusing.values()]
    return None if None in ends else max(end for end in ends if end is not None)


class _Asked:
    """One rule's conditions, asked about the same facts; keeps why the first one had no answer."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.unanswered: str | None = None

    def holds(self, condition: Condition, question: Question) -> bool:
        try:
            return question.holds(self._facts)
        except ConditionFailed as error:
            self.unanswered = self.unanswered or cut(f"{condition}: {error}", UNANSWERED_BYTES_MAX)
            return False


def _grounds(condition: Condition, rule: Rule, window: Window) -> Grounds:
    question: Question | None = getattr(rule, condition)
    assert question is not None
    seen = WindowSeen(text_of(window.avg), text_of(window.min), text_of(window.max), text_of(window.last), window.count)
    return Grounds(condition, cut(question.text, TEXT_BYTES_MAX), seen)


def cut(text: str, bytes_max: int) -> str:
    """The text, or as much of its beginning as fits, with an ellipsis; its size is counted as JSON."""
    if len(_encode(text)) <= bytes_max + 2:
        return text
    kept = text[:bytes_max]
    while len(_encode(kept)) > bytes_max - 1:  # the quotes are two bytes, the ellipsis three
        kept = kept[:-1]
    return kept + "…"
