"""When a rule warns, acts and clears: hysteresis, cool-downs, budgets, and why it was withheld."""

from tests.builders import (
    ACTION,
    CPU,
    HIGH,
    NOW,
    after,
    governed,
    in_service,
    observed,
    rule,
)
from tests.given_when_then import Given, Then, given
from tests.unit.domain.governor.actions import attempted, settled

from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.governor import (
    ActionRequested,
    Grounds,
    Observe,
    PauseGovernor,
    RefusalBegun,
    ReportResult,
    RuleEvaluated,
    SignalObserved,
    WindowSeen,
    WouldHaveActed,
    status_of,
)
from tai_autonomics.domain.rules import Budget, Rule, Samples

WINDOW_START, WINDOW_END = "2026-11-24T12:00:00.000000Z", "2026-11-24T13:00:00.000000Z"
HOURLY = Budget(max=1, per_seconds=3_600)


def of(*rules: Rule, budget: Budget | None = None, failures: int | None = None) -> Given:
    return given(*in_service()).under(governed(*rules, budget=budget, failures=failures))


def grounds(condition: str, text: str, value: str, count: int = 1) -> Grounds:
    return Grounds(condition, text, WindowSeen(value, value, value, value, count))  # type: ignore[arg-type]


def statuses(history: Given, *values: int) -> list[str]:
    """The governor's status after each of the signals."""
    seen = []
    for value in values:
        history = history.when(observed(value)).and_then
        seen.append(status_of(history.state.governor))
    return seen


def rule_events(then: Then) -> list[object]:
    return [event for event in then.events if not isinstance(event, SignalObserved)]


def test_a_rule_warns_and_stays_so_until_it_clears() -> None:
    assert statuses(of(), 10, 61, 55, 50, 49, 55) == ["stable", "warning", "warning", "warning", "stable", "stable"]


def test_a_warning_and_its_end_are_said_once_with_their_grounds() -> None:
    warned = of().when(observed(70))
    assert rule_events(warned) == [
        RuleEvaluated(HIGH, "warning", "clear", grounds("warn_when", "window.avg > 60.0", "70"))
    ]
    again = warned.and_then.when(observed(71))
    assert rule_events(again) == []
    cleared = again.and_then.when(observed(10))
    assert rule_events(cleared) == [
        RuleEvaluated(HIGH, "clear", "warning", grounds("clear_when", "window.avg < 50.0", "10"))
    ]


def test_a_rule_without_warn_when_does_not_warn() -> None:
    assert statuses(of(rule(warn=None)), 70, 79, 81) == ["stable", "stable", "intervening"]


def test_only_what_is_left_of_several_signals_is_said_of_a_rule() -> None:
    flapping = of().when(Observe(observed(70, 10, 70, 10, 70).signals))
    assert rule_events(flapping) == [
        RuleEvaluated(HIGH, "warning", "clear", grounds("warn_when", "window.avg > 60.0", "70"))
    ]
    assert rule_events(of().when(Observe(observed(70, 10).signals))) == []


def test_an_act_makes_the_governor_intervening_from_stable_and_from_warning() -> None:
    assert statuses(of(), 10, 81) == ["stable", "intervening"]
    assert statuses(of(), 70, 81) == ["warning", "intervening"]


def test_a_rule_waits_for_its_window_before_it_does_anything() -> None:
    assert statuses(of(rule(over=Samples(3))), 99, 99, 99) == ["stable", "stable", "intervening"]


def test_between_act_and_clear_nothing_changes_after_an_act() -> None:
    acted = settled(of().when(observed(81)).and_then)
    assert acted.state.governor.rules[HIGH].level == "acted"
    assert statuses(acted, 70, 65, 55) == ["stable", "stable", "stable"]
    assert acted.state.governor.rules[HIGH].level == "acted"
    assert statuses(acted, 49, 70) == ["stable", "warning"]


