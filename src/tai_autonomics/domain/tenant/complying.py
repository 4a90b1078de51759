"""What the compliance governor decides, put in its place: what follows for the tenant after."""

from tai_autonomics.domain import compliance
from tai_autonomics.domain.compliance import (
    Attest,
    ComplianceEvent,
    ComplianceState,
    ExpireHold,
    HoldExpired,
    HoldReleased,
    HoldStatus,
    LapseAttestation,
    PlaceHold,
    ReleaseHold,
    Standing,
)
from tai_autonomics.domain.decider import Accepted, Refused, fold
from tai_autonomics.domain.identifiers import ActionId, ControlName, HoldId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.domain.plans import Plans
from tai_autonomics.domain.tenant.asking import effective_plan
from tai_autonomics.domain.tenant.decisions import Decision, Subject, with_consequences
from tai_autonomics.domain.tenant.state import TenantState

ComplianceAsked = PlaceHold | ReleaseHold | Attest | ExpireHold | LapseAttestation


def decide(command: ComplianceAsked, state: TenantState, now: Moment, plans: Plans, made_id: ActionId) -> Decision:
    """No gate is asked: what closes and opens the gate must pass it. A hold that is placed is named `made_id`."""
    before = state.compliance
    match command:
        case ExpireHold() | LapseAttestation():
            outcome = compliance.elapse(command, before, now=now)
        case _:
            outcome = compliance.decide(command, before, now=now, hold_id=HoldId(made_id))
    subject = _subject(command, made_id)
    was = _status(subject, before)
    match outcome:
        case Refused():
            return Decision(subject, was, was, (), outcome)
        case Accepted(events):
            after = fold(compliance.evolve, before, events)
            said = with_consequences(events, state, effective_plan(state, plans), now, after)
            return Decision(subject, was, _after(subject, after, events), (), Accepted(said))


def _subject(command: ComplianceAsked, made_id: ActionId) -> Subject:
    match command:
        case PlaceHold():
            return Subject("hold", made_id)
        case ReleaseHold() | ExpireHold():
            return Subject("hold", command.hold_id)
        case Attest() | LapseAttestation():
            return Subject("control", command.control)


def _status(subject: Subject, state: ComplianceState) -> HoldStatus | Standing:
    """As it was last recorded."""
    if subject.kind == "hold":
        return "on" if subject.id in state.holds else "none"
    attested = state.controls.get(ControlName(subject.id))
    if attested is None:
        return "missing"
    return "lapsed" if attested.lapsed else attested.status


def _after(subject: Subject, state: ComplianceState, events: tuple[ComplianceEvent, ...]) -> HoldStatus | Standing:
    match events[0]:
        case HoldReleased():
            return "released"
        case HoldExpired():
            return "expired"
        case _:
            return _status(subject, state)
