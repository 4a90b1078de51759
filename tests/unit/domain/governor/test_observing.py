"""Signals: which are taken, what they leave, and what is said of the others."""

from decimal import Decimal

import pytest
from tests.builders import (
    ACT,
    ACTION,
    BIG,
    CLEAR,
    CPU,
    ENT,
    HIGH,
    HOOK,
    NOW,
    PRO,
    after,
    governed,
    in_service,
    observed,
    rule,
    when,
)
from tests.given_when_then import given

from tai_autonomics.domain.entitlement import ChangePlan, EntitlementGranted
from tai_autonomics.domain.gates import Passed
from tai_autonomics.domain.governor import (
    ActionRequested,
    Grounds,
    Measured,
    RuleEvaluated,
    RulesForgotten,
    Sample,
    SignalObserved,
    SignalRefused,
    WindowSeen,
    status_of,
)
from tai_autonomics.domain.rules import ConditionFailed, Facts, QuotaFacts, Samples
from tai_autonomics.domain.tenant import EffectivePlanChanged, Subject

PRESENT = given(*in_service()).under(governed())


def seen(value: str, count: int = 1) -> WindowSeen:
    return WindowSeen(value, value, value, value, count)


def test_the_first_signal_makes_a_governor_stable() -> None:
    first = PRESENT.when(observed(10))
    after_it = first.then(SignalObserved(CPU, "10", NOW, kept=1))
    assert (first.decision.was, first.decision.to) == ("boot", "stable")
    assert first.decision.subject == Subject("governor", "autonomic")
    assert status_of(after_it.state.governor) == "stable"


def test_signals_of_a_tenant_without_an_entitlement_in_service_are_refused() -> None:
    nobody = given().under(governed()).when(observed(99))
    nobody.then_refused("entitlement_inactive")
    assert (nobody.decision.was, nobody.decision.to) == ("boot", "boot")


def test_a_metric_that_no_rule_names_is_refused() -> None:
    refused = PRESENT.when(observed(99, metric="memory"))
    assert "memory" in refused.then_refused("unknown_metric").detail
    assert [type(gate) for gate in refused.decision.gates] == [Passed]
    given(*in_service(plan=BIG)).under(governed()).when(observed(99)).then_refused("unknown_metric")


def test_an_older_signal_than_the_newest_of_its_metric_is_stale_and_an_equal_one_is_not() -> None:
    known = PRESENT.when(observed(10, at=NOW)).and_then
    known.when(observed(10, at=after(-1))).then_refused("stale")
    known.when(observed(11, at=NOW)).then(SignalObserved(CPU, "11", NOW, kept=1))


def test_a_signal_from_too_far_ahead_is_refused() -> None:
    PRESENT.when(observed(10, at=after(301))).then_refused("clock_skew")
    PRESENT.when(observed(10, at=after(300))).then(SignalObserved(CPU, "10", after(300), kept=1))


def test_a_signal_without_a_time_is_the_newest() -> None:
    ahead = PRESENT.when(observed(10, at=after(200))).and_then
    ahead.when(observed(11)).then(SignalObserved(CPU, "11", after(200), kept=1))


def test_signals_of_one_command_are_told_apart_in_their_order() -> None:
    command = observed(10, 20).signals + observed(30, metric="memory").signals + observed(40, at=after(-1)).signals
    PRESENT.when(type(observed())(command)).then(
        SignalObserved(CPU, "10", NOW, kept=1),
        SignalObserved(CPU, "20", NOW, kept=1),
        SignalRefused("memory", "30", "unknown_metric"),
        SignalRefused(CPU, "40", "stale", after(-1), NOW),
    )


def test_signals_that_are_all_refused_for_one_reason_are_a_refusal_and_otherwise_each_is_told() -> None:
    unknown, early = observed(1, metric="memory").signals, observed(2, at=after(999)).signals
    PRESENT.when(type(observed())(unknown * 3)).then_refused("unknown_metric")
    PRESENT.when(type(observed())(unknown + early)).then(
        SignalRefused("memory", "1", "unknown_metric"), SignalRefused(CPU, "2", "clock_skew", after(999))
    )


def test_measurements_are_kept_as_far_as_rules_need_them_with_the_newest_labels() -> None:
    two = given(*in_service()).under(governed(rule(over=Samples(2))))
    history = two.when(observed(1, 2, 3, region="eu")).and_then
    assert history.state.governor.metrics == {
        CPU: Measured((Sample(NOW, Decimal(2)), Sample(NOW, Decimal(3))), {"region": "eu"})
    }


