"""A receipt in plain words, from the receipt alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from tests.builders import ACTION, ENT, NOW, after, governed, in_service, observed, plan, quota, rule
from tests.given_when_then import Then, given
from tests.unit.application.instance import SeededEntropy
from tests.unit.cli import kinds
from tests.unit.cli.exports import CommandLine, exported, ledger

from tai_autonomics.application.sealing import Submission, seal_decision
from tai_autonomics.cli.explaining import (
    NOTHING_TO_SAY,
    actions,
    compliance,
    explain,
    gates,
    governors,
    lines_of,
    subjects,
)
from tai_autonomics.cli.explaining.events import sentence_of
from tai_autonomics.domain.actions import Result
from tai_autonomics.domain.budgets import BudgetUse
from tai_autonomics.domain.compliance import (
    Attestation,
    ComplianceState,
    Concern,
    Hold,
    HoldStatus,
    Scope,
    Standing,
    Verdict,
)
from tai_autonomics.domain.entitlement import EntitlementState
from tai_autonomics.domain.entitlement import Status as EntitlementStatus
from tai_autonomics.domain.gates import (
    Failed,
    Gate,
    Passed,
    action_is_within_budget,
    compliance_permits,
    entitlement_is_in_service,
    governor_is_not_refusing,
    plan_includes_feature,
    quota_is_available,
    quota_is_in_plan,
    rate_is_within_throttle,
    some_entitlement_is_in_service,
)
from tai_autonomics.domain.governor import (
    ApproveAction,
    BeginAttempt,
    DenyAction,
    GovernorState,
    PauseGovernor,
    Refusing,
    ReportResult,
    Stage,
    Throttled,
)
from tai_autonomics.domain.governor import Status as GovernorStatus
from tai_autonomics.domain.governor.events import SignalReason, Withheld
from tai_autonomics.domain.governor.states import Cause, Level
from tai_autonomics.domain.identifiers import FLEET, FeatureName, QuotaName
from tai_autonomics.domain.quota import Consume, QuotaUse
from tai_autonomics.domain.rules import Budget
from tai_autonomics.domain.tenant import Command, Subject
from tai_autonomics.errors import BrokenChain, NotCanonical
from tai_autonomics.ledger.lines import reply
from tai_autonomics.ledger.receipt import seal
from tai_autonomics.ledger.records import GENESIS, Head, ReceiptType

HEAD = Head("01JD0000000000000000000000", 41, "f" * 64, NOW)
READY = given(*in_service()).under(governed(budget=Budget(5, 3_600), failures=3))


def told(then: Then, command: Command, source: str = "signals") -> str:
    """The explanation of the receipt of what was decided, for a person."""
    submission = Submission("acme", command, "http:anna:k", source, "anna")
    sealed = seal_decision(
        submission,
        then.decision,
        state=then.before.state,
        head=HEAD,
        now=NOW,
        policy="a" * 64,
        entropy=SeededEntropy(),
    )
    return "\n".join(lines_of(explain(reply(sealed.receipt.body, sealed.receipt.hash, ()))))


def line(**members: Any) -> bytes:
    """A receipt of one's own making, whose form is right."""
    given_: dict[str, Any] = {
        "tenant": "acme",
        "type": "transition",
        "decision": {},
        "events": [{"type": "PartErased", "seq": 1, "part": "reason"}],
        "refusal": None,
        "cause": {"kind": "api", "id": "k", "by": "anna"},
        "subject": ("receipt", "1"),
        **members,
    }
    receipt = seal(
        ledger="01JD0000000000000000000000",
        seq=1,
        prev=GENESIS,
        time=NOW,
        policy="a" * 64,
        trace=None,
        commits={},
        command_id="k",
        claims=True,
        **given_,
    )
    return reply(receipt.body, receipt.hash, ())


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_event_has_a_sentence(kind: type[Any]) -> None:
    sentence = sentence_of(kinds.event(kinds.whole(kind)))
    assert sentence.endswith(".")
    assert sentence[0].isalnum()


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.__name__)
def test_whatever_changes_in_an_event_changes_its_sentence(kind: type[Any]) -> None:
    sentence = sentence_of(kinds.event(kinds.whole(kind)))
    silent = [name for name, other in kinds.changed(kind) if sentence_of(kinds.event(other)) == sentence]
    assert silent == []