def test_a_rule_does_not_act_again_inside_its_cool_down_and_says_until_when() -> None:
    acted = settled(of().when(observed(81)).and_then)
    again = acted.when(observed(82), at=after(599))
    assert rule_events(again) == [
        RuleEvaluated(
            HIGH,
            "acted",
            "acted",
            grounds("act_when", "window.avg > 80.0", "82"),
            withheld="cooling_down",
            until=after(600),
        )
    ]
    assert isinstance(again.and_then.when(observed(82), at=after(600)).events[-1], ActionRequested)


def test_a_rule_that_clears_may_still_not_act_inside_its_cool_down_but_warns() -> None:
    acted = settled(of().when(observed(81)).and_then).when(observed(10)).and_then
    (said,) = rule_events(acted.when(observed(90)))
    assert isinstance(said, RuleEvaluated)
    assert (said.level, said.withheld) == ("warning", "cooling_down")
    assert said.grounds is not None
    assert said.grounds.condition == "act_when"


def test_while_an_action_is_in_flight_no_rule_acts_and_windows_move_on() -> None:
    two = of(rule(), rule("other", signal="memory")).when(observed(81)).and_then
    other = two.when(observed(99, metric="memory"))
    (said,) = rule_events(other)
    assert isinstance(said, RuleEvaluated)
    assert (said.rule, said.level, said.withheld, said.until) == ("other", "warning", "in_flight", None)
    assert other.and_then.state.governor.metrics["memory"].samples[-1].value == 99


def test_a_rule_acts_at_most_once_in_one_decision_also_without_a_cool_down() -> None:
    shadow = of(rule(mode="shadow", cooldown=0)).when(Observe(observed(81, 82, 83).signals))
    assert [type(event) for event in rule_events(shadow)] == [WouldHaveActed]
    enforced = of(rule(cooldown=0)).when(Observe(observed(81, 82, 83).signals))
    assert [type(event) for event in rule_events(enforced)] == [ActionRequested]


def test_a_rule_that_acts_and_then_clears_in_one_decision_says_both() -> None:
    both = of(rule(mode="shadow")).when(Observe(observed(70, 81, 10).signals))
    assert [type(event) for event in rule_events(both)] == [WouldHaveActed, RuleEvaluated]
    assert rule_events(both)[-1] == RuleEvaluated(HIGH, "clear", "acted")
    assert both.and_then.state.governor.rules[HIGH].level == "clear"


def test_an_action_uses_the_budget_of_its_window() -> None:
    acted = of(budget=HOURLY).when(observed(81))
    requested = acted.events[-1]
    assert isinstance(requested, ActionRequested)
    assert requested.budget == BudgetUse(1, 1, 3_600, WINDOW_START, WINDOW_END)


def test_over_its_budget_no_action_is_requested_and_the_governor_refuses_until_the_window_ends() -> None:
    used = settled(of(rule(cooldown=60), budget=HOURLY).when(observed(81)).and_then)
    over = used.when(observed(82), at=after(120))
    use = BudgetUse(1, 1, 3_600, WINDOW_START, WINDOW_END)
    assert rule_events(over) == [
        RefusalBegun("budget", after(120), WINDOW_END, HIGH, use),
        RuleEvaluated(
            HIGH,
            "acted",
            "acted",
            grounds("act_when", "window.avg > 80.0", "82"),
            withheld="action_budget_exhausted",
            until=WINDOW_END,
        ),
    ]
    assert (over.decision.kind, over.decision.was, over.decision.to) == ("transition", "stable", "refusing")
    (withheld,) = rule_events(over.and_then.when(observed(83), at=after(180)))
    assert isinstance(withheld, RuleEvaluated)
    assert (withheld.withheld, withheld.until) == ("governor_refusing", WINDOW_END)


def test_a_budget_of_nothing_lets_nothing_happen() -> None:
    over = of(budget=Budget(0, 60)).when(observed(81))
    assert [type(event) for event in rule_events(over)] == [RefusalBegun, RuleEvaluated]


