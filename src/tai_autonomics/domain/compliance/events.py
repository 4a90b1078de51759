"""What can have happened to a tenant's compliance: each event carries every value that it changes, and who said so."""

from tai_autonomics.domain.compliance.states import Scope, Verdict
from tai_autonomics.domain.decider import Recorded
from tai_autonomics.domain.identifiers import ControlName, HoldId
from tai_autonomics.domain.moments import Moment


class HoldPlaced(Recorded, frozen=True):
    """On from now on; without `expires_at`, until it is released."""

    hold_id: HoldId
    scope: Scope
    evidence: str
    by: str
    at: Moment
    expires_at: Moment | None = None


class HoldReleased(Recorded, frozen=True):
    hold_id: HoldId
    scope: Scope
    by: str
    at: Moment


class HoldExpired(Recorded, frozen=True):
    hold_id: HoldId
    scope: Scope
    at: Moment


class ControlAttested(Recorded, frozen=True):
    """Takes the place of what was said of the control before. `in_place_of` is forgotten, where there was no room."""

    control: ControlName
    status: Verdict
    evidence: str
    by: str
    at: Moment
    valid_until: Moment
    in_place_of: ControlName | None = None


class AttestationLapsed(Recorded, frozen=True):
    """Nobody attested the control again in time; `status` was the verdict."""

    control: ControlName
    status: Verdict
    at: Moment


ComplianceEvent = HoldPlaced | HoldReleased | HoldExpired | ControlAttested | AttestationLapsed