@pytest.mark.parametrize("type_", get_args(ReceiptType))
def test_every_type_of_receipt_has_a_sentence(type_: str) -> None:
    refused = {"events": [], "refusal": {"reason": "stale", "detail": "d", "next_step": "n"}}
    sentences = explain(line(type=type_, **(refused if type_ == "refusal" else {}))).sentences
    assert sentences[0].text == f"1 of acme, sealed at {NOW}: {subjects.TYPES[type_]}."


@pytest.mark.parametrize(
    ("words", "kinds_"),
    [
        (subjects.TYPES, ReceiptType),
        (subjects.ENTITLEMENT, EntitlementStatus),
        (subjects.GOVERNOR, GovernorStatus),
        (subjects.ACTION, Stage | Result),
        (subjects.HOLD, HoldStatus),
        (subjects.CONTROL, Standing),
        (compliance.SCOPES, Scope),
        (compliance.VERDICTS, Verdict),
        (gates.CONCERNS, Concern),
        (subjects.SUBJECTS, Subject.__annotations__["kind"]),
        (actions.RESULTS, Result),
        (gates.SAID, Gate),
        (governors.WITHHELD, Withheld),
        (governors.UNUSED, SignalReason),
        (governors.CAUSES, Cause),
        (governors.LEVELS, Level),
    ],
)
def test_there_are_words_for_exactly_what_the_domain_has(words: Mapping[str, Any], kinds_: Any) -> None:
    literals = {each for part in get_args(kinds_) for each in (get_args(part) or (part,))}
    assert words.keys() == literals
    assert len(set(words.values())) == len(words)


USE = BudgetUse(4, 5, 3_600, NOW, after(3_600))
HELD = ComplianceState({f"h{each}": Hold("all", f"urn:case:{each}", "anna", NOW, after(60)) for each in range(6)})
ATTESTED = ComplianceState(controls={"dpa": Attestation("compliant", "urn:dpa", "anna", NOW, after(60))})
GATES: list[Passed | Failed] = [
    compliance_permits("service", ComplianceState(), plan(), NOW),
    compliance_permits("erasure", HELD, plan(), NOW),
    compliance_permits("erasure", ComplianceState(), plan(), NOW, after(60)),
    compliance_permits("erasure", HELD, plan(), NOW, after(60)),
    compliance_permits("actions", HELD, plan(requires=("dpa",)), NOW),
    compliance_permits("service", ATTESTED, plan(requires=("dpa",)), NOW),
    compliance_permits("service", ATTESTED, plan(requires=("dpa", "soc2")), NOW),
    entitlement_is_in_service(ENT, EntitlementState("active", plan().name)),
    entitlement_is_in_service(ENT, EntitlementState()),
    some_entitlement_is_in_service({plan().name: 2}, plan()),
    some_entitlement_is_in_service({}, None),
    plan_includes_feature(FeatureName("export"), plan(features=("export",)), governed()),
    plan_includes_feature(FeatureName("audit"), plan(), governed()),
    plan_includes_feature(FeatureName("audit"), None, governed()),
    quota_is_in_plan(QuotaName("seats"), plan()),
    quota_is_in_plan(QuotaName("seats"), None),
    quota_is_available(quota(), QuotaUse(97, "day", NOW, after(60)), 7),
    quota_is_available(quota(kind="soft", limit=None), QuotaUse(97, "lifetime"), 7),
    governor_is_not_refusing(GovernorState()),
    governor_is_not_refusing(GovernorState(refusing={"budget": Refusing(NOW, after(60)), "pause": Refusing(NOW)})),
    governor_is_not_refusing(GovernorState(refusing={"budget": Refusing(NOW, after(60))})),
    rate_is_within_throttle(Throttled(10, 60, after(1), ACTION), USE),
    rate_is_within_throttle(Throttled(4, 60, after(7_200), ACTION), USE),
    action_is_within_budget(USE),
    action_is_within_budget(msgspec.structs.replace(USE, used=5)),
]


