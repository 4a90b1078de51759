"""
A receipt in plain words, from the receipt alone: its gates, rule, window values and limits, and what came of them.

    explain    the whole receipt, sentence by sentence
    ├── subjects   what it is, who asked, how its subject stood
    ├── gates      what each gate looked at
    └── events     what happened: entitlements, quotas, governors, actions, compliance
        └── words      conditions, windows, budgets, orders
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from tai_autonomics.application.codec import event_of
from tai_autonomics.cli.explaining import events, gates, subjects
from tai_autonomics.cli.explaining.words import json_text
from tai_autonomics.domain.governor import ActionRequested, RuleEvaluated, SignalObserved, WouldHaveActed
from tai_autonomics.domain.tenant import Event
from tai_autonomics.errors import BrokenChain, NotCanonical
from tai_autonomics.ledger.lines import parse_line
from tai_autonomics.ledger.receipt import Body, Refusal, claims_id, read, receipt_of
from tai_autonomics.ledger.records import Part

NOTHING_TO_SAY: Final = (
    "No rule had anything to say to these signals: those that name the metric stand where they stood, or wait for more"
    " measurements."
)
UNKNOWN: Final = "this release has no words for it, as a newer one wrote it"


class Sentence(Struct, frozen=True, omit_defaults=True):
    """`of` names the gate, event, reason or part that it is about, as the receipt does."""

    about: str
    text: str
    of: str | None = None


class Explained(Struct, frozen=True):
    """All that a receipt says, in the order in which it came about. `complete`: there were words for all of it."""

    tenant: str
    seq: int
    hash: str
    sentences: tuple[Sentence, ...]
    complete: bool


class _Gate(Struct):
    gate: str
    passed: bool
    evidence: dict[str, Any]


class _Decision(Struct, rename={"was": "from"}):
    was: str | None = None
    to: str | None = None
    gates: tuple[_Gate, ...] = ()


def explain(line: bytes) -> Explained:
    """
    A receipt as a client gets it or an export has it, held against the hash beside it; the chain is not verified.

    An event that this release does not know is told as it stands. Raises NotCanonical, BrokenChain.
    """
    given = parse_line(line)
    receipt, body = receipt_of(given.body), read(given.body)
    if receipt.hash != given.hash:
        detail = f"the hash beside it is {given.hash}, its own is {receipt.hash}"
        raise BrokenChain(tenant=receipt.tenant, seq=receipt.seq, step=4, detail=detail)
    try:
        decision = msgspec.convert(body["decision"], _Decision)
    except msgspec.ValidationError as error:
        raise NotCanonical(f"receipt {receipt.seq} of {receipt.tenant}: decision: {error}") from error
    said = [event_of(event) for event in body["events"]]
    sentences = (
        *_opening(body, decision),
        *_gates(decision),
        *_events(body["events"], said),
        *_closing(body, given.parts),
    )
    return Explained(receipt.tenant, receipt.seq, receipt.hash, sentences, complete=None not in said)


def lines_of(explained: Explained) -> list[str]:
    """The sentences for a person, each after what it is about."""
    return [f"{each.about:<9} {'' if each.of is None else f'{each.of}: '}{each.text}" for each in explained.sentences]


def _opening(body: Body, decision: _Decision) -> tuple[Sentence, ...]:
    said = f"{body['seq']} of {body['tenant']}, sealed at {body['time']}: {subjects.TYPES[body['type']]}."
    return (
        Sentence("receipt", said),
        Sentence("asked by", subjects.asked(body["cause"])),
        Sentence("about", subjects.about(body["subject"], was=decision.was, to=decision.to)),
    )


def _gates(decision: _Decision) -> tuple[Sentence, ...]:
    return tuple(
        Sentence("gate", gates.sentence_of(each.gate, each.evidence, passed=each.passed), each.gate)
        for each in decision.gates
    )


def _events(written: list[dict[str, Any]], said: list[Event | None]) -> tuple[Sentence, ...]:
    sentences = tuple(_event(members, event) for members, event in zip(written, said, strict=True))
    measured = any(isinstance(event, SignalObserved) for event in said)
    spoke = any(event is None or isinstance(event, RuleEvaluated | ActionRequested | WouldHaveActed) for event in said)
    return (*sentences, Sentence("rules", NOTHING_TO_SAY)) if measured and not spoke else sentences


def _event(members: dict[str, Any], event: Event | None) -> Sentence:
    text = f"{UNKNOWN}: {json_text(members)}." if event is None else events.sentence_of(event)
    return Sentence("event", text, str(members.get("type")))


def _closing(body: Body, parts: tuple[Part, ...]) -> tuple[Sentence, ...]:
    refusal = body.get("refusal")
    refused = () if refusal is None else _refused(refusal, source=body["cause"]["kind"])
    policy = Sentence("plans", f"decided under the plans file with the SHA-256 {body['policy']}.")
    there = {part.name for part in parts}
    committed = tuple(
        Sentence("part", f"{'beside the receipt' if name in there else 'erased'}; it decided nothing.", name)
        for name in body.get("commits", {})
    )
    return (*refused, policy, *committed)


def _refused(refusal: Refusal, *, source: str) -> tuple[Sentence, ...]:
    reason = refusal["reason"]
    claimed = claims_id(type="refusal", reason=reason, source=source)
    again = "gets this receipt again" if claimed else "is decided anew, as time can cure this"
    return (
        Sentence("refused", f"{refusal['detail']}.", reason),
        Sentence("next step", f"{refusal['next_step']}; the same command id {again}."),
    )
