"""A decision becomes a receipt, with everything that must be written in the same append."""

import re
from collections import Counter
from typing import Any, Final

from msgspec import Struct

from tai_autonomics.application.codec import due_rows, events_to_json
from tai_autonomics.application.ports import Entropy, Span
from tai_autonomics.domain.actions import ActionType, Result, type_of
from tai_autonomics.domain.decider import Accepted, Refused, fold
from tai_autonomics.domain.gates import Failed, Passed
from tai_autonomics.domain.governor import ActionSettled, InFlight, Observe, SignalRefused
from tai_autonomics.domain.identifiers import ActionId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.tenant import Command, Decision, Event, PartErased, TenantState, evolve
from tai_autonomics.ledger.commitment import commit
from tai_autonomics.ledger.receipt import claims_id, seal
from tai_autonomics.ledger.records import GENESIS, Due, DueKey, Erasure, Head, Part, Receipt, ReceiptType

EXECUTOR: Final = "executor"
"""cause.kind of a receipt that an executor asked for; cause.by says which one."""
SALT_BYTES: Final = 32
ACTION_HASH_DIGITS: Final = 12
_NONE: Final[dict[str, int]] = {}
_SEQ: Final = re.compile(r"[1-9][0-9]{0,15}", re.ASCII)


class Submission(Struct, frozen=True, gc=False):
    """A command on its way in. `source` is the receipt's cause.kind, `by` the caller's subject."""

    tenant: str
    command: Command
    command_id: str
    source: str
    by: str
    request: str | None = None
    """Digest of what the caller sent; None where nobody sent anything (timers)."""
    trace: str | None = None
    parts: tuple[tuple[str, bytes], ...] = ()
    span: Span | None = None
    """Of whoever asks, where it is recorded; no receipt holds it."""


class Sealed(Struct, frozen=True, gc=False):
    """One sealed decision, not yet durable, and the state that it will leave."""

    receipt: Receipt
    state: TenantState
    parts: tuple[Part, ...]
    erasures: tuple[Erasure, ...]
    due: dict[tuple[str, str], Due | DueKey]
    reason: str
    """Why it was refused, or ""."""
    signals_refused: dict[str, int]
    """How many signals it refuses, by their reason."""
    settled: tuple[ActionType, Result] | None = None
    """Of the action that it settles: its type, and how it ended."""


def new_ledger(entropy: Entropy) -> Head:
    """The head of a ledger that does not exist yet."""
    return Head(ledger=entropy.ulid(), seq=0, hash=GENESIS, time="")


def action_id_after(head: Head | Receipt) -> ActionId:
    """
    The id of the action that the receipt after `head` may ask for: "<ledger>-<seq>-<hash of head, cut short>".

    The same wherever it is decided on that head. Only one receipt follows a head, and the hash tells apart what follows
    after a restore from what had followed before, so that no receiver takes one action for another.
    """
    return ActionId(f"{head.ledger}-{head.seq + 1}-{head.hash[:ACTION_HASH_DIGITS]}")


def request_seq(action_id: str) -> int | None:
    """The seq of the receipt that asks for the action, as its id says; None for what is no such id."""
    _, _, rest = action_id.partition("-")
    text, dash, _ = rest.partition("-")
    return int(text) if dash and _SEQ.fullmatch(text) else None


def seal_decision(
    submission: Submission,
    decision: Decision,
    *,
    state: TenantState,
    head: Head | Receipt,
    now: Moment,
    policy: str,
    entropy: Entropy,
) -> Sealed:
    """Seal `decision`, made on `state` at `now`, onto `head`."""
    outcome = decision.outcome
    seq = head.seq + 1
    in_flight = state.governor.in_flight
    parts = tuple([Part(seq, name, entropy.bytes(SALT_BYTES), text) for name, text in submission.parts])
    if isinstance(outcome, Refused):
        events: list[Any] = []
        erasures: tuple[Erasure, ...] = ()
        due: dict[tuple[str, str], Due | DueKey] = {}
    else:
        events = events_to_json(outcome.events)
        erasures = tuple([Erasure(event.seq, event.part) for event in outcome.events if isinstance(event, PartErased)])
        due = due_rows(outcome.events)
        state = fold(evolve, state, outcome.events)
    type: ReceiptType = "refusal" if isinstance(outcome, Refused) else decision.kind  # noqa: A001
    reason = outcome.reason if isinstance(outcome, Refused) else ""
    receipt = seal(
        tenant=submission.tenant,
        ledger=head.ledger,
        seq=seq,
        prev=head.hash,
        time=now,
        type=type,
        subject=(decision.subject.kind, decision.subject.id),
        cause=_cause_of(submission),
        decision=_json_of(decision),
        events=events,
        refusal=_refusal_of(outcome) if isinstance(outcome, Refused) else None,
        policy=policy,
        trace=submission.trace,
        commits={part.name: commit(part.salt, part.text) for part in parts},
        command_id=submission.command_id,
        claims=claims_id(type=type, reason=reason, source=submission.source),
    )
    signals_refused = _signals_refused(submission.command, outcome)
    settled = None if in_flight is None else _settled(in_flight, outcome)
    return Sealed(receipt, state, parts, erasures, due, reason, signals_refused, settled)


def _settled(in_flight: InFlight, outcome: Accepted[Event] | Refused) -> tuple[ActionType, Result] | None:
    events = () if isinstance(outcome, Refused) else outcome.events
    results = (event.result for event in events if isinstance(event, ActionSettled))
    return next(((type_of(in_flight.order), result) for result in results), None)


def _signals_refused(command: Command, outcome: Accepted[Event] | Refused) -> dict[str, int]:
    if not isinstance(command, Observe):
        return _NONE
    if isinstance(outcome, Refused):
        return {outcome.reason: len(command.signals)}
    reasons = [event.reason for event in outcome.events if isinstance(event, SignalRefused)]
    return Counter(reasons) if reasons else _NONE


def _cause_of(submission: Submission) -> dict[str, Any]:
    cause = {"kind": submission.source, "id": submission.command_id, "by": submission.by}
    if submission.request is not None:
        cause["request"] = submission.request
    return cause


def _json_of(decision: Decision) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if decision.was is not None:
        members["from"] = decision.was
    if decision.to is not None:
        members["to"] = decision.to
    if decision.gates:
        members["gates"] = [_gate_of(answer) for answer in decision.gates]
    return members


def _gate_of(answer: Passed | Failed) -> dict[str, Any]:
    return {"gate": answer.gate, "passed": isinstance(answer, Passed), "evidence": answer.evidence}


def _refusal_of(refused: Refused) -> dict[str, str]:
    return {"reason": refused.reason, "detail": refused.detail, "next_step": refused.next_step}
