"""What stops the rules, and what lets them go on."""

from tests.builders import ACTION, ENT, HIGH, NOW, PRO, after, governed, in_service, observed, rule
from tests.given_when_then import Given, given
from tests.unit.domain.governor.actions import attempted, settled

from tai_autonomics.domain.actions import Webhook
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.entitlement import Grant, Revoke
from tai_autonomics.domain.governor import (
    ActionRequested,
    ApproveAction,
    EndBudget,
    EndThrottle,
    LoseAttempt,
    LostAttempt,
    PauseGovernor,
    RefusalBegun,
    RefusalEnded,
    ReportResult,
    ResumeGovernor,
    RuleEvaluated,
    Throttled,
    ThrottleEnded,
    ThrottleSet,
    status_of,
)
from tai_autonomics.domain.rules import Budget
from tai_autonomics.domain.tenant import Subject, throttle_in_force

WINDOW_START, WINDOW_END = "2026-11-24T12:00:00.000000Z", "2026-11-24T13:00:00.000000Z"
NOT_TWICE = Webhook("https://hooks.example/page", idempotent=False)
CALM = given(*in_service()).under(governed(failures=2))


def failed(history: Given, at: float) -> Given:
    """The rule acts at that many seconds after NOW, and the action fails."""
    return settled(history.when(observed(99), at=after(at)).and_then, "failed", at=after(at))


def test_a_pause_makes_a_governor_refuse_from_every_status() -> None:
    warned, busy = CALM.when(observed(70)).and_then, CALM.when(observed(99)).and_then
    for history in (given(), CALM, warned, busy):
        was = status_of(history.state.governor)
        paused = history.when(PauseGovernor())
        after_it = paused.then(RefusalBegun("pause", NOW))
        assert (paused.decision.was, paused.decision.to) == (was, "refusing")
        assert paused.decision.subject == Subject("governor", "autonomic")
        assert paused.decision.gates == ()
        after_it.when(PauseGovernor()).then_refused("invalid_transition")


def test_while_a_governor_refuses_signals_move_windows_and_levels_and_no_rule_acts() -> None:
    paused = CALM.when(PauseGovernor()).and_then
    said = paused.when(observed(99)).events[-1]
    assert isinstance(said, RuleEvaluated)
    assert (said.level, said.withheld, said.until) == ("warning", "governor_refusing", None)
    assert paused.when(observed(99)).and_then.state.governor.metrics["cpu"].samples[-1].value == 99


def test_a_resume_leads_to_stable_with_every_rule_clear() -> None:
    paused = CALM.when(observed(70)).and_then.when(PauseGovernor()).and_then
    resumed = paused.when(ResumeGovernor(), at=after(5))
    history = resumed.then(RefusalEnded(("pause",), after(5), failures=0))
    assert (resumed.decision.was, resumed.decision.to) == ("refusing", "stable")
    assert history.state.governor.rules[HIGH].level == "clear"


def test_a_resume_leads_to_intervening_while_an_action_is_in_flight() -> None:
    paused = CALM.when(observed(99)).and_then.when(PauseGovernor()).and_then
    assert paused.when(ResumeGovernor()).decision.to == "intervening"


def test_there_must_be_something_to_resume() -> None:
    refused = CALM.when(ResumeGovernor())
    assert refused.then_refused("invalid_transition").next_step == "nothing to do: it may act"


def test_the_breaker_opens_after_exactly_so_many_failures_in_a_row_and_resume_closes_it() -> None:
    once = failed(CALM, 0)
    assert (once.state.governor.failures, status_of(once.state.governor)) == (1, "stable")
    twice = failed(once, 600)
    assert RefusalBegun("breaker", after(600), failures=2, failures_max=2) in twice.events
    assert status_of(twice.state.governor) == "refusing"
    closed = twice.when(ResumeGovernor(), at=after(700)).then(RefusalEnded(("breaker",), after(700), failures=0))
    assert status_of(failed(closed, 1_200).state.governor) == "stable"


def test_a_success_between_failures_begins_to_count_anew() -> None:
    between = settled(failed(CALM, 0).when(observed(99), at=after(600)).and_then, at=after(600))
    assert between.state.governor.failures == 0
    assert status_of(failed(between, 1_200).state.governor) == "stable"


def test_what_timed_out_failed_and_what_was_cancelled_did_neither() -> None:
    once = settled(CALM.when(observed(99)).and_then, "timed_out")
    assert once.state.governor.failures == 1


def test_without_a_breaker_failures_stop_nothing() -> None:
    history = given(*in_service()).under(governed(rule(cooldown=60)))
    for number in range(5):
        history = failed(history, 60 * number)
    assert (history.state.governor.failures, status_of(history.state.governor)) == (5, "stable")


def test_a_breaker_that_no_plan_could_open_when_the_action_failed_opens_before_the_next_one() -> None:
    begun = attempted(failed(CALM, 0).when(observed(99), at=after(600)).and_then, at=after(600))
    nobody = begun.when(Revoke(ENT)).and_then
    unseen = nobody.when(ReportResult(ACTION, 1, "failed", "", 5), at=after(601)).and_then
    assert (unseen.state.governor.failures, unseen.state.governor.refusing) == (2, {})
    back = unseen.when(Grant("ent_2", PRO), at=after(1_300)).and_then.when(observed(99), at=after(1_300))
    assert RefusalBegun("breaker", after(1_300), failures=2, failures_max=2) in back.events
    said = back.events[-1]
    assert isinstance(said, RuleEvaluated)
    assert (said.withheld, said.until) == ("governor_refusing", None)


