"""What a decision becomes: its receipt's type and size, and the id of the action that it asks for."""

from decimal import Decimal

import pytest
from tests.builders import ACTION, NOW, after, governed, in_service, observed, rule, when
from tests.contract.stores.builders import receipt
from tests.given_when_then import Then, given
from tests.unit.application.instance import SeededEntropy

from tai_autonomics.application.sealing import Sealed, Submission, action_id_after, new_ledger, seal_decision
from tai_autonomics.domain.actions import Webhook
from tai_autonomics.domain.entitlement import EntitlementGranted
from tai_autonomics.domain.governor import (
    ApproveAction,
    BeginAttempt,
    DenyAction,
    LapseApproval,
    Observe,
    PauseGovernor,
    ReportResult,
    Signal,
    parse_labels,
    split,
)
from tai_autonomics.domain.identifiers import RuleName
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.rules import RULES_MAX, Budget, ConditionFailed, Facts, Rule
from tai_autonomics.domain.tenant import Command, EffectivePlanChanged
from tai_autonomics.ledger.canonical import BYTES_MAX
from tai_autonomics.ledger.receipt import read
from tai_autonomics.ledger.records import Head
from tai_autonomics.policy.orders import URL_CHARACTERS_MAX

NAME = "n" * 124
LONGEST = Decimal("-123456789012345678.123456789")
HEAD = Head("L" * 26, 10**9, "f" * 64, NOW)
READY = given(*in_service()).under(governed())


def sealed(then: Then, command: Command, *, at: Moment = NOW) -> Sealed:
    submission = Submission("t" * 128, command, "c" * 400, "pubsub", "b" * 255, "d" * 64, "e" * 32)
    return seal_decision(
        submission,
        then.decision,
        state=then.before.state,
        head=HEAD,
        now=at,
        policy="a" * 64,
        entropy=SeededEntropy(),
    )


@pytest.mark.parametrize(
    ("then", "type_", "subject"),
    [
        (READY.when(observed(99)), "transition", ("governor", "autonomic")),
        (READY.when(PauseGovernor()), "transition", ("governor", "autonomic")),
        (READY.when(observed(1, metric="x")), "refusal", ("governor", "autonomic")),
        (READY.when(observed(99)).and_then.when(BeginAttempt(ACTION, 1, {})), "action_attempt", ("action", ACTION)),
        (READY.when(observed(99)).and_then.when(BeginAttempt(ACTION, 2, {})), "refusal", ("action", ACTION)),
        (
            READY.when(observed(99))
            .and_then.when(BeginAttempt(ACTION, 1, {}))
            .and_then.when(ReportResult(ACTION, 1, "succeeded", "", 1)),
            "action_result",
            ("action", ACTION),
        ),
    ],
)
def test_a_receipt_says_what_it_records(then: Then, type_: str, subject: tuple[str, str]) -> None:
    written = read(sealed(then, PauseGovernor()).receipt.body)
    assert (written["type"], (written["subject"]["kind"], written["subject"]["id"])) == (type_, subject)


def test_approvals_are_transitions_and_what_settles_an_action_is_its_result() -> None:
    waiting = given(*in_service()).under(governed(rule(mode="approve"))).when(observed(99)).and_then
    assert sealed(waiting.when(ApproveAction(ACTION, "a")), PauseGovernor()).receipt.type == "transition"
    assert sealed(waiting.when(DenyAction(ACTION, "a")), PauseGovernor()).receipt.type == "action_result"
    lapse = waiting.when(LapseApproval(ACTION, after(900)), at=after(900))
    assert sealed(lapse, PauseGovernor()).receipt.type == "action_result"


def test_an_action_is_named_by_the_ledgers_place_that_asks_for_it() -> None:
    first = receipt("acme")
    assert action_id_after(first) == f"ledger-of-acme-2-{first.hash[:12]}"
    again = receipt("acme", command_id="another")
    assert action_id_after(again) != action_id_after(first)
    assert action_id_after(new_ledger(SeededEntropy())) != action_id_after(new_ledger(SeededEntropy()))
    assert len(action_id_after(HEAD)) <= 64


# the size of a receipt


def flapping(text: str) -> tuple[Rule, ...]:
    """As many rules as a plan may have; each says as much as it can of signals that go up and down."""
    acts = when(text, lambda facts: facts.value < 0)
    clears = when(text, lambda facts: facts.value > 0)
    shadows = [rule(f"{n:04}{NAME}", signal=NAME, act=acts, clear=clears, mode="shadow") for n in range(RULES_MAX)]
    order = Webhook("https://" + "u" * (URL_CHARACTERS_MAX - 8))
    return (rule(f"0000{NAME}", signal=NAME, act=acts, clear=clears, order=order), *shadows[1:])


def broken(text: str) -> tuple[Rule, ...]:
    """The same, with what has no answer and is withheld."""

    def fail(_: Facts) -> bool:
        raise ConditionFailed("y" * 200)

    always = when(text, lambda _: True)
    return tuple(
        rule(f"{n:04}{NAME}", signal=NAME, warn=when(text, fail), act=always, clear=always) for n in range(RULES_MAX)
    )


def largest(plans: Plans) -> int:
    """The largest receipt of as many signals as a command takes, after a change of all rules."""
    labels = parse_labels({f"l{n}": "v" * 50 for n in range(16)})
    values = [LONGEST, -LONGEST, LONGEST, -LONGEST] * 20
    sizes = []
    before = (*(f"{n:04}m{NAME[1:]}" for n in range(RULES_MAX)),)
    old = governed(*(rule(f"{n:04}o{NAME[1:]}", signal=name) for n, name in enumerate(before)))
    history = given(EntitlementGranted("ent_1", "professional"), EffectivePlanChanged(plan="gone" + NAME)).under(old)  # type: ignore[arg-type]
    for name in before:
        history = history.when(observed(61, metric=name)).and_then
    for each in ({}, labels):
        for signals in split([Signal(RuleName(NAME), value, NOW, each) for value in values]):  # type: ignore[arg-type]
            command = Observe(signals)
            sizes.append(len(sealed(history.under(plans).when(command, action_id="i" * 64), command).receipt.body))  # type: ignore[arg-type]
    return max(sizes)


@pytest.mark.parametrize("rules", [flapping('"' * 500), broken("ü" * 500)], ids=["flapping", "broken"])
@pytest.mark.parametrize("budget", [None, Budget(1, 60)], ids=["no budget", "a small budget"])
def test_the_receipt_of_a_command_full_of_signals_stays_under_its_bound(
    rules: tuple[Rule, ...], budget: Budget | None
) -> None:
    size = largest(governed(*rules, budget=budget))
    assert 24_000 < size < BYTES_MAX
