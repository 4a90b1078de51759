"""A rehearsal decides as the service does: time first, the world's words when they are due, nothing twice."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import BOUNDS, CALLS, CPU, NOW, PRO, after, governed, in_service, quota, rule, when
from tests.traces import daily, flapping, spike

from tai_autonomics.application.rehearsing import Assumed, Rehearsal, Step, simulate
from tai_autonomics.application.tallying import Tallies, Tally, acts_of, count
from tai_autonomics.domain.actions import SuspendEntitlements, Throttle
from tai_autonomics.domain.decider import Accepted, Refused, name_of
from tai_autonomics.domain.governor import (
    ActionRequested,
    ActionSettled,
    Observe,
    PauseGovernor,
    Signal,
    SignalObserved,
    ThrottleEnded,
    ThrottleSet,
    status_of,
)
from tai_autonomics.domain.moments import LAST, Moment, datetime_of, moment_of
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.quota import Consume
from tai_autonomics.domain.rules import Approval, Budget
from tai_autonomics.domain.tenant import Event

MINUTE = 60


def signals(*values: float, every: float = MINUTE) -> list[tuple[Signal, Moment]]:
    moments = [after(index * every) for index in range(len(values))]
    return [(Signal(CPU, Decimal(str(value)), at), at) for value, at in zip(values, moments, strict=True)]


def run(plans: Plans, *values: float, every: float = MINUTE, **assumed: object) -> list[Step]:
    given_ = Assumed(**assumed)  # type: ignore[arg-type]
    return list(simulate(signals(*values, every=every), plans, PRO, assumed=given_))


def events(steps: list[Step]) -> list[Event]:
    return [event for step in steps for event in step.events]


def told(steps: list[Step]) -> list[tuple[float, str]]:
    """What was decided beside signals, and how many seconds from the start."""
    times = {after(second / 2): second / 2 for second in range(20_000)}
    return [(times[step.at], name_of(step.command)) for step in steps if not isinstance(step.command, Observe)]


def settled(steps: list[Step]) -> list[str]:
    return [event.result for event in events(steps) if isinstance(event, ActionSettled)]


def test_an_action_is_attempted_at_once_and_ends_as_assumed() -> None:
    steps = run(governed(), 40, 90, 40, latency_seconds=2.5)
    assert told(steps) == [(60, "begin_attempt"), (62.5, "report_result")]
    assert [step.to for step in steps] == ["stable", "intervening", "intervening", "stable", "stable"]
    assert settled(steps) == ["succeeded"]


def test_what_is_in_flight_at_the_end_is_settled_and_nothing_after_it() -> None:
    steps = run(governed(rule(mode="approve", cooldown=1)), 90)
    assert told(steps) == [(900, "lapse_approval")]
    # The rule acts anew as the approval lapses, and that is where it ends.
    assert [act.at for act in acts_of(events(steps))] == [NOW, after(900)]


def test_an_attempt_that_takes_longer_than_its_timeout_has_timed_out_and_is_tried_again() -> None:
    steps = run(governed(rule(attempts=2, timeout=5)), 90, latency_seconds=600)
    assert told(steps) == [(0, "begin_attempt"), (5, "report_result"), (6, "begin_attempt"), (11, "report_result")]
    assert settled(steps) == ["timed_out"]


@pytest.mark.parametrize(("outcome", "status"), [("failed", "stable"), ("unknown", "refusing")])
def test_each_outcome_can_be_assumed(outcome: str, status: str) -> None:
    steps = run(governed(rule(attempts=1)), 90, outcome=outcome)
    assert settled(steps) == [outcome]
    assert steps[-1].to == status


def test_what_the_plan_requires_is_taken_for_attested() -> None:
    requiring = governed(rule(), requires=("dpa", "soc2"))
    assert events(run(requiring, 90, 40)) == events(run(governed(rule()), 90, 40))


def test_failures_open_the_breaker() -> None:
    steps = run(governed(rule(cooldown=1), failures=2), 90, 90, 90, 90, outcome="failed")
    assert settled(steps) == ["failed", "failed"]
    assert steps[-1].to == "refusing"


def test_people_approve_when_they_are_assumed_to() -> None:
    two = rule(mode="approve", approval=Approval(within_seconds=900, people=2))
    steps = run(governed(two), 90, approval_seconds=120)
    assert told(steps) == [
        (120, "approve_action"),
        (120, "approve_action"),
        (120, "begin_attempt"),
        (121, "report_result"),
    ]


def test_an_approval_that_comes_as_it_lapses_comes_too_late() -> None:
    steps = run(governed(rule(mode="approve")), 90, approval_seconds=900)
    assert told(steps)[0] == (900, "lapse_approval")
    assert settled(steps) == ["lapsed"]


def test_what_the_world_says_in_vain_it_says_once() -> None:
    plans = governed(rule(mode="approve"))
    rehearsal = Rehearsal(plans, bounds=BOUNDS, assumed=Assumed(approval_seconds=60))
    rehearsal.apply(in_service())
    steps = list(rehearsal.take(Observe((Signal(CPU, Decimal(90)),)), NOW))
    steps += list(rehearsal.take(PauseGovernor(), after(30)))
    steps += list(rehearsal.reach(after(2_000)))
    refused = [step for step in steps if isinstance(step.outcome, Refused)]
    assert [(name_of(step.command), step.at) for step in refused] == [("approve_action", after(60))]
    assert settled(steps) == ["lapsed"]


def test_the_fleets_budget_bounds_the_tenant_too() -> None:
    plans = Plans("0" * 64, governed(rule(cooldown=30)).plans, {"webhook": Budget(1, 86_400)})
    assert settled(run(plans, 90, 90, 90)) == ["succeeded", "cancelled", "cancelled"]


def test_a_throttle_is_set_and_ends_in_its_time() -> None:
    plans = governed(rule(order=Throttle(10, 60, 90), cooldown=3_600))
    found = [event for event in events(run(plans, 90, 40, 40, 40)) if isinstance(event, ThrottleSet | ThrottleEnded)]
    assert [type(event).__name__ for event in found] == ["ThrottleSet", "ThrottleEnded"]
    assert found[0] == ThrottleSet(found[0].action_id, 10, 60, after(90))  # type: ignore[union-attr]
    assert found[1] == ThrottleEnded(after(90))


def test_after_a_suspension_signals_are_refused() -> None:
    steps = run(governed(rule(order=SuspendEntitlements())), 90, 90)
    last = steps[-1].outcome
    assert isinstance(last, Refused)
    assert last.reason == "entitlement_inactive"


def test_a_signal_whose_moment_has_passed_is_stale_and_changes_nothing() -> None:
    late = [*signals(40, 90), *signals(95)]
    steps = list(simulate(late, governed(), PRO))
    refused = [step.outcome for step in steps if isinstance(step.outcome, Refused)]
    assert [each.reason for each in refused] == ["stale"]
    assert steps[-2].at == after(60)


def test_what_is_used_of_a_quota_is_consumed_first() -> None:
    over = when("quota.api_calls.used > 50", lambda facts: facts.quota[CALLS].used > 50)
    plans = governed(rule(act=over, warn=None))
    assert quota(limit=100) == plans.plans[PRO].quotas[CALLS]
    for amount, acts in ((50, 0), (51, 1)):
        steps = simulate(signals(1), plans, PRO, consumed=[Consume(CALLS, amount)])
        assert len(list(acts_of(events(list(steps))))) == acts


def test_retries_wait_longer_each_time() -> None:
    steps = run(governed(rule(attempts=3)), 90, outcome="timed_out")
    assert [at for at, name in told(steps) if name == "begin_attempt"] == [0, 2, 5]


def test_tallies_count_what_rules_did() -> None:
    tallies: Tallies = {}
    count(events(run(governed(rule(mode="shadow")), 70, 90, 90, 40, 70, 90)), tallies)
    count(events(run(governed(rule("other")), 90)), tallies)
    assert tallies == {
        "cpu-high": Tally(2, 0, 1, {"cooling_down": 2}, {}),
        "other": Tally(0, 1, 0, {"cooling_down": 1}, {"succeeded": 1}),
    }


def test_a_days_trace_acts_once_a_cool_down_while_it_lasts() -> None:
    trace = spike(daily(7, every=60), at=36_000, seconds=1_800, value=97)
    given_ = [(Signal(CPU, each.value, after(each.at)), after(each.at)) for each in trace]
    found = list(acts_of(events(list(simulate(given_, governed(), PRO)))))
    assert [act.at for act in found] == [after(36_000 + 600 * index) for index in range(3)]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 400)), min_size=1, max_size=25),
    st.sampled_from(["succeeded", "failed", "timed_out", "unknown"]),
    st.floats(0, 30),
    st.one_of(st.none(), st.floats(0, 1_000)),
    st.sampled_from(["enforce", "approve", "shadow"]),
)
def test_time_never_goes_back_and_every_signal_is_answered(
    given_: list[tuple[int, int]], outcome: str, latency: float, approval: float | None, mode: str
) -> None:
    at, trace = 0, []
    for value, wait in given_:
        at += wait
        trace.append((Signal(CPU, Decimal(value), after(at)), after(at)))
    plans = governed(rule(mode=mode, cooldown=30), budget=Budget(5, 600), failures=3)  # type: ignore[arg-type]
    assumed = Assumed(outcome, latency, approval)  # type: ignore[arg-type]
    steps = list(simulate(trace, plans, PRO, assumed=assumed))
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert [step.command.signals[0] for step in steps if isinstance(step.command, Observe)] == [
        each for each, _ in trace
    ]
    assert [step.was for step in steps[1:]] == [step.to for step in steps[:-1]]
    assert sum(isinstance(event, SignalObserved) for event in events(steps)) == len(trace)


def test_a_rehearsal_goes_on_from_a_state() -> None:
    rehearsal = Rehearsal(governed(), bounds=BOUNDS, assumed=Assumed(), at=NOW)
    rehearsal.apply(in_service())
    first = list(rehearsal.take(Observe((Signal(CPU, Decimal(90)),)), NOW))
    further = Rehearsal(governed(), bounds=BOUNDS, assumed=Assumed(), state=rehearsal.state, at=after(30))
    steps = list(further.settle(LAST))
    assert isinstance(first[-1].outcome, Accepted)
    assert [name_of(step.command) for step in steps] == ["begin_attempt", "report_result"]
    assert status_of(further.state.governor) == "stable"


def test_nothing_happens_where_nothing_is_in_flight() -> None:
    rehearsal = Rehearsal(governed(), bounds=BOUNDS, assumed=Assumed())
    assert list(rehearsal.settle(LAST)) == []
    assert list(rehearsal.reach(NOW)) == []
    assert rehearsal.now == NOW


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "timed_out"])
@pytest.mark.parametrize("runs", [1, 3, 4, 30])
def test_flapping_for_a_day_causes_at_most_the_budgets_actions(runs: int, outcome: str) -> None:
    noise = flapping(around=80, by=10, runs=runs)
    start = datetime_of(Moment("2026-11-24T00:00:00.000000Z"))
    sent = [
        (Signal(CPU, each.value, moment), moment)
        for each in noise
        for moment in [moment_of(start + timedelta(seconds=each.at))]
    ]
    plans = governed(rule(cooldown=60), budget=Budget(5, 86_400))
    steps = list(simulate(sent, plans, PRO, assumed=Assumed(outcome=outcome)))  # type: ignore[arg-type]
    asked = [event for event in events(steps) if isinstance(event, ActionRequested)]
    assert len(asked) == 5