def flat(value: Any) -> list[Any]:
    match value:
        case list():
            return value
        case dict():
            return [*value, *value.values()]
        case _:
            return [value]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.gate)
def test_all_evidence_of_a_gate_is_told(gate: Passed | Failed) -> None:
    said = gates.sentence_of(gate.gate, gate.evidence, passed=isinstance(gate, Passed))
    assert said.startswith("passed: " if isinstance(gate, Passed) else "failed: ")
    values = [each for value in gate.evidence.values() for each in flat(value)]
    assert [value for value in values if str(value) not in said] == []
    assert "Further evidence" not in said


def test_an_action_without_a_budget_passes_the_budgets_gate() -> None:
    unbounded = action_is_within_budget(None)
    assert gates.sentence_of(unbounded.gate, unbounded.evidence, passed=True) == "passed: the actions have no budget."


def test_evidence_and_gates_without_words_are_told_as_they_stand() -> None:
    said = gates.sentence_of("governor_is_not_refusing", {"state": "stable", "causes": [], "more": 1}, passed=True)
    assert said == 'passed: the governor was stable: nothing holds its rules back. Further evidence: {"more":1}.'
    assert gates.sentence_of("moon_is_full", {"b": 1, "a": 2}, passed=False) == (
        'failed. Further evidence: {"a":2,"b":1}.'
    )


def test_a_rule_that_acts_is_explained_with_gates_window_and_limits() -> None:
    command = observed(91.5)
    said = told(READY.when(command), command)
    assert said.splitlines() == [
        f"receipt   42 of acme, sealed at {NOW}: a transition: what was asked was accepted, and the events are what it"
        " changed.",
        "asked by  a call of POST /v1/tenants/{tenant}/signals, by anna; the command's id is http:anna:k.",
        "about     the tenant's governor, autonomic: it was boot (no signal was taken yet) before, and is intervening"
        " (an action is in flight) after.",
        "gate      compliance_permits: passed: no hold is on that closes actions of rules.",
        "gate      entitlement_is_in_service: passed: of the tenant's entitlements, 1 are in service; the effective one"
        " is the plan professional.",
        "gate      governor_is_not_refusing: passed: the governor was boot: nothing holds its rules back.",
        "gate      action_is_within_budget: passed: 0 of 5 actions per 3600 s were used"
        " of the budget of the tenant, in the window that began at"
        " 2026-11-24T12:00:00.000000Z and resets at 2026-11-24T13:00:00.000000Z.",
        f"event     SignalObserved: cpu was 91.5, as of {NOW}; measurements of it kept for the rules, the newest: 1.",
        f"event     ActionRequested: At {NOW} the rule cpu-high acts on cpu, which was 91.5: its act_when,"
        " `window.avg > 80.0`, held for a window of 1 measurement with avg 91.5, min 91.5, max 91.5, last 91.5."
        f" It asks for the action {ACTION} (webhook): post a signed webhook to https://hooks.example/scale, which takes"
        " one webhook-id once; in at most 3 attempts of 10 s each. One that is lost is repeated: a second one does no"
        f" more. It is attempted until {after(630)}. The rule does not act again before {after(600)}. With it are"
        " used 1 of 5 actions per 3600 s, in the window from"
        " 2026-11-24T12:00:00.000000Z to 2026-11-24T13:00:00.000000Z.",
        f"plans     decided under the plans file with the SHA-256 {'a' * 64}.",
    ]


def test_what_kept_a_rule_from_acting_is_said() -> None:
    paused = READY.when(PauseGovernor()).and_then
    command = observed(91.5)
    said = told(paused.when(command), command)
    assert "went from clear to warning: its act_when, `window.avg > 80.0`, held for a window of 1 measurement" in said
    assert "It does not act, because the governor is refusing (governor_refusing)." in said


