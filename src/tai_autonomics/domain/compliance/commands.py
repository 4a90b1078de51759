"""What callers and timers ask of a tenant's compliance. `by` is the caller's subject."""

import re
from typing import ClassVar, Final

from msgspec import Struct

from tai_autonomics.domain.compliance.states import Scope, TimerKind, Verdict
from tai_autonomics.domain.identifiers import ControlName, HoldId
from tai_autonomics.domain.moments import Moment
from tai_autonomics.errors import Malformed

EVIDENCE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:[!-~]{1,480}|[0-9a-f]{40,128}", re.ASCII)
"""A URI (RFC 3986, section 3: a scheme comes first), or a digest in hex. Free text is a hold's reason, and erasable."""


class PlaceHold(Struct, frozen=True, gc=False):
    """From now on what is in its scope is refused, until it is released or expires."""

    scope: Scope
    evidence: str
    by: str
    expires_at: Moment | None = None


class ReleaseHold(Struct, frozen=True, gc=False):
    hold_id: HoldId
    by: str


class Attest(Struct, frozen=True, gc=False):
    """A verdict on a control, which takes the place of an earlier one and counts until `valid_until`."""

    control: ControlName
    status: Verdict
    evidence: str
    by: str
    valid_until: Moment


class ExpireHold(Struct, frozen=True, gc=False):
    """The timer of a hold that was placed for a time."""

    kind: ClassVar[TimerKind] = "hold_expiry"
    hold_id: HoldId
    due: Moment


class LapseAttestation(Struct, frozen=True, gc=False):
    """The timer of an attestation that nobody renewed."""

    kind: ClassVar[TimerKind] = "attestation_lapse"
    control: ControlName
    due: Moment


ComplianceCommand = PlaceHold | ReleaseHold | Attest
ComplianceTimer = ExpireHold | LapseAttestation


def parse_evidence(text: str) -> str:
    """A URI, or a digest of 40 to 128 hex digits. Raises Malformed(malformed_request)."""
    if EVIDENCE.fullmatch(text) is None:
        detail = "evidence is a URI, of ASCII without spaces and at most 480 after its scheme, or a digest in lowercase"
        raise Malformed("malformed_request", f"{detail} hex")
    return text
