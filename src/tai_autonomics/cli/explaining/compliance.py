"""What happened to a tenant's holds and controls, a sentence an event."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tai_autonomics.domain.compliance import (
    AttestationLapsed,
    ComplianceEvent,
    ControlAttested,
    HoldExpired,
    HoldPlaced,
    HoldReleased,
)

SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "all": "serving the tenant, acting on it and erasing parts of its receipts",
        "actions": "what rules would do, and approving it",
        "erasure": "erasing parts of its receipts",
    }
)
"""What a hold closes."""

VERDICTS: Final[Mapping[str, str]] = MappingProxyType({"compliant": "met", "non_compliant": "not met"})
"""What can be attested of a control."""


def sentence_of(event: ComplianceEvent) -> str:
    """What the event says, all of it."""
    match event:
        case HoldPlaced(hold_id, scope, evidence, by, at, expires_at):
            until = "it is released" if expires_at is None else f"{expires_at}, or it is released before"
            return (
                f"{by} placed the hold {hold_id} ({scope}) at {at}, on the evidence {evidence}. Until {until}, this is"
                f" refused: {SCOPES[scope]}."
            )
        case HoldReleased(hold_id, scope, by, at):
            return (
                f"{by} released the hold {hold_id} ({scope}) at {at}. It does not close this any more: {SCOPES[scope]}."
            )
        case HoldExpired(hold_id, scope, at):
            return (
                f"The time of the hold {hold_id} ({scope}) was over at {at}: it does not close this: {SCOPES[scope]}."
            )
        case ControlAttested(control, status, evidence, by, at, valid_until, in_place_of):
            room = "" if in_place_of is None else f" The lapsed control {in_place_of} was forgotten to make room."
            return (
                f"{by} attested at {at} that the control {control} is {VERDICTS[status]} ({status}), on the evidence"
                f" {evidence}; that counts until {valid_until}.{room}"
            )
        case AttestationLapsed(control, status, at):
            return (
                f"Nobody attested the control {control} again in time: at {at} lapsed that it is {VERDICTS[status]}"
                f" ({status})."
            )