def test_signals_to_which_no_rule_says_anything_are_said_to_be_so() -> None:
    command = observed(55)
    assert NOTHING_TO_SAY in told(READY.when(command), command)
    assert NOTHING_TO_SAY not in told(READY.when(observed(91.5)), observed(91.5))


def test_a_refusal_says_why_what_next_and_whether_a_repeat_is_decided_anew() -> None:
    command = Consume(QuotaName("api_calls"), 101)
    said = told(given(*in_service()).when(command), command, "usage").splitlines()
    assert said[5:8] == [
        "gate      quota_is_available: failed: 0 of api_calls were used of the hard limit 100 per day, 100 remained,"
        " and 101 were asked for; the window began at 2026-11-24T00:00:00.000000Z and resets at"
        " 2026-11-25T00:00:00.000000Z.",
        "refused   quota_exceeded: 101 of api_calls on top of 0 is more than the 100 allowed per day.",
        "next step wait until 2026-11-25T00:00:00.000000Z, when it resets, or change to a plan with a higher limit; the"
        " same command id is decided anew, as time can cure this.",
    ]
    kept = PauseGovernor()
    again = told(READY.when(kept).and_then.when(kept), kept, "api")
    assert "refused   invalid_transition: the governor is paused already." in again
    assert "next step resume it when it may act again; the same command id gets this receipt again." in again


def test_an_action_is_explained_from_its_approval_to_its_end() -> None:
    asked = READY.under(governed(rule(mode="approve"))).when(observed(91.5)).and_then
    approve = ApproveAction(ACTION, "anna")
    approved = asked.when(approve)
    said = told(approved, approve, "api")
    assert (
        f"about     the action {ACTION}: it was awaiting_approval (people must approve it first) before, and is ready"
        " (to be attempted) after." in said
    )
    assert f"anna approved the action {ACTION} at {NOW}: 1 of 1 approvals are there." in said
    begin = BeginAttempt(ACTION, 1, {"url": "https://hooks.example/scale"})
    begun = approved.and_then.when(begin)
    assert 'to make true {"url":"https://hooks.example/scale"}' in told(begun, begin, "executor")
    report = ReportResult(ACTION, 1, "failed", "410 Gone", 12)
    said = told(begun.and_then.when(report), report, "executor")
    assert "an action result: what became of an action" in said
    assert f"Attempt 1 of the action {ACTION} ended failed (it was not done) after 12 ms: 410 Gone." in said
    assert f"about     the action {ACTION}: it was attempting (an attempt is under way) before, and is failed" in said
    denied = told(approved.and_then.when(DenyAction(ACTION, "bob")), DenyAction(ACTION, "bob"), "api")
    assert "it was and stays ready (to be attempted)." in denied
    over = told(READY.when(approve), approve, "api")
    assert f"about     the action {ACTION}.\n" in over


def test_events_of_a_newer_release_are_told_as_they_stand_and_the_explanation_is_not_complete() -> None:
    newer = {"type": "MoonWaxed", "to": "full"}
    measured = {"type": "SignalObserved", "metric": "cpu", "value": "1", "observed_at": NOW, "kept": 1}
    explained = explain(line(events=[measured, newer], cause={"kind": "moon", "id": "k", "by": "x"}))
    assert not explained.complete
    assert [(each.of, each.text) for each in explained.sentences if each.about == "event"][1] == (
        "MoonWaxed",
        'this release has no words for it, as a newer one wrote it: {"to":"full","type":"MoonWaxed"}.',
    )
    assert all(each.text != NOTHING_TO_SAY for each in explained.sentences)
    assert explained.sentences[1].text.startswith("moon, by x;")


def test_a_subject_and_a_state_without_words_are_told_as_they_stand() -> None:
    sentences = explain(line(subject=("moon", "luna"), decision={"from": "new", "to": "full"})).sentences
    assert sentences[2].text == "moon luna: it was new before, and is full after."
    begun = explain(line(subject=("action", "a-1"), decision={"to": "ready"})).sentences[2].text
    assert begun == "the action a-1: it was not in flight before, and is ready (to be attempted) after."