def test_a_window_begins_anew_and_so_does_one_of_another_length() -> None:
    used = settled(of(rule(cooldown=60), budget=HOURLY).when(observed(81)).and_then)
    next_hour = used.when(observed(82), at=WINDOW_END)  # type: ignore[arg-type]
    assert isinstance(next_hour.events[-1], ActionRequested)
    other = used.under(governed(rule(cooldown=60), budget=Budget(1, 1_800))).when(observed(82), at=after(60))
    assert isinstance(other.events[-1], ActionRequested)


def test_a_raised_budget_holds_at_once() -> None:
    used = settled(of(rule(cooldown=60), budget=HOURLY).when(observed(81)).and_then)
    raised = used.under(governed(rule(cooldown=60), budget=Budget(2, 3_600))).when(observed(82), at=after(60))
    requested = raised.events[-1]
    assert isinstance(requested, ActionRequested)
    assert requested.budget == BudgetUse(2, 2, 3_600, WINDOW_START, WINDOW_END)


# shadow


def test_a_shadow_says_what_it_would_have_done_and_nothing_is_in_flight() -> None:
    shadow = of(rule(mode="shadow"), budget=HOURLY).when(observed(81))
    assert rule_events(shadow) == [
        WouldHaveActed(
            HIGH,
            "webhook",
            NOW,
            after(600),
            grounds("act_when", "window.avg > 80.0", "81"),
            BudgetUse(1, 1, 3_600, WINDOW_START, WINDOW_END),
        )
    ]
    governor = shadow.and_then.state.governor
    assert (governor.in_flight, governor.budget, status_of(governor)) == (None, None, "stable")


def test_a_shadow_keeps_cool_down_hysteresis_and_budget_as_if_it_had_acted() -> None:
    acted = of(rule(mode="shadow", cooldown=60), budget=HOURLY).when(observed(81)).and_then
    (cooling,) = rule_events(acted.when(observed(82), at=after(59)))
    (spent,) = rule_events(acted.when(observed(82), at=after(60)))
    assert isinstance(cooling, RuleEvaluated)
    assert isinstance(spent, RuleEvaluated)
    assert (cooling.withheld, spent.withheld, spent.until) == ("cooling_down", "action_budget_exhausted", WINDOW_END)
    assert status_of(acted.when(observed(82), at=after(60)).and_then.state.governor) == "stable"
    assert statuses(acted, 70, 10, 70) == ["stable", "stable", "warning"]


def test_shadows_without_a_budget_are_not_counted() -> None:
    (said,) = rule_events(of(rule(mode="shadow")).when(observed(81)))
    assert isinstance(said, WouldHaveActed)
    assert said.budget is None


def test_a_shadow_would_not_have_acted_while_the_governor_refuses_or_an_action_is_in_flight() -> None:
    rules = rule(), rule("dark", signal="memory", mode="shadow")
    busy = of(*rules).when(observed(81)).and_then.when(observed(99, metric="memory"))
    paused = of(*rules).when(PauseGovernor()).and_then.when(observed(99, metric="memory"))
    for said, why in ((busy, "in_flight"), (paused, "governor_refusing")):
        event = said.events[-1]
        assert isinstance(event, RuleEvaluated)
        assert event.withheld == why


# what a settled action leaves


def test_when_an_action_is_settled_every_rule_is_asked_once_about_what_came_meanwhile() -> None:
    two = attempted(of(rule(), rule("other", signal="memory"), rule("idle", signal="disk")).when(observed(81)).and_then)
    waiting = two.when(observed(99, metric="memory")).and_then
    done = waiting.when(ReportResult(ACTION, 1, "succeeded", "ok", 5), action_id="act_2")  # type: ignore[arg-type]
    requested = [event for event in done.events if isinstance(event, ActionRequested)]
    assert [(event.action_id, event.rule, event.value) for event in requested] == [("act_2", "other", "99")]
    assert (done.decision.was, done.decision.to) == ("attempting", "succeeded")
    assert [gate.gate for gate in done.decision.gates] == [
        "compliance_permits",
        "entitlement_is_in_service",
        "governor_is_not_refusing",
        "action_is_within_budget",
    ]
    assert status_of(done.and_then.state.governor) == "intervening"
    assert CPU in done.and_then.state.governor.metrics