def test_an_event_holds_the_labels_of_its_signal() -> None:
    PRESENT.when(observed(1, region="eu")).then(SignalObserved(CPU, "1", NOW, 1, {"region": "eu"}))


def test_a_condition_sees_value_window_labels_plan_and_quotas() -> None:
    asked: list[Facts] = []

    def remember(facts: Facts) -> bool:
        asked.append(facts)
        return False

    given(*in_service()).under(governed(rule(act=when("…", remember)))).when(observed("1.5", region="eu"))
    (facts,) = asked
    assert (facts.value, facts.window.last, facts.window.count) == (Decimal("1.5"), Decimal("1.5"), 1)
    assert (facts.labels, facts.plan) == ({"region": "eu"}, PRO)
    assert facts.quota == {"api_calls": QuotaFacts(100, 0, 100)}


def test_a_condition_without_an_answer_does_not_hold_and_the_event_says_why() -> None:
    def fail(_: Facts) -> bool:
        raise ConditionFailed("no such label: region")

    broken = given(*in_service()).under(governed(rule(act=when("labels.region == 'eu'", fail))))
    broken.when(observed(99)).then(
        SignalObserved(CPU, "99", NOW, kept=1),
        RuleEvaluated(
            HIGH,
            "warning",
            "clear",
            Grounds("warn_when", "window.avg > 60.0", seen("99")),
            unanswered="act_when: no such label: region",
        ),
    )


def test_a_long_condition_is_cut_off_in_the_event() -> None:
    long = when('labels["region"] == "' + "ü" * 200 + '"', lambda _: True)
    requested = given(*in_service()).under(governed(rule(act=long))).when(observed(99)).events[-1]
    assert isinstance(requested, ActionRequested)
    text = requested.grounds.text
    assert text.endswith("…")
    assert long.text.startswith(text[:-1])
    assert 150 < len(text.encode()) <= 160


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_rules_that_the_plan_has_no_more_are_forgotten_but_for_their_cool_down(mode: str) -> None:
    old = given(*in_service()).under(governed(rule("old", mode=mode), rule("warns", signal="memory")))  # type: ignore[arg-type]
    known = old.when(observed(99)).and_then.when(observed(70, metric="memory")).and_then
    new = known.under(governed(rule("new", signal="disk")))
    said = new.when(observed(1, metric="disk"))
    assert said.events[-1] == RulesForgotten(NOW, ("old", "warns"), (CPU, "memory"))
    governor = said.and_then.state.governor
    assert set(governor.metrics) == {"disk"}
    assert list(governor.rules) == ["old"]
    assert governor.rules["old"].level == "clear"
    assert [type(event) for event in said.and_then.when(observed(1, metric="disk")).events] == [SignalObserved]
    later = said.and_then.when(observed(1, metric="disk"), at=after(600))
    assert later.events[-1] == RulesForgotten(after(600), ("old",))
    assert later.and_then.state.governor.rules == {}


def test_signals_say_it_when_another_plans_file_changed_the_effective_plan() -> None:
    given(EntitlementGranted(ENT, PRO)).under(governed()).when(observed(1)).then(
        SignalObserved(CPU, "1", NOW, kept=1), EffectivePlanChanged(was=None, plan=PRO)
    )


def test_a_change_of_plan_keeps_cool_downs_and_windows() -> None:
    acted = PRESENT.when(observed(99)).and_then
    back = acted.when(ChangePlan(ENT, BIG)).and_then.when(ChangePlan(ENT, PRO)).and_then
    assert back.state.governor == acted.state.governor


def test_an_act_shows_the_gates_that_it_passed() -> None:
    acted = PRESENT.when(observed(99))
    assert [gate.gate for gate in acted.decision.gates] == [
        "compliance_permits",
        "entitlement_is_in_service",
        "governor_is_not_refusing",
        "action_is_within_budget",
    ]
    assert all(isinstance(gate, Passed) for gate in acted.decision.gates)
    assert [gate.gate for gate in PRESENT.when(observed(9)).decision.gates] == ["entitlement_is_in_service"]


def test_an_act_says_all_that_led_to_it() -> None:
    PRESENT.when(observed(99)).then(
        SignalObserved(CPU, "99", NOW, kept=1),
        ActionRequested(
            action_id=ACTION,
            rule=HIGH,
            order=HOOK,
            idempotent=True,
            attempts_max=3,
            timeout_seconds=10,
            requested_at=NOW,
            cooldown_until=after(600),
            metric=CPU,
            value="99",
            grounds=Grounds("act_when", "window.avg > 80.0", seen("99")),
            deadline=after(630),
        ),
    )
    assert (ACT.text, CLEAR.text) == ("window.avg > 80.0", "window.avg < 50.0")