def test_a_line_that_is_not_what_was_sealed_is_not_explained() -> None:
    text = line()
    with pytest.raises(BrokenChain, match="step 4"):
        explain(text.replace(b'"hash":"', b'"hash":"0')[:-3] + b'"}')
    with pytest.raises(NotCanonical):
        explain(text.replace(b'"part":"reason"', b'"part": "reason"'))
    with pytest.raises(NotCanonical, match="decision"):
        explain(line(decision={"gates": [{"gate": 1}]}))


def test_a_receipt_is_explained_from_the_store_and_from_an_export_alike(stored: CommandLine) -> None:
    file = stored.directory / "given.jsonl"
    assert stored("receipts", "explain", "bob", "2", "--file", file) == 0
    from_file = stored.out
    assert stored("receipts", "explain", "bob", "2") == 0
    assert stored.out == from_file
    assert "EntitlementVerified: The entitlement ent_1 is in service, with the plan free" in from_file
    assert stored("receipts", "explain", "acme", "1", "--json") == 0
    (document,) = stored.documents
    assert (document["tenant"], document["seq"], document["hash"]) == ("acme", 1, ledger("acme", 1)[0].hash)
    assert document["sentences"][-1] == {
        "about": "part",
        "text": "beside the receipt; it decided nothing.",
        "of": "metadata",
    }


def test_the_fleets_own_ledger_is_explained_too(cli: CommandLine) -> None:
    file = cli.directory / "fleet.jsonl"
    reserved = {"type": "FleetReserved", "action_id": "a-1", "action": "webhook"}
    file.write_bytes(line(tenant=FLEET, events=[reserved], subject=("action", "a-1")) + b"\n")
    assert cli("receipts", "explain", FLEET, "1", "-f", file) == 0
    assert "The action a-1 (webhook) may be carried out: that type has no budget over all tenants." in cli.out


def test_an_erased_part_is_said_to_be_so(cli: CommandLine) -> None:
    file = exported(cli.directory / "x.jsonl", ledger("acme", 1), parts=False)
    assert cli("receipts", "explain", "acme", "1", "-f", file) == 0
    assert cli.out.splitlines()[-1] == "part      metadata: erased; it decided nothing."


def test_what_this_release_has_no_words_for_ends_in_cannot_tell(cli: CommandLine) -> None:
    file = cli.directory / "newer.jsonl"
    file.write_bytes(line(events=[{"type": "MoonWaxed"}]) + b"\n")
    assert cli("receipts", "explain", "acme", "1", "-f", file) == 2
    assert "MoonWaxed: this release has no words for it" in cli.out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("acme", "9"), 1, "acme has no receipt 9; its newest is 3"),
        (("carol", "1"), 1, "carol has no ledger"),
        (("a/b", "1"), 2, "a tenant id is 1 to 128"),
        (("acme", "0"), 2, "SEQ"),
        (("acme", "9", "-f", "given.jsonl"), 1, "given.jsonl has no receipt 9 of acme"),
        (("acme", "1", "-f", "none.jsonl"), 2, "none.jsonl: No such file or directory"),
        (("acme", "1", "-f", "broken.jsonl"), 1, "broken.jsonl:1: not a line of an export"),
        (("acme", "2", "-f", "forged.jsonl"), 1, "receipt 2 of acme: step 4: the hash beside it is"),
        (("acme", "1", "-f", "given.jsonl", "--store", "sqlite:///x"), 2, "give --file, or --store or --url, not both"),
    ],
)
def test_what_cannot_be_explained_is_said(
    stored: CommandLine, arguments: tuple[str, ...], status: int, said: str
) -> None:
    (stored.directory / "broken.jsonl").write_text("hello\n")
    forge(stored.directory / "given.jsonl", stored.directory / "forged.jsonl")
    assert stored("receipts", "explain", *arguments) == status
    assert said in stored.err
    assert stored.out == ""


def forge(file: Path, to: Path) -> None:
    """The same export, with a plan that nobody granted."""
    to.write_text(file.read_text().replace('"plan":"free"', '"plan":"paid"'))
    assert json.loads(to.read_text().splitlines()[1])["receipt"]["events"][0]["plan"] == "paid"
