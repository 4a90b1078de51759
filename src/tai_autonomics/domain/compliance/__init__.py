"""
The compliance governor: what a tenant's holds and attested controls close.

    hold:     none --place--> on --release--> released        control:  missing --attest--> compliant, non_compliant
                               \\--time--> expired                        compliant, non_compliant --time--> lapsed

A hold closes its scope: `actions` that rules take, `erasure` of parts, or `all`, which is these and service besides. A
control that the tenant's plan requires and that is not compliant closes service and actions.

    deciding   may this be said now, and what does it mean        evolving   what each event leaves
    commands, events, states: the words
"""

from tai_autonomics.domain.compliance.commands import (
    Attest,
    ComplianceCommand,
    ComplianceTimer,
    ExpireHold,
    LapseAttestation,
    PlaceHold,
    ReleaseHold,
    parse_evidence,
)
from tai_autonomics.domain.compliance.deciding import decide, elapse
from tai_autonomics.domain.compliance.events import (
    AttestationLapsed,
    ComplianceEvent,
    ControlAttested,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
)
from tai_autonomics.domain.compliance.evolving import evolve
from tai_autonomics.domain.compliance.states import (
    CONTROLS_MAX,
    HOLDS_MAX,
    INITIAL_STATE,
    Attestation,
    ComplianceState,
    Concern,
    Hold,
    HoldStatus,
    Scope,
    Standing,
    TimerKind,
    Verdict,
    holds_on,
    is_closed,
    is_on,
    standing_of,
    wanting,
)

__all__ = [
    "CONTROLS_MAX",
    "HOLDS_MAX",
    "INITIAL_STATE",
    "Attest",
    "Attestation",
    "AttestationLapsed",
    "ComplianceCommand",
    "ComplianceEvent",
    "ComplianceState",
    "ComplianceTimer",
    "Concern",
    "ControlAttested",
    "ExpireHold",
    "Hold",
    "HoldExpired",
    "HoldPlaced",
    "HoldReleased",
    "HoldStatus",
    "LapseAttestation",
    "PlaceHold",
    "ReleaseHold",
    "Scope",
    "Standing",
    "TimerKind",
    "Verdict",
    "decide",
    "elapse",
    "evolve",
    "holds_on",
    "is_closed",
    "is_on",
    "parse_evidence",
    "standing_of",
    "wanting",
]