def test_failures_are_counted_on_through_a_pause() -> None:
    paused = failed(CALM, 0).when(PauseGovernor()).and_then
    assert paused.when(ResumeGovernor()).and_then.state.governor.failures == 1


# the budget's end


def exhausted() -> Given:
    history = given(*in_service()).under(governed(rule(cooldown=60), budget=Budget(1, 3_600)))
    return settled(history.when(observed(99)).and_then).when(observed(99), at=after(60)).and_then


def test_a_budget_that_is_used_up_ends_refusing_with_its_window_and_not_by_a_resume() -> None:
    waits = exhausted().when(ResumeGovernor()).then_refused("invalid_transition")
    assert WINDOW_END in waits.next_step
    early = exhausted().when(EndBudget(WINDOW_END), at=after(60))  # type: ignore[arg-type]
    early.then_refused("invalid_transition")
    over = exhausted().when(EndBudget(WINDOW_END), at=WINDOW_END)  # type: ignore[arg-type]
    history = over.then(RefusalEnded(("budget",), WINDOW_END, failures=0))  # type: ignore[arg-type]
    assert (over.decision.was, over.decision.to) == ("refusing", "stable")
    history.when(EndBudget(WINDOW_END), at=WINDOW_END).then_refused("invalid_transition")  # type: ignore[arg-type]
    exhausted().when(EndBudget(after(1)), at=WINDOW_END).then_refused("invalid_transition")  # type: ignore[arg-type]
    acts = history.when(observed(99), at=WINDOW_END).events[-1]  # type: ignore[arg-type]
    assert isinstance(acts, ActionRequested)
    assert acts.budget == BudgetUse(1, 1, 3_600, WINDOW_END, "2026-11-24T14:00:00.000000Z")


def test_causes_end_one_by_one() -> None:
    both = exhausted().when(PauseGovernor(), at=after(61)).and_then
    resumed = both.when(ResumeGovernor(), at=after(62)).and_then
    assert set(resumed.state.governor.refusing) == {"budget"}
    assert resumed.state.governor.rules[HIGH].level == "acted"
    waiting = both.when(EndBudget(WINDOW_END), at=WINDOW_END).and_then  # type: ignore[arg-type]
    assert set(waiting.state.governor.refusing) == {"pause"}


def test_the_gate_says_what_the_governor_refuses_for_and_until_when() -> None:
    waiting = exhausted().when(ApproveAction(ACTION, "ann"), at=after(61))
    assert waiting.then_refused("governor_refusing").next_step == f"wait until {WINDOW_END}"
    gate = waiting.decision.gates[-1]
    assert (gate.gate, gate.evidence) == (
        "governor_is_not_refusing",
        {"state": "refusing", "causes": ["budget"], "until": WINDOW_END},
    )
    both = exhausted().when(PauseGovernor(), at=after(61)).and_then.when(ApproveAction(ACTION, "ann"), at=after(62))
    assert both.then_refused("governor_refusing").next_step == "resume the governor"


# a throttle's end


def test_a_throttle_is_in_force_until_its_end() -> None:
    set_ = given(*in_service(), ThrottleSet(ACTION, 5, 60, after(600)))
    throttled = Throttled(5, 60, after(600), ACTION)
    assert throttle_in_force(set_.state, after(599)) == throttled
    assert throttle_in_force(set_.state, after(600)) is None
    assert throttle_in_force(given().state, NOW) is None
    ended = set_.when(EndThrottle(after(600)), at=after(601)).then(ThrottleEnded(after(601)))
    assert ended.state.governor.throttle is None
    for early in (set_.when(EndThrottle(after(600))), set_.when(EndThrottle(after(1)), at=after(600))):
        early.then_refused("invalid_transition")
    given().when(EndThrottle(after(1)), at=after(2)).then_refused("invalid_transition")


def test_only_so_many_lost_attempts_are_remembered() -> None:
    history = given(*in_service()).under(governed(rule(cooldown=0, attempts=1, order=NOT_TWICE)))
    for number in range(18):
        at = after(600 * number)
        begun = attempted(
            history.when(observed(99), at=at, action_id=f"act_{number}").and_then,  # type: ignore[arg-type]
            at=at,
        )
        lease = begun.state.governor.in_flight.leased_until  # type: ignore[union-attr]
        gone = begun.when(LoseAttempt(f"act_{number}", lease), at=lease).and_then  # type: ignore[arg-type]
        history = gone.when(ResumeGovernor(), at=lease).and_then  # type: ignore[arg-type]
    assert history.state.governor.lost == tuple(LostAttempt(f"act_{n}", 1) for n in range(2, 18))  # type: ignore[arg-type]
    old = ReportResult("act_1", 1, "succeeded", "", 5)  # type: ignore[arg-type]
    history.when(old, at=after(600 * 18)).then_refused("invalid_transition")
