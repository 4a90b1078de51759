"""Compliance after an event: knows no plans and no clock, so that replay needs nothing but events."""

from msgspec.structs import replace

from tai_autonomics.domain.compliance.events import (
    AttestationLapsed,
    ComplianceEvent,
    ControlAttested,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
)
from tai_autonomics.domain.compliance.states import Attestation, ComplianceState, Hold


def evolve(state: ComplianceState, event: ComplianceEvent) -> ComplianceState:
    """Compliance after the event."""
    match event:
        case HoldPlaced():
            hold = Hold(event.scope, event.evidence, event.by, event.at, event.expires_at)
            return replace(state, holds={**state.holds, event.hold_id: hold})
        case HoldReleased() | HoldExpired():
            return replace(state, holds={key: hold for key, hold in state.holds.items() if key != event.hold_id})
        case ControlAttested():
            attested = Attestation(event.status, event.evidence, event.by, event.at, event.valid_until)
            known = {name: each for name, each in state.controls.items() if name != event.in_place_of}
            return replace(state, controls={**known, event.control: attested})
        case AttestationLapsed(control):
            lapsed = replace(state.controls[control], lapsed=True)
            return replace(state, controls={**state.controls, control: lapsed})
