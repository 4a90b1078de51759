"""The answer to one command, and to one timer."""

from tai_autonomics.domain.compliance.commands import (
    Attest,
    ComplianceCommand,
    ComplianceTimer,
    ExpireHold,
    LapseAttestation,
    PlaceHold,
    ReleaseHold,
)
from tai_autonomics.domain.compliance.events import (
    AttestationLapsed,
    ComplianceEvent,
    ControlAttested,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
)
from tai_autonomics.domain.compliance.states import CONTROLS_MAX, HOLDS_MAX, ComplianceState
from tai_autonomics.domain.decider import Accepted, Refused, name_of
from tai_autonomics.domain.identifiers import ControlName, HoldId
from tai_autonomics.domain.moments import Moment

Answer = Accepted[ComplianceEvent] | Refused


def decide(command: ComplianceCommand, state: ComplianceState, *, now: Moment, hold_id: HoldId) -> Answer:
    """The answer to a command; `hold_id` names the hold that it may place, and no other one before."""
    match command:
        case PlaceHold():
            return _place(command, state, now, hold_id)
        case ReleaseHold():
            hold = state.holds.get(command.hold_id)
            if hold is None:
                detail = f"the hold {command.hold_id} is not on"
                return Refused("invalid_transition", detail, "nothing to do: it was released, has expired or never was")
            return Accepted((HoldReleased(command.hold_id, hold.scope, command.by, now),))
        case Attest():
            return _attest(command, state, now)


def elapse(timer: ComplianceTimer, state: ComplianceState, *, now: Moment) -> Answer:
    """The answer to a timer: only when its time has come, and only while it is still set for that time."""
    match timer:
        case ExpireHold(hold_id, due):
            hold = state.holds.get(hold_id)
            if hold is not None and hold.expires_at == due <= now:
                return Accepted((HoldExpired(hold_id, hold.scope, now),))
        case LapseAttestation(control, due):
            attested = state.controls.get(control)
            if attested is not None and not attested.lapsed and attested.valid_until == due <= now:
                return Accepted((AttestationLapsed(control, attested.status, now),))
    detail = f"cannot {name_of(timer)}: not set for {timer.due}, or not due yet"
    return Refused("invalid_transition", detail, "nothing to do: the timer was moved or settled")


def _place(command: PlaceHold, state: ComplianceState, now: Moment, hold_id: HoldId) -> Answer:
    if command.expires_at is not None and command.expires_at <= now:
        return _too_early("expires_at", command.expires_at, now)
    if len(state.holds) >= HOLDS_MAX:
        return Refused("invalid_transition", f"{HOLDS_MAX} holds are on already", "release one that is over")
    return Accepted((HoldPlaced(hold_id, command.scope, command.evidence, command.by, now, command.expires_at),))


def _attest(command: Attest, state: ComplianceState, now: Moment) -> Answer:
    if command.valid_until <= now:
        return _too_early("valid_until", command.valid_until, now)
    leaves: ControlName | None = None
    if command.control not in state.controls and len(state.controls) >= CONTROLS_MAX:
        lapsed = [(each.valid_until, name) for name, each in state.controls.items() if each.lapsed]
        if not lapsed:
            detail = f"{CONTROLS_MAX} controls are attested already"
            return Refused("invalid_transition", detail, "attest one of them, or wait until one lapses")
        leaves = min(lapsed)[1]
    attested = ControlAttested(
        command.control, command.status, command.evidence, command.by, now, command.valid_until, leaves
    )
    return Accepted((attested,))


def _too_early(name: str, moment: Moment, now: Moment) -> Refused:
    return Refused("invalid_time", f"{name} {moment} is not after {now}", f"send a {name} that is still to come")
